/* Every variant of the innermost loops that this machine has, on random inputs, against the plain
 * meaning of each loop.
 *
 *   cc -O2 -I src/mp2 tests/system/portability/compare_loops.c -o compare_loops && ./compare_loops
 * [trials] [seed]
 *
 * Prints the variants compared and exits with 0, or prints what differs and exits with 1. Needs no
 * Python, so that it runs where only an emulator does (see
 * tests/system/portability/test_portability.py). Inputs are built as `_recurse.pyx` builds them. */
#include <stdio.h>
#include <stdlib.h>

#include "simd.h"

enum { MAX_DAYS = 40, MAX_BLOCKS = 6, MAX_CHUNKS = 4, SLACK = 8 };

static uint64_t random_state;
static int32_t n_failures;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7,
        random_state ^= random_state << 17;
    return random_state * 0x2545F4914F6CDD1DULL;
}

static int32_t random_below(int32_t n) { return (int32_t)((random_word() >> 33) % (uint64_t)n); }

/* About `density` of 16 bits set. */
static uint64_t random_bits(int32_t density)
{
    uint64_t bits = 0;
    for (int32_t k = 0; k < 4; k++)
        bits = density >> k & 1 ? bits | random_word() : bits & random_word();
    return density >= 16 ? ~0ULL : bits;
}

static void *zeros(size_t n)
{
    void *block = calloc(n + 64, 1);
    if (!block)
        exit(2);
    return block;
}

static void fail(const char *variant, const char *loop, int32_t trial)
{
    printf("%s: %s differs in trial %d\n", variant, loop, (int)trial);
    n_failures++;
}

static int64_t ceil_shift(int64_t value, int32_t shift)
{
    return (value + ((1LL << shift) - 1)) >> shift;
}

/* ---- the plain meaning */

/* Tickers of a & b & c in `lane`, in the chunks from `from` to before `to`. */
static int32_t tickers(const mp2_base *base, const uint64_t *a, const uint64_t *b,
    const uint64_t *c, int32_t lane, int32_t from, int32_t to)
{
    int32_t total = 0;
    for (int32_t i = from; i < to; i++)
        for (uint64_t word = a[i * base->n_lanes + lane] & b[i * base->n_lanes + lane] &
                             c[i * base->n_lanes + lane];
            word; word &= word - 1)
            total++;
    return total;
}

static int truly_passes(
    const mp2_base *base, const uint64_t *a, const uint64_t *b, const uint64_t *c)
{
    int32_t total = 0, passes = 1;
    for (int32_t d = 0; d < base->n_days; d++) {
        passes &= tickers(base, a, b, c, d, 0, base->n_win_chunks) >= base->floor;
        total += tickers(base, a, b, c, d, 0, base->n_win_chunks + base->n_loss_chunks);
    }
    return passes && total > 0;
}

static int truly_within(
    const mp2_base *base, const uint64_t *a, const uint64_t *b, const uint64_t *c, int32_t cap)
{
    for (int32_t d = 0; d < base->n_days; d++)
        if (tickers(base, a, b, c, d, 0, base->n_win_chunks + base->n_loss_chunks) > cap)
            return 0;
    return 1;
}

/* ---- the loops over a panel's own layout */

/* The lists of one variant, sorted out of `n` candidates. */
struct lists {
    int32_t passing[50], living[50], within_cap[50];
    mp2_survivors found;
};

static void sort_out(const mp2_loops *loops, const mp2_panel *panel, const uint64_t *state,
    int32_t n, struct lists *out)
{
    int32_t candidates[50];
    for (int32_t i = 0; i < n; i++)
        candidates[i] = i;
    out->found.passing = out->passing;
    out->found.living = out->living;
    out->found.within_cap = out->within_cap;
    loops->sort_out(panel, state, candidates, n, &out->found);
}

static int same_list(const int32_t *one, int32_t n_one, const int32_t *two, int32_t n_two)
{
    return n_one == n_two && memcmp(one, two, sizeof(int32_t) * (size_t)n_one) == 0;
}

