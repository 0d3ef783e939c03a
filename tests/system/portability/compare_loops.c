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
static int32_t n_failures, n_decided;

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

/* A base as `base.pxd` makes it, and the memory of all that belongs to it. */
struct input {
    mp2_base base;
    void *memory[20];
    int32_t n_memory;
};

static void *keep(struct input *in, size_t n)
{
    return in->memory[in->n_memory++] = zeros(n);
}

static const uint64_t *row_of(const struct input *in, int32_t i)
{
    return in->base.rows + (int64_t)i * in->base.row_words;
}

static void draw_rows(struct input *in)
{
    mp2_base *b = &in->base;
    int32_t density = 6 + random_below(11);
    b->rows = keep(in, sizeof(uint64_t) * (size_t)b->row_words * (size_t)(64 * b->n_blocks));
    uint64_t *group = b->rows + (int64_t)b->n * b->row_words;
    for (int32_t k = 0; k < b->row_words; k++)
        group[k] = k % b->n_lanes < b->n_days ? random_bits(12) : 0;
    for (int32_t i = 0; i < b->n; i++)
        for (int32_t k = 0; k < b->row_words; k++)
            b->rows[(int64_t)i * b->row_words + k] = random_bits(density) & group[k];
}

/* A floor and a cap that some group of three lies on. */
static void limit_near(struct input *in)
{
    mp2_base *b = &in->base;
    const uint64_t *one = row_of(in, random_below(b->n)), *two = row_of(in, random_below(b->n)),
                   *three = row_of(in, random_below(b->n));
    b->floor = 64 * MAX_CHUNKS, b->cap = 0;
    for (int32_t d = 0; d < b->n_days; d++) {
        int32_t hits = tickers(b, one, two, three, d, 0, b->n_win_chunks);
        int32_t buys = tickers(b, one, two, three, d, 0, b->n_win_chunks + b->n_loss_chunks);
        b->floor = hits < b->floor ? hits : b->floor;
        b->cap = buys > b->cap ? buys : b->cap;
    }
}

static void draw_sizes(struct input *in)
{
    static const int32_t days[] = {1, 2, 5, 7, 8, 9, 15, 16, 17, 33},
                         floors[] = {0, 1, 3, 4, 5, 8, 9, 20, 60, 150, 256, 300};
    mp2_base *b = &in->base;
    memset(in, 0, sizeof *in);
    b->n = 1 + random_below(64 * MAX_BLOCKS - 1);
    b->n_blocks = b->n / 64 + 1;
    b->n_days = random_below(2) ? MP2_USUAL_DAYS : days[random_below(10)];
    b->n_lanes = (b->n_days + 7) / 8 * 8;
    b->n_win_chunks = random_below(MAX_CHUNKS + 1), b->n_loss_chunks = random_below(MAX_CHUNKS + 1);
    b->n_loss_chunks += b->n_win_chunks + b->n_loss_chunks == 0;
    b->row_words = (b->n_win_chunks + b->n_loss_chunks) * b->n_lanes;
    b->floor = b->n_win_chunks ? floors[random_below(12)] : 0;
    b->cap = random_below(3) ? random_below(64 * (b->n_win_chunks + b->n_loss_chunks) + 1)
                             : random_below(25);
    b->bounded = random_below(4) > 0, b->capped = random_below(4) > 0;
    b->use_tails = random_below(4) > 0, b->absent = b->use_tails ? 0 : 255;
}

/* Copies the rows side by side by eights, as `put_beside` does; all chunks of all days. */
static void put_beside(struct input *in)
{
    mp2_base *b = &in->base;
    int32_t D = b->n_days, n_chunks = b->n_win_chunks + b->n_loss_chunks;
    b->n_wins_of = keep(in, sizeof(int32_t) * (size_t)D);
    b->n_losses_of = keep(in, sizeof(int32_t) * (size_t)D);
    b->eight_words = D * n_chunks;
    b->eights =
        keep(in, sizeof(uint64_t) * (size_t)b->eight_words * (size_t)(64 * b->n_blocks));
    for (int32_t d = 0; d < D; d++)
        b->n_wins_of[d] = b->n_win_chunks, b->n_losses_of[d] = b->n_loss_chunks;
    for (int32_t i = 0; i < 64 * b->n_blocks; i++)
        for (int32_t k = 0; k < b->eight_words; k++)
            b->eights[((int64_t)(i >> 3) * b->eight_words + k) * 8 + (i & 7)] =
                row_of(in, i)[k % n_chunks * b->n_lanes + k / n_chunks];
}

