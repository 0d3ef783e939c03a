/* The innermost loops of the search: which candidates may join a group?
 *
 * Layout. A candidate's row holds, for every day, the tickers it buys. A group's state is a pair of word arrays over the
 * same tickers: `win` (the consensus tickers that won) and `loss` (the others). Word i of `win` lies over word i of a row,
 * word j of `loss` over word `loss_at + j`: `loss_at` is 0 where a row keeps the panel's layout (both parts lie over the
 * same words) and the length of `win` where the row was projected onto its starter (winners first, then losers). Day d
 * owns the words win_start[d] .. win_start[d + 1] of `win` and loss_start[d] .. loss_start[d + 1] of `loss`.
 * `day_order` lists the days in the order in which a loop looks at them; results never depend on it.
 *
 * On an inconsistent panel the two arrays are instead the consensus and the tickers any member won; both lie over the
 * panel's layout, and a second table holds the rows of wins.
 *
 * Every loop exists once, as an inlined body, and once per instruction set as a function in `struct mp2_loops`. */
#ifndef MP2_SCAN_H
#define MP2_SCAN_H

#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER)
#define MP2_INLINE static __forceinline
#else
#define MP2_INLINE static inline __attribute__((always_inline))
#endif

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define MP2_X86 1
#endif

struct mp2_rows {
    const uint64_t *rows;      /* row of candidate v: rows + (v - first) * stride */
    const uint64_t *win_rows;  /* inconsistent panels: rows of wins, same addressing */
    int64_t stride;
    int32_t first;
    int32_t n_days;
    int32_t loss_at;
    int32_t floor;             /* least hits a day */
    int32_t cap;               /* most buys a day that can be eligible */
    const int32_t *win_start;  /* n_days + 1 */
    const int32_t *loss_start; /* n_days + 1 */
    const int32_t *day_order;  /* n_days */
};

/* x86-64 has no popcount in its baseline and the compiler's substitute is a table in memory: count in parallel instead. */
MP2_INLINE int32_t mp2_count(uint64_t word, int hardware)
{
#if defined(_MSC_VER)
    hardware = 0;
#else
#if !defined(MP2_X86)
    hardware = 1;
#endif
    if (hardware)
        return __builtin_popcountll(word);
#endif
    word -= (word >> 1) & 0x5555555555555555ULL;
    word = (word & 0x3333333333333333ULL) + ((word >> 2) & 0x3333333333333333ULL);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return (int32_t)((word * 0x0101010101010101ULL) >> 56);
}

MP2_INLINE int32_t mp2_count_and(const uint64_t *a, const uint64_t *b, int32_t n, int hardware)
{
    int32_t total = 0;
    for (int32_t i = 0; i < n; i++)
        total += mp2_count(a[i] & b[i], hardware);
    return total;
}

MP2_INLINE const uint64_t *mp2_row(const struct mp2_rows *t, int32_t v) { return t->rows + (int64_t)(v - t->first) * t->stride; }

/* Consistent panel with a floor: the candidates that leave at least `floor` winners on every day. */
MP2_INLINE int32_t mp2_pass_floor_body(const struct mp2_rows *t, const uint64_t *win, const int32_t *candidates, int32_t n,
                                       int32_t *out, int hardware)
{
    int32_t n_out = 0;
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = mp2_row(t, candidates[c]);
        int32_t k = 0;
        for (; k < t->n_days; k++) {
            int32_t at = t->win_start[t->day_order[k]], end = t->win_start[t->day_order[k] + 1];
            if (mp2_count_and(win + at, row + at, end - at, hardware) < t->floor)
                break;
        }
        out[n_out] = candidates[c];
        n_out += k == t->n_days;
    }
    return n_out;
}

/* Consistent panel without a floor: the candidates that leave any consensus at all. */
MP2_INLINE int32_t mp2_pass_any_body(const struct mp2_rows *t, const uint64_t *win, const uint64_t *loss,
                                     const int32_t *candidates, int32_t n, int32_t *out)
{
    int32_t n_out = 0, n_win = t->win_start[t->n_days], n_loss = t->loss_start[t->n_days];
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = mp2_row(t, candidates[c]);
        uint64_t any = 0;
        for (int32_t i = 0; i < n_win; i++)
            any |= win[i] & row[i];
        for (int32_t j = 0; j < n_loss; j++)
            any |= loss[j] & row[t->loss_at + j];
        out[n_out] = candidates[c];
        n_out += any != 0;
    }
    return n_out;
}