static void compare_general(const mp2_loops *loops, int32_t trial)
{
    int32_t n = 1 + random_below(50), D = 1 + random_below(9), W = 1 + random_below(9);
    int32_t density = 4 + random_below(13), n_part = D * W, mixed = random_below(2);
    size_t row_bytes = sizeof(uint64_t) * (size_t)n_part;
    uint64_t *rows = zeros((size_t)n * row_bytes), *wins = zeros((size_t)n * row_bytes);
    uint64_t *state = zeros(2 * row_bytes);
    mp2_panel panel = {.rows = rows,
        .win_rows = mixed ? wins : NULL,
        .row_words = n_part,
        .n_days = D,
        .n_words = W,
        .cap = random_below(W * 50)};
    panel.floor = random_below(2) ? random_below(W * 40) : random_below(6);
    struct lists one, two;
    for (int32_t i = 0; i < n * n_part; i++)
        rows[i] = random_bits(density), wins[i] = rows[i] & random_word();
    for (int32_t i = 0; i < n_part; i++) {
        uint64_t consensus = random_bits(density), won = random_word();
        state[i] = mixed ? consensus : consensus & won;
        state[n_part + i] = mixed ? consensus & won : consensus & ~won;
    }
    sort_out(mp2_find_loops("portable"), &panel, state, n, &one);
    sort_out(loops, &panel, state, n, &two);
    if (!same_list(one.passing, one.found.n_passing, two.passing, two.found.n_passing) ||
        !same_list(one.living, one.found.n_living, two.living, two.found.n_living) ||
        !same_list(one.within_cap, one.found.n_within_cap, two.within_cap, two.found.n_within_cap))
        fail(loops->name, "sort_out", trial);
    free(rows), free(wins), free(state);
}

/* ---- the loops below a base */

struct input {
    mp2_base base;
    int32_t n, cap, row_words;
    uint64_t *rows, *columns, *group;
    uint8_t *upper, *need, *shift;
};

static const uint64_t *row_of(const struct input *in, int32_t i)
{
    return in->rows + (int64_t)i * in->row_words;
}

static struct input draw_input(void)
{
    static const int32_t days[] = {1, 2, 5, 7, 8, 9, 15, 16, 17, 33},
                         floors[] = {0, 1, 3, 4, 5, 8, 9, 20, 60, 150, 256, 300};
    struct input in;
    mp2_base *b = &in.base;
    int32_t density = 6 + random_below(11);
    memset(b, 0, sizeof *b);
    in.n =
        random_below(3) ? 1 + random_below(64 * MAX_BLOCKS) : 64 * (1 + random_below(MAX_BLOCKS));
    b->n_blocks = (in.n + 63) / 64, b->n_days = days[random_below(10)],
    b->n_lanes = (b->n_days + 7) / 8 * 8;
    b->n_win_chunks = random_below(MAX_CHUNKS + 1), b->n_loss_chunks = random_below(MAX_CHUNKS + 1);
    b->n_loss_chunks += b->n_win_chunks + b->n_loss_chunks == 0;
    b->floor = b->n_win_chunks ? floors[random_below(12)] : 0,
    b->n_tests = b->floor ? b->n_days : 1;
    int32_t near =
        b->n_win_chunks && random_below(3); /* a floor and a cap that some group of three lies on */
    b->bounded = random_below(4) > 0, b->capped = random_below(4) > 0;
    in.cap = random_below(3) ? random_below(64 * (b->n_win_chunks + b->n_loss_chunks) + 1)
                             : random_below(25);
    in.row_words = b->row_words = (b->n_win_chunks + b->n_loss_chunks) * b->n_lanes;
    in.group = zeros(sizeof(uint64_t) * (size_t)in.row_words * (size_t)(64 * b->n_blocks + 1));
    in.rows = in.group + in.row_words;
    for (int32_t i = -1; i < in.n; i++)
        for (int32_t k = 0; k < in.row_words; k++)
            if (k % b->n_lanes < b->n_days)
                in.rows[(int64_t)i * in.row_words + k] =
                    random_bits(i < 0 ? 12 : density) & (i < 0 ? ~0ULL : in.group[k]);
    if (near) {
        const uint64_t *one = row_of(&in, random_below(in.n)),
                       *two = row_of(&in, random_below(in.n)),
                       *three = row_of(&in, random_below(in.n));
        int32_t fewest = 64 * MAX_CHUNKS, most = 0, count;
        for (int32_t d = 0; d < b->n_days; d++) {
            count = tickers(b, one, two, three, d, 0, b->n_win_chunks);
            fewest = count < fewest ? count : fewest;
            count = tickers(b, one, two, three, d, 0, b->n_win_chunks + b->n_loss_chunks);
            most = count > most ? count : most;
        }
        b->floor = fewest, in.cap = most, b->n_tests = b->floor ? b->n_days : 1;
    }
    return in;
}

/* Shifts, needs, upper bounds, limits and columns of a base, as `choose_shifts`, `count_base` and
 * `make_columns` make them. */
