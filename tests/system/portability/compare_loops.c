/* Every variant of the innermost loops that this machine has, on random inputs, against the plain meaning of each loop.
 *
 *   cc -O2 -I src/mp2 tests/system/portability/compare_loops.c -o compare_loops && ./compare_loops [trials] [seed]
 *
 * Prints the variants compared and exits with 0, or prints what differs and exits with 1. Needs no Python, so that it runs
 * where only an emulator does (see tests/system/portability/test_portability.py). Inputs are built as `_recurse.pyx` builds them. */
#include <stdio.h>
#include <stdlib.h>

#include "_scan.h"

enum { MAX_DAYS = 40, MAX_BLOCKS = 6, MAX_CHUNKS = 4, SLACK = 8 };

static uint64_t random_state;
static int32_t n_failures;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
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

static int64_t ceil_shift(int64_t value, int32_t shift) { return (value + ((1LL << shift) - 1)) >> shift; }

/* ---- the plain meaning */

/* Tickers of a & b & c in `lane`, in the chunks from `from` to before `to`. */
static int32_t tickers(const struct mp2_base *base, const uint64_t *a, const uint64_t *b, const uint64_t *c, int32_t lane, int32_t from,
                       int32_t to)
{
    int32_t total = 0;
    for (int32_t i = from; i < to; i++)
        for (uint64_t word = a[i * base->n_lanes + lane] & b[i * base->n_lanes + lane] & c[i * base->n_lanes + lane]; word; word &= word - 1)
            total++;
    return total;
}

static int truly_passes(const struct mp2_base *base, const uint64_t *a, const uint64_t *b, const uint64_t *c)
{
    int32_t total = 0, passes = 1;
    for (int32_t d = 0; d < base->n_days; d++) {
        passes &= tickers(base, a, b, c, d, 0, base->n_win_chunks) >= base->floor;
        total += tickers(base, a, b, c, d, 0, base->n_win_chunks + base->n_loss_chunks);
    }
    return passes && total > 0;
}

static int truly_within(const struct mp2_base *base, const uint64_t *a, const uint64_t *b, const uint64_t *c, int32_t cap)
{
    for (int32_t d = 0; d < base->n_days; d++)
        if (tickers(base, a, b, c, d, 0, base->n_win_chunks + base->n_loss_chunks) > cap)
            return 0;
    return 1;
}

/* ---- the loops over a panel's own layout */

static void compare_mixed(const struct mp2_loops *loops, const struct mp2_panel *panel, const uint64_t *state, int32_t n,
                          int32_t trial)
{
    int32_t candidates[50], found[2][3][50], counts[2][3];
    for (int32_t i = 0; i < n; i++)
        candidates[i] = i;
    mp2_find_loops("portable")->pass_mixed(panel, state, candidates, n, found[0][0], found[0][1], found[0][2], counts[0]);
    loops->pass_mixed(panel, state, candidates, n, found[1][0], found[1][1], found[1][2], counts[1]);
    for (int32_t k = 0; k < 3; k++)
        if (counts[0][k] != counts[1][k] || memcmp(found[0][k], found[1][k], sizeof(int32_t) * (size_t)counts[0][k]) != 0)
            fail(loops->name, "pass_mixed", trial);
}

/* The same rows with their days side by side. */
static uint64_t *side_by_side(const struct mp2_panel *from, const struct mp2_panel *to, const uint64_t *rows, int32_t n)
{
    uint64_t *out = zeros(sizeof(uint64_t) * (size_t)n * (size_t)to->row_words);
    for (int32_t i = 0; i < n; i++)
        for (int32_t d = 0; d < from->n_days; d++)
            for (int32_t w = 0; w < from->n_words; w++)
                out[i * to->row_words + d + w * to->word_step] = rows[i * from->row_words + d * from->n_words + w];
    return out;
}