/* Of candidates that pass, those whose consensus stays at or under the cap on every day: only they can be eligible. */
MP2_INLINE int32_t mp2_within_cap_body(const struct mp2_rows *t, const uint64_t *win, const uint64_t *loss,
                                       const int32_t *candidates, int32_t n, int32_t *out, int hardware)
{
    int32_t n_out = 0;
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = mp2_row(t, candidates[c]);
        int32_t k = 0;
        for (; k < t->n_days; k++) {
            int32_t day = t->day_order[k], at = t->loss_start[day], end = t->loss_start[day + 1];
            int32_t buys = mp2_count_and(loss + at, row + t->loss_at + at, end - at, hardware);
            if (buys > t->cap)
                break;
            at = t->win_start[day], end = t->win_start[day + 1];
            if (buys + mp2_count_and(win + at, row + at, end - at, hardware) > t->cap)
                break;
        }
        out[n_out] = candidates[c];
        n_out += k == t->n_days;
    }
    return n_out;
}

/* Inconsistent panel: `out` gets the candidates that pass the floor, `living` those whose consensus is not empty (only
 * emptiness is inherited by larger groups there). Returns the first number, stores the second. */
MP2_INLINE int32_t mp2_pass_mixed_body(const struct mp2_rows *t, const uint64_t *consensus, const uint64_t *won,
                                       const int32_t *candidates, int32_t n, int32_t *out, int32_t *living,
                                       int32_t *n_living, int hardware)
{
    int32_t n_out = 0, n_alive = 0, n_words = t->win_start[t->n_days];
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = mp2_row(t, candidates[c]);
        const uint64_t *win_row = t->win_rows + (row - t->rows);
        uint64_t any = 0;
        int32_t k = 0;
        for (; k < t->n_days; k++) {
            int32_t hits = 0;
            for (int32_t i = t->win_start[k]; i < t->win_start[k + 1]; i++) {
                uint64_t both = consensus[i] & row[i];
                any |= both;
                hits += mp2_count(both & (won[i] | win_row[i]), hardware);
            }
            if (hits < t->floor)
                break;
        }
        int passes = k == t->n_days && any;
        for (int32_t i = 0; !any && i < n_words; i++)
            any = consensus[i] & row[i];
        out[n_out] = living[n_alive] = candidates[c];
        n_out += passes;
        n_alive += any != 0;
    }
    *n_living = n_alive;
    return n_out;
}

/* Squeezes the bits of `row` that are set in `mask` together, day by day: the words of day d start at out + start[d].
 * `out` is zero on entry and has one word of slack behind its end. */
MP2_INLINE void mp2_project_body(const uint64_t *row, const uint64_t *mask, const uint64_t *moves, int32_t n_days, int32_t n_words,
                                 const int32_t *start, uint64_t *out, int hardware)
{
    for (int32_t d = 0; d < n_days; d++) {
        int64_t at = (int64_t)start[d] * 64;
        for (int32_t i = d * n_words; i < (d + 1) * n_words; i++) {
            uint64_t bits = row[i] & mask[i];
            for (int32_t s = 0; s < 6; s++) {
                uint64_t moved = bits & moves[i * 6 + s];
                bits = (bits ^ moved) | (moved >> (1 << s));
            }
            out[at >> 6] |= bits << (at & 63);
            if (at & 63)
                out[(at >> 6) + 1] |= bits >> (64 - (at & 63));
            at += mp2_count(mask[i], hardware);
        }
    }
}