static void describe(struct input *in)
{
    mp2_base *b = &in->base;
    int32_t D = b->n_days, planes = 2 * D, hits[MP2_MAX_LANES], buys[MP2_MAX_LANES];
    const mp2_loops *plain = mp2_find_loops("portable");
    int64_t total = 0;
    in->upper = zeros((size_t)b->n_blocks * (size_t)planes * 64), in->need = zeros((size_t)planes),
    in->shift = zeros((size_t)planes);
    in->columns =
        zeros(sizeof(uint64_t) * ((size_t)b->n_win_chunks * 64 * (size_t)b->n_blocks + SLACK));
    plain->count_days(b, in->group, in->group, hits, buys);
    for (int32_t d = 0; d < D; d++)
        total += buys[d];
    for (int32_t p = 0; p < planes; p++) {
        int64_t count = p >= D     ? buys[p - D]
                        : b->floor ? hits[p]
                                   : total,
                need = b->floor > 1 ? b->floor : 1;
        need = p < D ? need : (in->cap < count ? in->cap : count) + 1;
        while (ceil_shift(count, in->shift[p]) + ceil_shift(need, in->shift[p]) > 255)
            in->shift[p]++;
        in->need[p] = (uint8_t)ceil_shift(need, in->shift[p]);
    }
    b->rows = in->rows, b->upper = in->upper, b->need = in->need, b->shift = in->shift;
    b->columns = b->floor > 0 && b->floor <= 256 ? in->columns : NULL;
    for (int32_t w = 0; w < b->n_blocks; w++)
        plain->count_block(b, in->group, w, 1, in->upper + (int64_t)w * planes * 64);
    for (int32_t ticker = 0; ticker < 64 * b->n_win_chunks; ticker++)
        for (int32_t i = 0; i < in->n; i++)
            if (row_of(in, i)[(ticker >> 6) * b->n_lanes] >> (ticker & 63) & 1)
                in->columns[(int64_t)ticker * b->n_blocks + (i >> 6)] |= 1ULL << (i & 63);
}

/* The row of the support table of one candidate by one variant, checked against the plain meaning
 * of its bits. */
static void count_row(const struct input *in, const mp2_loops *loops, int32_t i, uint64_t *passing,
    uint8_t *counts, int32_t trial)
{
    const mp2_base *b = &in->base;
    uint64_t *words = zeros(sizeof(uint64_t) * (size_t)in->row_words);
    for (int32_t k = 0; k < in->row_words; k++)
        words[k] = in->group[k] & row_of(in, i)[k];
    for (int32_t w = 0; w < b->n_blocks; w++) {
        passing[w] = loops->count_block(b, words, w, 0, counts + (int64_t)w * 2 * b->n_days * 64);
        for (int32_t c = 0; c < 64; c++) {
            int expected =
                w * 64 + c < in->n && truly_passes(b, words, words, row_of(in, w * 64 + c));
            if ((int)(passing[w] >> c & 1) != expected) {
                fail(loops->name, "count_block", trial);
                free(words);
                return;
            }
        }
    }
    free(words);
}

struct outcome {
    uint64_t passing[MAX_BLOCKS], left[MAX_BLOCKS + SLACK];
    mp2_decided decided;
    uint8_t *counts;
};

/* How a triple is decided: the choices a caller has, drawn once and used for every variant. */
struct choices {
    int32_t v, x, first, end, all_tails, use_row_x, scored, cap_first;
};