static void compare_general(const struct mp2_loops *loops, int32_t trial)
{
    const struct mp2_loops *plain = mp2_find_loops("portable");
    int32_t n = 1 + random_below(50), D = 1 + random_below(9), W = 1 + random_below(9), density = 4 + random_below(13);
    int32_t n_part = D * W, one[50], two[50], candidates[50];
    uint64_t *rows = zeros(sizeof(uint64_t) * (size_t)n * (size_t)n_part), *wins = zeros(sizeof(uint64_t) * (size_t)n * (size_t)n_part);
    uint64_t *state = zeros(sizeof(uint64_t) * 2 * (size_t)n_part);
    struct mp2_panel panel = {.rows = rows, .win_rows = wins, .row_words = n_part, .n_days = D, .n_words = W, .day_step = W,
                              .word_step = 1, .floor = random_below(2) ? random_below(W * 40) : random_below(6), .cap = random_below(W * 50)};
    for (int32_t i = 0; i < n * n_part; i++)
        rows[i] = random_bits(density), wins[i] = rows[i] & random_word();
    for (int32_t i = 0; i < n_part; i++) {
        uint64_t consensus = random_bits(density), won = random_word();
        state[i] = consensus & won, state[n_part + i] = consensus & ~won;
    }
    for (int32_t i = 0; i < n; i++)
        candidates[i] = i;
#define SAME(count, other) (count == (other) && memcmp(one, two, sizeof(int32_t) * (size_t)count) == 0)
    int32_t count = plain->pass_floor(&panel, state, candidates, n, one);
    if (!SAME(count, loops->pass_floor(&panel, state, candidates, n, two)))
        fail(loops->name, "pass_floor", trial);
    count = plain->pass_any(&panel, state, candidates, n, one);
    if (!SAME(count, loops->pass_any(&panel, state, candidates, n, two)))
        fail(loops->name, "pass_any", trial);
    count = plain->within_cap(&panel, state, candidates, n, one);
    if (!SAME(count, loops->within_cap(&panel, state, candidates, n, two)))
        fail(loops->name, "within_cap", trial);
    compare_mixed(loops, &panel, state, n, trial);
    struct mp2_panel squeezed = panel;
    squeezed.day_step = 1, squeezed.word_step = (D + 7) / 8 * 8, squeezed.row_words = (int64_t)W * squeezed.word_step;
    uint64_t *side_rows = side_by_side(&panel, &squeezed, rows, n), *side_wins = side_by_side(&panel, &squeezed, wins, n);
    uint64_t *side_state = side_by_side(&panel, &squeezed, state, 2);
    squeezed.rows = side_rows, squeezed.win_rows = side_wins;
    compare_mixed(loops, &squeezed, side_state, n, trial);
    free(side_rows), free(side_wins), free(side_state);
    free(rows), free(wins), free(state);
}

/* ---- the loops below a base */

struct input {
    struct mp2_base base;
    int32_t n, cap, row_words, stride;
    uint64_t *rows, *columns, *group;
    uint8_t *upper, *need, *shift, *limit_of;
};

static const uint64_t *row_of(const struct input *in, int32_t i) { return in->rows + (int64_t)i * in->row_words; }