/* Counts of base and candidates, as `choose_shifts` and `count_base` make them. */
static void count_base(struct input *in)
{
    mp2_base *b = &in->base;
    int32_t D = b->n_days, hits[MP2_MAX_LANES], buys[MP2_MAX_LANES];
    size_t n_rows = (size_t)(64 * b->n_blocks);
    b->totals = keep(in, sizeof(int32_t) * (n_rows + 1) * (size_t)b->n_planes);
    b->missing = keep(in, n_rows * (size_t)D), b->own = keep(in, (n_rows + 1) * (size_t)D);
    b->most = keep(in, n_rows * (size_t)b->n_planes), b->shift = keep(in, (size_t)b->n_planes);
    for (int32_t i = b->n; i >= 0; i--) {
        int32_t *totals = b->totals + (int64_t)i * b->n_planes, total = 0;
        uint8_t *own = b->own + (int64_t)i * D;
        mp2_find_loops("portable")->count_days(b, row_of(in, b->n), row_of(in, i), hits, buys);
        for (int32_t d = 0; d < D; d++)
            total += buys[d];
        for (int32_t p = 0; p < b->n_planes; p++) {
            totals[p] = p < D ? buys[p] : b->floor ? hits[p - D] : total;
            while (i == b->n && totals[p] >> b->shift[p] > 250)
                b->shift[p]++;
        }
        for (int32_t d = 0; d < D; d++) {
            int32_t missing = b->totals[(int64_t)b->n * b->n_planes + d] - totals[d];
            b->missing[((i >> 6) * D + d) * 64 + (i & 63)] = (uint8_t)(missing >> b->shift[d]);
            own[d] = (uint8_t)ceil_shift(missing, b->shift[d]);
        }
    }
}

static void make_columns(struct input *in)
{
    mp2_base *b = &in->base;
    if (b->n_planes == b->n_days || b->floor == 0 || b->floor > 256)
        return;
    b->columns = keep(in,
        sizeof(uint64_t) * ((size_t)b->n_win_chunks * 64 * (size_t)b->n_blocks + SLACK));
    for (int32_t ticker = 0; ticker < 64 * b->n_win_chunks; ticker++)
        for (int32_t i = 0; i <= b->n; i++)
            if (row_of(in, i)[(ticker >> 6) * b->n_lanes] >> (ticker & 63) & 1)
                b->columns[(int64_t)ticker * b->n_blocks + (i >> 6)] |= 1ULL << (i & 63);
}

static size_t support_bytes(const mp2_base *b)
{
    return (size_t)mp2_head_bytes(b) + (size_t)b->n_blocks * (size_t)b->n_planes * 64;
}

static struct input draw_input(void)
{
    struct input in;
    mp2_base *b = &in.base;
    int32_t per_algo = 1 + random_below(30);
    draw_sizes(&in);
    draw_rows(&in);
    if (b->n_win_chunks && random_below(3))
        limit_near(&in);
    b->n_tests = b->floor ? b->n_days : 1;
    b->n_planes = random_below(2) ? b->n_days : b->n_days + b->n_tests;
    put_beside(&in);
    count_base(&in);
    make_columns(&in);
    b->support = keep(&in, sizeof(uint64_t *) * (size_t)(b->n + 1));
    b->after = keep(&in, sizeof(int32_t) * (size_t)(b->n + 1));
    for (int32_t i = 0; i < b->n; i++) {
        int32_t after = (i / per_algo + 1) * per_algo;
        b->after[i] = after < b->n ? after : b->n;
    }
    b->no_support = keep(&in, support_bytes(b));
    memset(b->no_support, 0xff, support_bytes(b));
    return in;
}

/* How a triple is decided: the choices a caller has, drawn once and used for every variant. */
struct choices {
    int32_t v, x, first, end, keep_row_x, scored;
};

/* What one variant makes of a triple. */
struct outcome {
    uint64_t *support_v, *support_x, hopeful, within_cap, doubtful;
    int32_t left[64 * MAX_BLOCKS], found[64 * MAX_BLOCKS];
    mp2_decided decided, of_find;
};