/* The six masks that compress one word (Warren, Hacker's Delight, 2nd ed., section 7-4), computed once per mask word. */
static inline void mp2_compress_moves(uint64_t mask, uint64_t *moves)
{
    uint64_t zeros_right = ~mask << 1;
    for (int32_t s = 0; s < 6; s++) {
        uint64_t parity = zeros_right ^ (zeros_right << 1);
        parity ^= parity << 2, parity ^= parity << 4, parity ^= parity << 8, parity ^= parity << 16, parity ^= parity << 32;
        uint64_t move = parity & mask;
        mask = (mask ^ move) | (move >> (1 << s));
        moves[s] = move;
        zeros_right &= ~parity;
    }
}

struct mp2_loops {
    const char *name;
    int32_t (*pass_floor)(const struct mp2_rows *, const uint64_t *, const int32_t *, int32_t, int32_t *);
    int32_t (*pass_any)(const struct mp2_rows *, const uint64_t *, const uint64_t *, const int32_t *, int32_t, int32_t *);
    int32_t (*within_cap)(const struct mp2_rows *, const uint64_t *, const uint64_t *, const int32_t *, int32_t, int32_t *);
    int32_t (*pass_mixed)(const struct mp2_rows *, const uint64_t *, const uint64_t *, const int32_t *, int32_t, int32_t *,
                          int32_t *, int32_t *);
    void (*project)(const uint64_t *, const uint64_t *, const uint64_t *, int32_t, int32_t, const int32_t *, uint64_t *);
};

#define MP2_DEFINE_LOOPS(ISA, TARGET, HARDWARE)                                                                              \
    TARGET static int32_t mp2_pass_floor_##ISA(const struct mp2_rows *t, const uint64_t *w, const int32_t *c, int32_t n,     \
                                               int32_t *out)                                                                 \
    {                                                                                                                        \
        return mp2_pass_floor_body(t, w, c, n, out, HARDWARE);                                                               \
    }                                                                                                                        \
    TARGET static int32_t mp2_pass_any_##ISA(const struct mp2_rows *t, const uint64_t *w, const uint64_t *l,                 \
                                             const int32_t *c, int32_t n, int32_t *out)                                      \
    {                                                                                                                        \
        return mp2_pass_any_body(t, w, l, c, n, out);                                                                        \
    }                                                                                                                        \
    TARGET static int32_t mp2_within_cap_##ISA(const struct mp2_rows *t, const uint64_t *w, const uint64_t *l,               \
                                               const int32_t *c, int32_t n, int32_t *out)                                    \
    {                                                                                                                        \
        return mp2_within_cap_body(t, w, l, c, n, out, HARDWARE);                                                            \
    }                                                                                                                        \
    TARGET static int32_t mp2_pass_mixed_##ISA(const struct mp2_rows *t, const uint64_t *w, const uint64_t *l,               \
                                               const int32_t *c, int32_t n, int32_t *out, int32_t *alive, int32_t *n_alive)  \
    {                                                                                                                        \
        return mp2_pass_mixed_body(t, w, l, c, n, out, alive, n_alive, HARDWARE);                                            \
    }                                                                                                                        \
    TARGET static void mp2_project_##ISA(const uint64_t *row, const uint64_t *mask, const uint64_t *moves, int32_t n_days,   \
                                         int32_t n_words, const int32_t *start, uint64_t *out)                               \
    {                                                                                                                        \
        mp2_project_body(row, mask, moves, n_days, n_words, start, out, HARDWARE);                                           \
    }                                                                                                                        \
    static const struct mp2_loops mp2_loops_##ISA = {#ISA, mp2_pass_floor_##ISA, mp2_pass_any_##ISA, mp2_within_cap_##ISA,   \
                                                     mp2_pass_mixed_##ISA, mp2_project_##ISA};

MP2_DEFINE_LOOPS(portable, , 0)
#if defined(MP2_X86)
MP2_DEFINE_LOOPS(avx2, __attribute__((target("avx2,bmi,bmi2,popcnt"))), 1)
#endif

/* The loops named `name`, or NULL when this build or this machine does not have them. */
static const struct mp2_loops *mp2_find_loops(const char *name)
{
    if (strcmp(name, "portable") == 0)
        return &mp2_loops_portable;
#if defined(MP2_X86)
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") &&
        __builtin_cpu_supports("bmi2"))
        return &mp2_loops_avx2;
#endif
    return 0;
}

#endif