static void decide(const struct input *in, const mp2_loops *loops, const struct choices *how,
    struct outcome *out, int32_t trial)
{
    const mp2_base *b = &in->base;
    size_t row_bytes = (size_t)b->n_blocks * 2 * (size_t)b->n_days * 64,
           words_bytes = sizeof(uint64_t) * (size_t)in->row_words;
    uint64_t truth[MAX_BLOCKS] = {0}, may[MAX_BLOCKS] = {0}, bits_x[MAX_BLOCKS], ones[MAX_BLOCKS];
    uint64_t lane_0[MAX_BLOCKS + SLACK], others[MAX_BLOCKS + SLACK];
    uint64_t *words = zeros(words_bytes), *wins = zeros(words_bytes);
    uint8_t *counts_x = zeros(row_bytes), *need_v = zeros((size_t)(2 * b->n_days)),
            *need_x = zeros((size_t)(2 * b->n_days));
    int64_t n_true = 0;
    memset(out, 0, sizeof *out), memset(ones, 0xff, sizeof ones);
    out->counts = zeros(row_bytes);
    count_row(in, loops, how->v, out->passing, out->counts, trial);
    count_row(in, loops, how->x, bits_x, counts_x, trial);
    for (int32_t k = 0; k < in->row_words; k++)
        words[k] = in->group[k] & row_of(in, how->v)[k];
    for (int32_t i = how->first; i < how->end; i++) {
        int passes = truly_passes(b, words, row_of(in, how->x), row_of(in, i));
        int fits = truly_within(b, words, row_of(in, how->x), row_of(in, i), in->cap);
        truth[i >> 6] |= (uint64_t)passes << (i & 63);
        may[i >> 6] |= (uint64_t)(passes && fits) << (i & 63);
        n_true += passes;
    }
    mp2_triple triple = {.words = words,
        .tails = how->all_tails ? ones : out->passing,
        .support = out->counts,
        .row_x = row_of(in, how->x),
        .tails_x = how->all_tails ? ones : bits_x,
        .support_x = how->use_row_x ? counts_x : NULL,
        .need_v = need_v,
        .need_x = need_x,
        .wins = wins,
        .left = out->left,
        .lane_0 = lane_0,
        .others = others,
        .v = how->v,
        .x = how->x,
        .first = how->first,
        .end = how->end,
        .scored = how->scored,
        .cap_first = how->cap_first};
    loops->decide(b, &triple, &out->decided);
    if (how->cap_first ? out->decided.n_passing > n_true : out->decided.n_passing != n_true)
        fail(loops->name, "decide: n_passing", trial);
    for (int32_t w = how->first >> 6; how->scored && w < b->n_blocks; w++) {
        uint64_t left = out->decided.any_left ? out->left[w] : 0;
        if ((may[w] & ~left) || (left & ~truth[w]))
            fail(loops->name, "decide: left", trial);
    }
    free(words), free(wins), free(counts_x), free(need_v), free(need_x);
}

static int same_outcome(
    const struct input *in, const struct outcome *one, const struct outcome *two)
{
    size_t n = (size_t)in->base.n_blocks;
    return one->decided.n_passing == two->decided.n_passing &&
           one->decided.any_left == two->decided.any_left &&
           memcmp(one->passing, two->passing, n * 8) == 0 &&
           (!one->decided.any_left || memcmp(one->left, two->left, n * 8) == 0) &&
           memcmp(one->counts, two->counts, n * 2 * (size_t)in->base.n_days * 64) == 0;
}

static void compare_block_loops(const mp2_loops *loops, int32_t trial)
{
    const mp2_loops *plain = mp2_find_loops("portable");
    int32_t hits[2][MP2_MAX_LANES], buys[2][MP2_MAX_LANES];
    struct input in = draw_input();
    struct choices how = {.v = random_below(in.n),
        .x = random_below(in.n),
        .all_tails = random_below(2),
        .use_row_x = random_below(2),
        .cap_first = random_below(2)};
    struct outcome one, two;
    describe(&in);
    how.first = random_below(in.n),
    how.end = random_below(2) ? in.n : how.first + 1 + random_below(in.n - how.first);
    how.scored = how.cap_first || random_below(2);
    plain->count_days(&in.base, row_of(&in, how.v), row_of(&in, how.x), hits[0], buys[0]);
    loops->count_days(&in.base, row_of(&in, how.v), row_of(&in, how.x), hits[1], buys[1]);
    for (int32_t d = 0; d < in.base.n_days; d++)
        if (hits[0][d] != hits[1][d] || buys[0][d] != buys[1][d])
            fail(loops->name, "count_days", trial);
    /* A triple only has members that passed: v with the base, x with both. */
    if (truly_passes(&in.base, row_of(&in, how.v), row_of(&in, how.x), in.group)) {
        decide(&in, plain, &how, &one, trial);
        decide(&in, loops, &how, &two, trial);
        if (!same_outcome(&in, &one, &two))
            fail(loops->name, "a block loop", trial);
        free(one.counts), free(two.counts);
    }
    free(in.group), free(in.columns), free(in.upper), free(in.need), free(in.shift);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"portable", "neon", "avx2", "avx512"};
    int32_t n_trials = argc > 1 ? atoi(argv[1]) : 2000;
    for (int32_t k = 0; k < 4; k++) {
        const mp2_loops *loops = mp2_find_loops(names[k]);
        random_state = 0x9e3779b97f4a7c15ULL ^ (uint64_t)(argc > 2 ? atoi(argv[2]) : 1);
        for (int32_t trial = 0; loops && trial < n_trials; trial++) {
            compare_general(loops, trial);
            compare_block_loops(loops, trial);
        }
        if (loops)
            printf("%s ", loops->name);
    }
    printf("%s\n", n_failures ? "DIFFER" : "agree");
    return n_failures ? 1 : 0;
}