static struct input draw_input(void)
{
    static const int32_t days[] = {1, 2, 5, 7, 8, 9, 15, 16, 17, 33}, floors[] = {0, 1, 3, 4, 5, 8, 9, 20, 60, 150, 256, 300};
    struct input in;
    struct mp2_base *b = &in.base;
    int32_t density = 6 + random_below(11);
    memset(b, 0, sizeof *b);
    in.n = random_below(3) ? 1 + random_below(64 * MAX_BLOCKS) : 64 * (1 + random_below(MAX_BLOCKS));
    b->n_blocks = (in.n + 63) / 64, b->n_days = days[random_below(10)], b->n_lanes = (b->n_days + 7) / 8 * 8;
    b->n_win_chunks = random_below(MAX_CHUNKS + 1), b->n_loss_chunks = random_below(MAX_CHUNKS + 1);
    b->n_loss_chunks += b->n_win_chunks + b->n_loss_chunks == 0;
    b->floor = b->n_win_chunks ? floors[random_below(12)] : 0, b->n_tests = b->floor ? b->n_days : 1;
    int32_t near = b->n_win_chunks && random_below(3); /* a floor and a cap that some group of three lies on */
    b->bounded = random_below(4) > 0, b->capped = random_below(4) > 0;
    in.cap = random_below(3) ? random_below(64 * (b->n_win_chunks + b->n_loss_chunks) + 1) : random_below(25);
    in.row_words = (b->n_win_chunks + b->n_loss_chunks) * b->n_lanes;
    in.group = zeros(sizeof(uint64_t) * (size_t)in.row_words * (size_t)(64 * b->n_blocks + 1));
    in.rows = in.group + in.row_words;
    for (int32_t i = -1; i < in.n; i++)
        for (int32_t k = 0; k < in.row_words; k++)
            if (k % b->n_lanes < b->n_days)
                in.rows[(int64_t)i * in.row_words + k] = random_bits(i < 0 ? 12 : density) & (i < 0 ? ~0ULL : in.group[k]);
    if (near) {
        const uint64_t *one = row_of(&in, random_below(in.n)), *two = row_of(&in, random_below(in.n)), *three = row_of(&in, random_below(in.n));
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

/* Shifts, needs, upper bounds, limits and columns of a base, as `choose_shifts`, `count_base` and `make_columns` make them. */
static void describe(struct input *in)
{
    struct mp2_base *b = &in->base;
    int32_t D = b->n_days, planes = 2 * D, hits[MP2_MAX_LANES], buys[MP2_MAX_LANES];
    const struct mp2_loops *plain = mp2_find_loops("portable");
    int64_t total = 0;
    in->stride = (planes + 15) / 16 * 16;
    in->upper = zeros((size_t)b->n_blocks * (size_t)planes * 64), in->need = zeros((size_t)planes), in->shift = zeros((size_t)planes);
    in->limit_of = zeros((size_t)in->n * (size_t)in->stride);
    in->columns = zeros(sizeof(uint64_t) * ((size_t)b->n_win_chunks * 64 * (size_t)b->n_blocks + SLACK));
    plain->count_days(b, in->group, in->group, hits, buys);
    for (int32_t d = 0; d < D; d++)
        total += buys[d];
    for (int32_t p = 0; p < planes; p++) {
        int64_t count = p >= D ? buys[p - D] : b->floor ? hits[p] : total, need = b->floor > 1 ? b->floor : 1;
        need = p < D ? need : (in->cap < count ? in->cap : count) + 1;
        while (ceil_shift(count, in->shift[p]) + ceil_shift(need, in->shift[p]) > 255)
            in->shift[p]++;
        in->need[p] = (uint8_t)ceil_shift(need, in->shift[p]);
    }
    b->rows = in->rows, b->upper = in->upper, b->need = in->need, b->shift = in->shift;
    b->columns = b->floor > 0 && b->floor <= 256 ? in->columns : NULL;
    for (int32_t w = 0; w < b->n_blocks; w++)
        plain->count_block(b, in->group, w, ~0ULL, 1, in->upper + (int64_t)w * planes * 64);
    for (int32_t i = 0; i < in->n; i++)
        for (int32_t p = 0; p < planes; p++)
            in->limit_of[i * in->stride + p] = (uint8_t)(in->need[p] + in->upper[(i >> 6) * planes * 64 + p * 64 + (i & 63)]);
    for (int32_t ticker = 0; ticker < 64 * b->n_win_chunks; ticker++)
        for (int32_t i = 0; i < in->n; i++)
            if (row_of(in, i)[(ticker >> 6) * b->n_lanes] >> (ticker & 63) & 1)
                in->columns[(int64_t)ticker * b->n_blocks + (i >> 6)] |= 1ULL << (i & 63);
}

/* The row of counts of one candidate by one variant, checked against the plain meaning of its bits. */
static void count_row(const struct input *in, const struct mp2_loops *loops, int32_t i, uint64_t *passing, uint8_t *counts, int32_t trial)
{
    const struct mp2_base *b = &in->base;
    uint64_t *words = zeros(sizeof(uint64_t) * (size_t)in->row_words);
    for (int32_t k = 0; k < in->row_words; k++)
        words[k] = in->group[k] & row_of(in, i)[k];
    for (int32_t w = 0; w < b->n_blocks; w++) {
        passing[w] = loops->count_block(b, words, w, ~0ULL, 0, counts + (int64_t)w * 2 * b->n_days * 64);
        for (int32_t c = 0; c < 64; c++) {
            int expected = w * 64 + c < in->n && truly_passes(b, words, words, row_of(in, w * 64 + c));
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
    uint64_t passing[MAX_BLOCKS], left[MAX_BLOCKS + SLACK], within[MAX_BLOCKS + SLACK], kept[MAX_BLOCKS], above[MAX_BLOCKS];
    int64_t n_passing;
    int32_t opened, any_within;
    uint8_t *counts;
};

/* How a triple is decided: the choices a caller has, drawn once and used for every variant. */
struct choices {
    int32_t v, x, first, end, all_tails, use_row_x, hint_within, hint_surely, hint_above, cap_first, keep;
    uint64_t noise[MAX_BLOCKS];
};

static void decide(const struct input *in, const struct mp2_loops *loops, const struct choices *how, struct outcome *out, int32_t trial)
{
    const struct mp2_base *b = &in->base;
    size_t row_bytes = (size_t)b->n_blocks * 2 * (size_t)b->n_days * 64, words_bytes = sizeof(uint64_t) * (size_t)in->row_words;
    uint64_t truth[MAX_BLOCKS] = {0}, may[MAX_BLOCKS] = {0}, bits_x[MAX_BLOCKS], doubt[2 * MAX_BLOCKS];
    uint64_t within[MAX_BLOCKS], surely[MAX_BLOCKS], above[MAX_BLOCKS], ones[MAX_BLOCKS];
    uint64_t *words = zeros(words_bytes), *wins = zeros(words_bytes);
    uint8_t *counts_x = zeros(row_bytes), *need_v = zeros((size_t)in->stride), *need_x = zeros((size_t)in->stride);
    uint8_t *low = zeros((size_t)b->n_blocks * 64 * (size_t)in->stride);
    int64_t n_counted = 0;
    memset(out, 0, sizeof *out), memset(ones, 0xff, sizeof ones);
    out->counts = zeros(row_bytes);
    count_row(in, loops, how->v, out->passing, out->counts, trial);
    count_row(in, loops, how->x, bits_x, counts_x, trial);
    loops->turn_row(b, out->counts, 0, low);
    for (int32_t i = 0; i < 64 * b->n_blocks; i++)
        for (int32_t p = 0; p < 2 * b->n_days; p++)
            if (low[(int64_t)i * in->stride + p] != out->counts[((int64_t)(i >> 6) * 2 * b->n_days + p) * 64 + (i & 63)])
                fail(loops->name, "turn_row", trial), p = 2 * b->n_days, i = 64 * b->n_blocks;
    for (int32_t k = 0; k < in->row_words; k++)
        words[k] = in->group[k] & row_of(in, how->v)[k];
    for (int32_t w = 0; w < b->n_blocks; w++)
        above[w] = 0;
    for (int32_t i = 0; i < in->n; i++) {
        uint64_t bit = 1ULL << (i & 63);
        int passes = truly_passes(b, words, row_of(in, how->x), row_of(in, i));
        int fits = truly_within(b, words, row_of(in, how->x), row_of(in, i), in->cap);
        above[i >> 6] |= how->hint_above && !fits ? how->noise[i >> 6] & bit : 0;
        if (i >= how->first && i < how->end)
            truth[i >> 6] |= passes ? bit : 0, may[i >> 6] |= passes && fits ? bit : 0;
    }
    for (int32_t w = 0; w < b->n_blocks; w++) {
        within[w] = how->hint_within ? truth[w] | how->noise[w] : ~0ULL;
        surely[w] = how->hint_surely ? truth[w] & ~how->noise[w] : 0;
    }
    struct mp2_pair pair = {words, how->all_tails ? ones : out->passing, out->counts, low, in->limit_of + (int64_t)how->v * in->stride};
    struct mp2_triple triple = {
        &pair, row_of(in, how->x), how->all_tails ? ones : bits_x, within, surely, above, how->keep ? out->kept : NULL,
        how->keep ? out->above : NULL, how->use_row_x ? counts_x : NULL, in->limit_of + (int64_t)how->x * in->stride, need_v, need_x, wins,
        how->x, how->first, how->end, how->cap_first};
    out->opened = loops->open_triple(b, &triple, out->left);
    if (out->opened && how->cap_first) {
        out->any_within = loops->maybe_within_cap(b, &triple, out->left);
        out->n_passing = loops->settle_hits(b, &triple, out->left, doubt, &n_counted);
        memcpy(out->within, out->left, sizeof out->left);
    } else if (out->opened) {
        out->n_passing = loops->settle_hits(b, &triple, out->left, doubt, &n_counted);
        memcpy(out->within, out->left, sizeof out->left);
        out->any_within = loops->maybe_within_cap(b, &triple, out->within);
    }
    for (int32_t w = how->first >> 6; w < b->n_blocks; w++) {
        if (how->cap_first ? (out->left[w] & ~truth[w]) != 0 : out->left[w] != truth[w])
            fail(loops->name, "settle_hits", trial);
        if ((may[w] & ~out->within[w]) || (out->within[w] & ~truth[w]))
            fail(loops->name, "maybe_within_cap", trial);
        if (out->opened && how->keep && (out->kept[w] != out->left[w] || (out->above[w] & may[w])))
            fail(loops->name, "what is kept", trial);
    }
    free(words), free(wins), free(counts_x), free(need_v), free(need_x), free(low);
}

static int same_outcome(const struct input *in, const struct outcome *one, const struct outcome *two)
{
    size_t n = (size_t)in->base.n_blocks;
    return one->n_passing == two->n_passing && one->opened == two->opened && one->any_within == two->any_within &&
           memcmp(one->passing, two->passing, n * 8) == 0 && memcmp(one->left, two->left, n * 8) == 0 &&
           memcmp(one->within, two->within, n * 8) == 0 && memcmp(one->kept, two->kept, n * 8) == 0 &&
           memcmp(one->above, two->above, n * 8) == 0 &&
           memcmp(one->counts, two->counts, n * 2 * (size_t)in->base.n_days * 64) == 0;
}

static void compare_block_loops(const struct mp2_loops *loops, int32_t trial)
{
    const struct mp2_loops *plain = mp2_find_loops("portable");
    int32_t hits[2][MP2_MAX_LANES], buys[2][MP2_MAX_LANES];
    struct input in = draw_input();
    struct choices how = {.v = random_below(in.n), .x = random_below(in.n), .all_tails = random_below(2), .use_row_x = random_below(2),
                          .hint_within = random_below(2), .hint_surely = random_below(2), .hint_above = random_below(2),
                          .cap_first = random_below(2), .keep = random_below(2)};
    struct outcome one, two;
    describe(&in);
    how.first = random_below(in.n), how.end = random_below(2) ? in.n : how.first + 1 + random_below(in.n - how.first);
    for (int32_t w = 0; w < MAX_BLOCKS; w++)
        how.noise[w] = random_word();
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
    free(in.group), free(in.columns), free(in.upper), free(in.need), free(in.shift), free(in.limit_of);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"portable", "neon", "avx2", "avx512"};
    int32_t n_trials = argc > 1 ? atoi(argv[1]) : 2000;
    for (int32_t k = 0; k < 4; k++) {
        const struct mp2_loops *loops = mp2_find_loops(names[k]);
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