/* The row of the support table of one candidate, its bits checked against their plain meaning. */
static uint64_t *count_row(
    const struct input *in, const mp2_loops *loops, int32_t i, int32_t trial)
{
    const mp2_base *b = &in->base;
    uint64_t *words = zeros(sizeof(uint64_t) * (size_t)b->row_words);
    uint64_t *support = zeros(support_bytes(b));
    uint8_t *lost = mp2_lost_of(b, support, b->after[i]);
    for (int32_t k = 0; k < b->row_words; k++)
        words[k] = row_of(in, b->n)[k] & row_of(in, i)[k];
    for (int32_t w = b->after[i] >> 6; w < b->n_blocks; w++)
        support[w] = loops->count_block(b, words, b->totals + (int64_t)i * b->n_planes, w,
            lost + (int64_t)w * b->n_planes * 64);
    support[b->after[i] >> 6] &= ~0ULL << (b->after[i] & 63);
    support[b->n >> 6] &= (1ULL << (b->n & 63)) - 1;
    for (int32_t c = b->after[i]; c < b->n; c++)
        if ((int)(support[c >> 6] >> (c & 63) & 1) !=
            truly_passes(b, words, words, row_of(in, c))) {
            fail(loops->name, "count_block", trial);
            break;
        }
    free(words);
    return support;
}

/* Checks what was decided against the plain meaning. */
static void check(const struct input *in, const mp2_loops *loops, const struct choices *how,
    const uint64_t *words, const struct outcome *out, int32_t trial)
{
    const mp2_base *b = &in->base;
    const uint64_t *row_x = row_of(in, how->x);
    int32_t n_true = 0, n_left = 0, fast = b->n_planes == b->n_days;
    for (int32_t i = how->first; i < how->end; i++) {
        int passes = truly_passes(b, words, row_x, row_of(in, i));
        int fits = passes && truly_within(b, words, row_x, row_of(in, i), b->cap);
        int left = n_left < out->decided.n_left && out->left[n_left] == i;
        n_true += passes, n_left += left;
        if ((left && !passes) || (how->scored && fits && !left) || (fast && left && !fits))
            fail(loops->name, "decide: left", trial);
    }
    if (n_left != out->decided.n_left || out->decided.n_passing != (fast ? n_left : n_true))
        fail(loops->name, "decide: numbers", trial);
    if (!(out->within_cap >> (how->x & 63) & 1) && truly_within(b, words, words, row_x, b->cap))
        fail(loops->name, "aim", trial);
}

/* The most that a later candidate takes of x, where its row is kept. */
static void note_own_most(const mp2_base *b, const mp2_loops *loops, int32_t x, uint64_t *support)
{
    int32_t n = b->n_planes, first = b->after[x] >> 6;
    uint8_t *most = zeros((size_t)(b->n_blocks + 1) * (size_t)n);
    memset(b->most, 0xff, (size_t)b->n_blocks * (size_t)n * 64);
    loops->note_most(b, mp2_lost_of(b, support, b->after[x]), first, most);
    for (int32_t p = 0; p < n && b->support[x]; p++)
        b->most[((x >> 6) * n + p) * 64 + (x & 63)] = most[first * n + p];
    free(most);
}

static void decide(const struct input *in, const mp2_loops *loops, const struct choices *how,
    struct outcome *out, int32_t trial)
{
    const mp2_base *b = &in->base;
    size_t D = (size_t)b->n_days, mask_bytes = sizeof(uint64_t) * (size_t)(b->n_blocks + SLACK),
           words_bytes = sizeof(uint64_t) * (size_t)b->row_words;
    uint64_t *words = zeros(words_bytes), *both = zeros(words_bytes);
    uint64_t *masks[3] = {zeros(mask_bytes), zeros(mask_bytes), zeros(mask_bytes)};
    size_t n_planes = (size_t)b->n_planes;
    uint8_t *bytes = zeros((size_t)(b->n_blocks + 1) * n_planes), *start = zeros(n_planes);
    uint8_t *need = zeros(64 * D), *slack = zeros(64 * (size_t)b->n_tests);
    int32_t block = how->x >> 6;
    int64_t credit = 1 << 30;
    memset(out, 0, sizeof *out);
    for (int32_t k = 0; k < b->row_words; k++)
        words[k] = row_of(in, b->n)[k] & row_of(in, how->v)[k];
    out->support_v = count_row(in, loops, how->v, trial);
    out->support_x = count_row(in, loops, how->x, trial);
    b->support[how->x] = how->keep_row_x ? out->support_x : NULL;
    mp2_triple triple = {.words = words,
        .tails = b->use_tails ? out->support_v : b->no_support,
        .totals = b->totals + (int64_t)how->v * b->n_planes,
        .lost = mp2_lost_of(b, out->support_v, b->after[how->v]),
        .most = bytes,
        .start = start,
        .need = need,
        .slack = slack,
        .both = both,
        .open = masks[0],
        .lane_0 = masks[1],
        .others = masks[2],
        .left = out->left,
        .scored = how->scored};
    note_own_most(b, loops, how->x, out->support_x);
    loops->note_most(b, triple.lost, b->after[how->v] >> 6, triple.most);
    loops->aim(b, &triple, block, b->after[block << 6] >> 6);
    out->hopeful = triple.hopeful, out->within_cap = triple.within_cap;
    out->doubtful = triple.doubtful;
    loops->decide(b, &triple, how->x, how->first, how->end, &out->decided);
    check(in, loops, how, words, out, trial);
    triple.left = out->found;
    if (b->n_planes == b->n_days && b->use_tails && how->scored)
        loops->find(b, &triple, block, triple.hopeful & (1ULL << (how->x & 63)), &credit,
            &out->of_find);
    for (int32_t k = 0; k < out->of_find.n_left; k++)
        if (out->found[k] >= how->first && out->found[k] < how->end &&
            !truly_within(b, words, row_of(in, how->x), row_of(in, out->found[k]), b->cap))
            fail(loops->name, "find", trial);
    free(words), free(both), free(masks[0]), free(masks[1]), free(masks[2]);
    free(bytes), free(start), free(need), free(slack);
}

static int same_outcome(
    const struct input *in, const struct outcome *one, const struct outcome *two)
{
    return one->decided.n_passing == two->decided.n_passing &&
           same_list(one->left, one->decided.n_left, two->left, two->decided.n_left) &&
           same_list(one->found, one->of_find.n_left, two->found, two->of_find.n_left) &&
           one->hopeful == two->hopeful && one->within_cap == two->within_cap &&
           one->doubtful == two->doubtful &&
           memcmp(one->support_v, two->support_v, support_bytes(&in->base)) == 0 &&
           memcmp(one->support_x, two->support_x, support_bytes(&in->base)) == 0;
}

/* A pair and a later x that passes with it, and the y to be decided. Returns whether there are. */
static int choose(const struct input *in, struct choices *how)
{
    const mp2_base *b = &in->base;
    how->x = random_below(b->n);
    how->v = random_below(4) ? random_below(how->x + 1) : b->n;
    how->keep_row_x = random_below(2), how->scored = random_below(4) > 0;
    if (b->after[how->v] > how->x || b->after[how->x] == b->n)
        return 0;
    how->first = b->after[how->x];
    how->end = b->n;
    if (random_below(2)) {
        how->first += random_below(b->n - how->first);
        how->end = how->first + 1 + random_below(b->n - how->first);
    }
    return truly_passes(b, row_of(in, how->v), row_of(in, how->x), row_of(in, b->n));
}

static void compare_block_loops(const mp2_loops *loops, int32_t trial)
{
    const mp2_loops *plain = mp2_find_loops("portable");
    int32_t hits[2][MP2_MAX_LANES], buys[2][MP2_MAX_LANES];
    struct input in = draw_input();
    const mp2_base *b = &in.base;
    const uint64_t *one_row = row_of(&in, random_below(b->n)), *other = row_of(&in, b->n);
    struct choices how;
    static struct outcome one, two;
    plain->count_days(b, one_row, other, hits[0], buys[0]);
    loops->count_days(b, one_row, other, hits[1], buys[1]);
    for (int32_t d = 0; d < b->n_days; d++)
        if (hits[0][d] != hits[1][d] || buys[0][d] != buys[1][d])
            fail(loops->name, "count_days", trial);
    if (choose(&in, &how)) {
        decide(&in, plain, &how, &one, trial);
        decide(&in, loops, &how, &two, trial);
        if (!same_outcome(&in, &one, &two))
            fail(loops->name, "a block loop", trial);
        n_decided++;
        free(one.support_v), free(one.support_x), free(two.support_v), free(two.support_x);
    }
    while (in.n_memory)
        free(in.memory[--in.n_memory]);
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
    /* Many panels drawn have a triple that can be decided. */
    if (n_decided * 8 < n_trials)
        n_failures++, printf("only %d triples ", (int)n_decided);
    printf("%s\n", n_failures ? "DIFFER" : "agree");
    return n_failures ? 1 : 0;
}
