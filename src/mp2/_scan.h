/* The innermost loops of the search, once as C and compiled once per instruction set.
 *
 * General loops look at one candidate after the other in the panel's own layout: rows[v][day][word], W words a day. A
 * group's state on a consistent panel is `win` (the consensus tickers that won), D * W words, followed by `loss` (the
 * others); on an inconsistent one the consensus, followed by the tickers any member won.
 *
 * Block loops decide 64 candidates at once. They work below a *base*: a group whose candidates' rows were squeezed onto the
 * tickers it buys, winners apart from losers. Three layouts, for n candidates in blocks of 64 (the last one padded with
 * candidates that buy nothing):
 *
 *   rows     [candidate][chunk][lane]: words; lane = day, in the base's order of days, padded to a multiple of 8. The k-th
 *            chunk holds the k-th 64 tickers of every day: first the winners' chunks, then the losers'. So a vector of 8
 *            words counts 8 days at once, and the sum over chunks needs no shuffle.
 *   columns  [ticker][block]: for the winners of lane 0 (the day with the fewest) one bit a candidate.
 *   counts   [block][2 D][64]: bytes; the first D planes are hits (without a floor plane 0 is all buys of all days), the other D buys, of the base, a second member and the
 *            candidate. Plane p holds count >> shift[p], rounded down: a lower bound of the count, exact for shift 0.
 *
 * The bounds. Tickers of a group G that members x and y leave: |G x y| >= |G x| + |G y| - |G| (inclusion-exclusion). For
 * the group B + v + x + y (B the base) G can be B v, B x or B y, and each of their counts is in the table of the base. So
 * `need` tickers are certain when one of these holds (u: the count rounded up, need rounded up too, all of them >> shift):
 *
 *   (B v)  low[v][y] >= need + u[v] - low[v][x]     a threshold per x
 *   (B x)  low[x][y] >= need + u[x] - low[v][x]     a threshold per x
 *   (B y)  low[v][y] >= need + u[y] - low[x][y]     a threshold per candidate y
 *
 * With hits and need = floor that is a pass; with buys and need = cap + 1 the group is not eligible. The shifts are chosen so
 * that need + u never leaves a byte. */
#ifndef MP2_ISA /* ------------------------------------------------------------------------------- included from outside */
#ifndef MP2_SCAN_H
#define MP2_SCAN_H

#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define MP2_INLINE static __forceinline
#else
#define MP2_INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__)
#define MP2_X86 1
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define MP2_NEON 1
#include <arm_neon.h>
#endif
#endif

/* A week of trading days: the loops over days are compiled once for just these, and once for any number. */
#define MP2_USUAL_DAYS 5
/* More days than this are left to the general loops. */
#define MP2_MAX_LANES 256

/* Rows and rules for the general loops: a panel as it is, or an inconsistent one squeezed onto a starter's tickers. */
struct mp2_panel {
    const uint64_t *rows;      /* row of variation v: rows + (v - first) * row_words */
    const uint64_t *win_rows;  /* inconsistent panels: rows of wins, same addressing */
    int64_t row_words;
    int32_t first;
    int32_t n_days;
    int32_t n_words;           /* a day */
    int32_t day_step;          /* word w of day d is at d * day_step + w * word_step. Squeezed rows have their days side by side, */
    int32_t word_step;         /* padded to a multiple of 8 (day_step 1); others the words of a day (word_step 1) */
    int32_t floor;             /* least hits a day */
    int32_t cap;               /* most buys a day that can be eligible */
};

/* A base, for the block loops. */
struct mp2_base {
    const uint64_t *rows;
    const uint64_t *columns;
    const uint8_t *upper;      /* counts of base and candidate, rounded up: [block][2 D][64] */
    const uint8_t *need;       /* [2 D] */
    const uint8_t *shift;      /* [2 D] */
    int32_t n_blocks;
    int32_t n_days;
    int32_t n_lanes;           /* days, padded to a multiple of 8 */
    int32_t n_win_chunks;
    int32_t n_loss_chunks;
    int32_t floor;             /* 0: a candidate passes when any ticker is left, and plane 0 counts all buys of all days */
    int32_t n_tests;           /* planes a pass depends on: D with a floor, 1 without */
    int32_t bounded;           /* the bounds may be used for hits; 0 counts every candidate */
    int32_t capped;            /* and for buys */
};

/* A group two below the largest: the base and a second member v. */
struct mp2_pair {
    const uint64_t *words;     /* its consensus in the layout of a row */
    const uint64_t *tails;     /* bits of the candidates its children are to be joined with */
    const uint8_t *counts;     /* its row of counts */
    const uint8_t *low;        /* the same candidate by candidate: [n, padded to 64][2 D, padded to 16] */
    const uint8_t *limit;      /* [2 D, padded to 16] need + u[v] */
};

/* A group one below the largest: a pair and a third member x. */
struct mp2_triple {
    const struct mp2_pair *pair;
    const uint64_t *row;       /* of x */
    const uint64_t *passing_x; /* bits of the candidates that pass with the base and x */
    const uint64_t *within;    /* what passed with an x of more tickers: nothing else can */
    const uint64_t *surely;    /* what passed with an x of fewer tickers: all of it does */
    const uint64_t *above;     /* what was above the cap with an x of fewer tickers: all of it is */
    uint64_t *keep_passed;     /* for later x of the pair: what passes, or NULL */
    uint64_t *keep_above;      /* and what is above the cap, or NULL */
    const uint8_t *counts_x;   /* row of counts of x, or NULL: then only the first bound is used */
    const uint8_t *limit_x;    /* [2 D, padded to 16] need + u[x] */
    uint8_t *need_v;           /* [2 D, padded to 16] scratch: thresholds of the first bound */
    uint8_t *need_x;           /* and of the second */
    uint64_t *wins;            /* scratch: its consensus' winners */
    int32_t x;                 /* candidates */
    int32_t first;             /* those from `first` to before `end` are to be decided */
    int32_t end;
    int32_t cap_first;         /* candidates above the cap need no decision */
};

/* x86-64 has no popcount in its baseline and the compiler's substitute is a table in memory: count in parallel instead. */
MP2_INLINE int32_t mp2_count(uint64_t word)
{
#if defined(MP2_NEON)
    return __builtin_popcountll(word);
#else
    word -= (word >> 1) & 0x5555555555555555ULL;
    word = (word & 0x3333333333333333ULL) + ((word >> 2) & 0x3333333333333333ULL);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return (int32_t)((word * 0x0101010101010101ULL) >> 56);
#endif
}

MP2_INLINE int32_t mp2_lowest_bit(uint64_t word)
{
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long at;
    _BitScanForward64(&at, word);
    return (int32_t)at;
#else
    return __builtin_ctzll(word);
#endif
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

/* Squeezes the bits of `row` that are set in `mask` together, day by day; the k-th 64 of day d become out[k][lane[d]].
 * `out` is zero on entry. */
static inline void mp2_project(const uint64_t *row, const uint64_t *mask, const uint64_t *moves, int32_t n_days, int32_t n_words,
                               const int32_t *lane, int32_t n_lanes, uint64_t *out)
{
    for (int32_t d = 0; d < n_days; d++) {
        int32_t at = 0;
        for (int32_t i = d * n_words; i < (d + 1) * n_words; i++) {
            uint64_t bits = row[i] & mask[i];
            int32_t n = mp2_count(mask[i]);
            if (n == 0)
                continue;
            for (int32_t s = 0; s < 6; s++) {
                uint64_t moved = bits & moves[i * 6 + s];
                bits = (bits ^ moved) | (moved >> (1 << s));
            }
            out[(at >> 6) * n_lanes + lane[d]] |= bits << (at & 63);
            if ((at & 63) + n > 64)
                out[((at >> 6) + 1) * n_lanes + lane[d]] |= bits >> (64 - (at & 63));
            at += n;
        }
    }
}

/* Transposes 64 x 64 bits in place (Warren, section 7-3). */
static inline void mp2_transpose(uint64_t *words)
{
    uint64_t mask = 0x00000000ffffffffULL;
    for (int32_t j = 32; j; j >>= 1, mask ^= mask << j)
        for (int32_t k = 0; k < 64; k = ((k | j) + 1) & ~j) {
            uint64_t swapped = ((words[k] >> j) ^ words[k | j]) & mask;
            words[k | j] ^= swapped;
            words[k] ^= swapped << j;
        }
}

/* Transposes 8 x 8 bytes in place, the same way. */
#define MP2_SWAP(a, b, shift, mask)                                                                                          \
    {                                                                                                                        \
        uint64_t swapped = ((words[a] >> shift) ^ words[b]) & mask;                                                          \
        words[b] ^= swapped;                                                                                                 \
        words[a] ^= swapped << shift;                                                                                        \
    }
MP2_INLINE void mp2_transpose_bytes(uint64_t *words)
{
    for (int32_t k = 0; k < 4; k++)
        MP2_SWAP(k, k + 4, 32, 0x00000000ffffffffULL)
    for (int32_t k = 0; k < 8; k += 4) {
        MP2_SWAP(k, k + 2, 16, 0x0000ffff0000ffffULL)
        MP2_SWAP(k + 1, k + 3, 16, 0x0000ffff0000ffffULL)
    }
    for (int32_t k = 0; k < 8; k += 2)
        MP2_SWAP(k, k + 1, 8, 0x00ff00ff00ff00ffULL)
}
#undef MP2_SWAP

/* What an instruction set has to offer; the functions are described where they are defined. */
struct mp2_loops {
    const char *name;
    int32_t (*pass_floor)(const struct mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *);
    int32_t (*pass_any)(const struct mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *);
    int32_t (*within_cap)(const struct mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *);
    void (*pass_mixed)(const struct mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *, int32_t *, int32_t *,
                       int32_t *);
    uint64_t (*count_block)(const struct mp2_base *, const uint64_t *, int32_t, uint64_t, int32_t, uint8_t *);
    void (*turn_row)(const struct mp2_base *, const uint8_t *, int32_t, uint8_t *);
    int32_t (*open_triple)(const struct mp2_base *, const struct mp2_triple *, uint64_t *);
    int64_t (*settle_hits)(const struct mp2_base *, const struct mp2_triple *, uint64_t *, uint64_t *, int64_t *);
    int32_t (*maybe_within_cap)(const struct mp2_base *, const struct mp2_triple *, uint64_t *);
    void (*count_days)(const struct mp2_base *, const uint64_t *, const uint64_t *, int32_t *, int32_t *);
};

#define MP2_JOIN_(a, b) a##b
#define MP2_JOIN(a, b) MP2_JOIN_(a, b)
#define MP2_FN(name) MP2_JOIN(MP2_JOIN(mp2_, MP2_ISA), MP2_JOIN(_, name))

/* One pass through the second half of this file per instruction set. */
#define MP2_ISA portable
#define MP2_ISA_NAME "portable"
#define MP2_TARGET
#include "_scan.h"
#undef MP2_ISA
#undef MP2_ISA_NAME
#undef MP2_TARGET

#if defined(MP2_X86)
#define MP2_ISA avx2
#define MP2_ISA_NAME "avx2"
#define MP2_TARGET __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))
#define MP2_HAS_AVX2 1
#include "_scan.h"
#undef MP2_ISA
#undef MP2_ISA_NAME
#undef MP2_TARGET
#undef MP2_HAS_AVX2

#define MP2_ISA avx512
#define MP2_ISA_NAME "avx512"
#define MP2_TARGET __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq")))
#define MP2_HAS_AVX512 1
#include "_scan.h"
#undef MP2_ISA
#undef MP2_ISA_NAME
#undef MP2_TARGET
#undef MP2_HAS_AVX512
#endif

#if defined(MP2_NEON)
#define MP2_ISA neon
#define MP2_ISA_NAME "neon"
#define MP2_TARGET
#define MP2_HAS_NEON 1
#include "_scan.h"
#undef MP2_ISA
#undef MP2_ISA_NAME
#undef MP2_TARGET
#undef MP2_HAS_NEON
#endif

/* The loops named `name`, or NULL when this build or this machine does not have them. */
static const struct mp2_loops *mp2_find_loops(const char *name)
{
    if (strcmp(name, "portable") == 0)
        return &mp2_portable_loops;
#if defined(MP2_X86)
    int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi2");
    if (strcmp(name, "avx2") == 0 && has_avx2)
        return &mp2_avx2_loops;
    if (strcmp(name, "avx512") == 0 && has_avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vpopcntdq"))
        return &mp2_avx512_loops;
#endif
#if defined(MP2_NEON)
    if (strcmp(name, "neon") == 0)
        return &mp2_neon_loops;
#endif
    return 0;
}

#endif
#else /* -------------------------------------------------------------------------------------------- once per MP2_ISA */

/* Flags: 64 truth values, one a candidate, in whatever form the instruction set compares bytes. */
#if defined(MP2_HAS_AVX512)
typedef __mmask64 MP2_FN(flags);

MP2_TARGET MP2_INLINE __mmask64 MP2_FN(at_least)(const uint8_t *bytes, uint8_t threshold)
{
    return _mm512_cmpge_epu8_mask(_mm512_loadu_si512(bytes), _mm512_set1_epi8((char)threshold));
}

MP2_TARGET MP2_INLINE __mmask64 MP2_FN(sum_at_least)(const uint8_t *a, const uint8_t *b, const uint8_t *upper, uint8_t need)
{
    __m512i missing = _mm512_sub_epi8(_mm512_loadu_si512(upper), _mm512_loadu_si512(b));
    return _mm512_cmpge_epu8_mask(_mm512_loadu_si512(a), _mm512_add_epi8(missing, _mm512_set1_epi8((char)need)));
}

MP2_TARGET MP2_INLINE __mmask64 MP2_FN(both)(__mmask64 a, __mmask64 b) { return a & b; }
MP2_TARGET MP2_INLINE __mmask64 MP2_FN(either)(__mmask64 a, __mmask64 b) { return a | b; }
MP2_TARGET MP2_INLINE uint64_t MP2_FN(bits)(__mmask64 flags) { return (uint64_t)flags; }

#elif defined(MP2_HAS_AVX2)
typedef struct {
    __m256i low, high;
} MP2_FN(flags);

MP2_TARGET MP2_INLINE __m256i MP2_FN(not_less)(__m256i a, __m256i b) { return _mm256_cmpeq_epi8(_mm256_max_epu8(a, b), a); }

MP2_TARGET MP2_INLINE MP2_FN(flags) MP2_FN(at_least)(const uint8_t *bytes, uint8_t threshold)
{
    __m256i limit = _mm256_set1_epi8((char)threshold);
    MP2_FN(flags) f = {MP2_FN(not_less)(_mm256_loadu_si256((const __m256i *)bytes), limit),
                       MP2_FN(not_less)(_mm256_loadu_si256((const __m256i *)(bytes + 32)), limit)};
    return f;
}

MP2_TARGET MP2_INLINE __m256i MP2_FN(half_sum_at_least)(const uint8_t *a, const uint8_t *b, const uint8_t *upper, __m256i need)
{
    __m256i missing = _mm256_sub_epi8(_mm256_loadu_si256((const __m256i *)upper), _mm256_loadu_si256((const __m256i *)b));
    return MP2_FN(not_less)(_mm256_loadu_si256((const __m256i *)a), _mm256_add_epi8(missing, need));
}

MP2_TARGET MP2_INLINE MP2_FN(flags) MP2_FN(sum_at_least)(const uint8_t *a, const uint8_t *b, const uint8_t *upper, uint8_t need)
{
    __m256i limit = _mm256_set1_epi8((char)need);
    MP2_FN(flags) f = {MP2_FN(half_sum_at_least)(a, b, upper, limit), MP2_FN(half_sum_at_least)(a + 32, b + 32, upper + 32, limit)};
    return f;
}

MP2_TARGET MP2_INLINE MP2_FN(flags) MP2_FN(both)(MP2_FN(flags) a, MP2_FN(flags) b)
{
    MP2_FN(flags) f = {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
    return f;
}

MP2_TARGET MP2_INLINE MP2_FN(flags) MP2_FN(either)(MP2_FN(flags) a, MP2_FN(flags) b)
{
    MP2_FN(flags) f = {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
    return f;
}

MP2_TARGET MP2_INLINE uint64_t MP2_FN(bits)(MP2_FN(flags) f)
{
    return (uint32_t)_mm256_movemask_epi8(f.low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(f.high) << 32;
}

#elif defined(MP2_HAS_NEON)
typedef uint8x16x4_t MP2_FN(flags);

MP2_INLINE uint8x16x4_t MP2_FN(at_least)(const uint8_t *bytes, uint8_t threshold)
{
    uint8x16x4_t f;
    for (int32_t i = 0; i < 4; i++)
        f.val[i] = vcgeq_u8(vld1q_u8(bytes + 16 * i), vdupq_n_u8(threshold));
    return f;
}

MP2_INLINE uint8x16x4_t MP2_FN(sum_at_least)(const uint8_t *a, const uint8_t *b, const uint8_t *upper, uint8_t need)
{
    uint8x16x4_t f;
    for (int32_t i = 0; i < 4; i++) {
        uint8x16_t missing = vsubq_u8(vld1q_u8(upper + 16 * i), vld1q_u8(b + 16 * i));
        f.val[i] = vcgeq_u8(vld1q_u8(a + 16 * i), vaddq_u8(missing, vdupq_n_u8(need)));
    }
    return f;
}

MP2_INLINE uint8x16x4_t MP2_FN(both)(uint8x16x4_t a, uint8x16x4_t b)
{
    for (int32_t i = 0; i < 4; i++)
        a.val[i] = vandq_u8(a.val[i], b.val[i]);
    return a;
}

MP2_INLINE uint8x16x4_t MP2_FN(either)(uint8x16x4_t a, uint8x16x4_t b)
{
    for (int32_t i = 0; i < 4; i++)
        a.val[i] = vorrq_u8(a.val[i], b.val[i]);
    return a;
}

MP2_INLINE uint64_t MP2_FN(bits)(uint8x16x4_t f)
{
    const uint8x16_t weights = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ULL));
    for (int32_t i = 0; i < 4; i++)
        f.val[i] = vandq_u8(f.val[i], weights);
    uint8x16_t sums = vpaddq_u8(vpaddq_u8(f.val[0], f.val[1]), vpaddq_u8(f.val[2], f.val[3]));
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0);
}

#else
/* Eight bytes in a word; the highest bit of each byte is the flag. */
typedef struct {
    uint64_t word[8];
} MP2_FN(flags);

#define MP2_HIGH 0x8080808080808080ULL
#define MP2_ONES 0x0101010101010101ULL

MP2_INLINE uint64_t MP2_FN(load)(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word;
}

/* Per byte: a >= b, unsigned. The subtraction never borrows from the next byte, because a's highest bits are set. */
MP2_INLINE uint64_t MP2_FN(not_less)(uint64_t a, uint64_t b)
{
    uint64_t difference = (a | MP2_HIGH) - (b & ~MP2_HIGH);
    return (a & ~b) | (~(a ^ b) & difference);
}

MP2_INLINE MP2_FN(flags) MP2_FN(at_least)(const uint8_t *bytes, uint8_t threshold)
{
    MP2_FN(flags) f;
    for (int32_t i = 0; i < 8; i++)
        f.word[i] = MP2_FN(not_less)(MP2_FN(load)(bytes + 8 * i), threshold * MP2_ONES);
    return f;
}

/* No byte of `upper - b + need` leaves its range, so whole words can be added and subtracted. */
MP2_INLINE MP2_FN(flags) MP2_FN(sum_at_least)(const uint8_t *a, const uint8_t *b, const uint8_t *upper, uint8_t need)
{
    MP2_FN(flags) f;
    for (int32_t i = 0; i < 8; i++) {
        uint64_t missing = MP2_FN(load)(upper + 8 * i) - MP2_FN(load)(b + 8 * i);
        f.word[i] = MP2_FN(not_less)(MP2_FN(load)(a + 8 * i), missing + need * MP2_ONES);
    }
    return f;
}

MP2_INLINE MP2_FN(flags) MP2_FN(both)(MP2_FN(flags) a, MP2_FN(flags) b)
{
    for (int32_t i = 0; i < 8; i++)
        a.word[i] &= b.word[i];
    return a;
}

MP2_INLINE MP2_FN(flags) MP2_FN(either)(MP2_FN(flags) a, MP2_FN(flags) b)
{
    for (int32_t i = 0; i < 8; i++)
        a.word[i] |= b.word[i];
    return a;
}

/* The multiplication gathers the lowest bit of byte k in bit 56 + k; no two partial products meet. */
MP2_INLINE uint64_t MP2_FN(bits)(MP2_FN(flags) f)
{
    uint64_t bits = 0;
    for (int32_t i = 0; i < 8; i++) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        f.word[i] = __builtin_bswap64(f.word[i]);
#endif
        bits |= ((f.word[i] >> 7 & MP2_ONES) * 0x0102040810204080ULL >> 56) << (8 * i);
    }
    return bits;
}
#endif

/* Are the days of squeezed rows counted side by side in one vector? */
#undef MP2_WIDE_DAYS
#if defined(MP2_HAS_AVX512)
#define MP2_WIDE_DAYS 1
#else
#define MP2_WIDE_DAYS 0
#endif

/* A vector of words, for counting by columns. */
#if defined(MP2_HAS_AVX512)
typedef uint64_t MP2_FN(vector) __attribute__((vector_size(64), aligned(8)));
#elif defined(MP2_HAS_AVX2)
typedef uint64_t MP2_FN(vector) __attribute__((vector_size(32), aligned(8)));
#elif defined(MP2_X86) || defined(MP2_HAS_NEON)
typedef uint64_t MP2_FN(vector) __attribute__((vector_size(16), aligned(8)));
#else
typedef uint64_t MP2_FN(vector);
#endif

MP2_TARGET MP2_INLINE int32_t MP2_FN(count)(uint64_t word)
{
#if defined(MP2_HAS_AVX512) || defined(MP2_HAS_AVX2)
    return (int32_t)_mm_popcnt_u64(word);
#else
    return mp2_count(word);
#endif
}

MP2_TARGET MP2_INLINE int32_t MP2_FN(count_and)(const uint64_t *a, const uint64_t *b, int32_t n)
{
    int32_t total = 0;
    for (int32_t i = 0; i < n; i++)
        total += MP2_FN(count)(a[i] & b[i]);
    return total;
}

/* ---- general loops */

MP2_INLINE const uint64_t *MP2_FN(row)(const struct mp2_panel *p, int32_t v)
{
    return p->rows + (v - p->first) * p->row_words;
}

/* Consistent panel with a floor: the candidates that leave at least `floor` winners on every day. */
MP2_TARGET static int32_t MP2_FN(pass_floor)(const struct mp2_panel *p, const uint64_t *win, const int32_t *candidates, int32_t n,
                                             int32_t *out)
{
    int32_t n_out = 0;
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = MP2_FN(row)(p, candidates[c]);
        int32_t d = 0;
        while (d < p->n_days && MP2_FN(count_and)(win + d * p->n_words, row + d * p->n_words, p->n_words) >= p->floor)
            d++;
        out[n_out] = candidates[c];
        n_out += d == p->n_days;
    }
    return n_out;
}

/* Consistent panel without a floor: the candidates that leave any consensus at all. */
MP2_TARGET static int32_t MP2_FN(pass_any)(const struct mp2_panel *p, const uint64_t *state, const int32_t *candidates, int32_t n,
                                           int32_t *out)
{
    int32_t n_out = 0, n_part = p->n_days * p->n_words;
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = MP2_FN(row)(p, candidates[c]);
        uint64_t any = 0;
        for (int32_t i = 0; i < n_part; i++)
            any |= (state[i] | state[n_part + i]) & row[i];
        out[n_out] = candidates[c];
        n_out += any != 0;
    }
    return n_out;
}

/* Of candidates that pass, those whose consensus stays at or under the cap on every day: only they can be eligible. */
MP2_TARGET static int32_t MP2_FN(within_cap)(const struct mp2_panel *p, const uint64_t *state, const int32_t *candidates, int32_t n,
                                             int32_t *out)
{
    int32_t n_out = 0, n_part = p->n_days * p->n_words;
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = MP2_FN(row)(p, candidates[c]);
        int32_t d = 0;
        for (; d < p->n_days; d++) {
            const uint64_t *win = state + d * p->n_words;
            int32_t buys = MP2_FN(count_and)(win, row + d * p->n_words, p->n_words);
            if (buys + MP2_FN(count_and)(win + n_part, row + d * p->n_words, p->n_words) > p->cap)
                break;
        }
        out[n_out] = candidates[c];
        n_out += d == p->n_days;
    }
    return n_out;
}

/* What becomes of a candidate of an inconsistent panel. Hits may rise when a member of a larger group wins more, but never
 * above the buys, which only fall: a day with fewer buys than the floor is the end of it. */
enum MP2_FN(verdict) { MP2_FN(dead), MP2_FN(alive), MP2_FN(above_cap), MP2_FN(below_cap) };

MP2_TARGET MP2_INLINE int MP2_FN(judge_mixed)(const struct mp2_panel *p, const uint64_t *state, const uint64_t *row,
                                              const uint64_t *win_row)
{
    const uint64_t *won = state + p->row_words;
    int any = 0, passes = 1, above = 0;
#if defined(MP2_HAS_AVX512)
    for (int32_t day = 0; p->word_step > 1 && day < p->n_days; day += 8) {
        __m512i buys = _mm512_setzero_si512(), hits = buys, floor = _mm512_set1_epi64(p->floor);
        __mmask8 real = p->n_days - day >= 8 ? 0xff : (__mmask8)((1 << (p->n_days - day)) - 1);
        for (int64_t i = day; i < p->row_words; i += p->word_step) {
            __m512i both = _mm512_and_si512(_mm512_loadu_si512(state + i), _mm512_loadu_si512(row + i));
            __m512i any_won = _mm512_or_si512(_mm512_loadu_si512(won + i), _mm512_loadu_si512(win_row + i));
            buys = _mm512_add_epi64(buys, _mm512_popcnt_epi64(both));
            hits = _mm512_add_epi64(hits, _mm512_popcnt_epi64(_mm512_and_si512(both, any_won)));
        }
        if (_mm512_mask_cmplt_epi64_mask(real, buys, floor))
            return MP2_FN(dead);
        any |= _mm512_test_epi64_mask(buys, buys) != 0;
        passes &= _mm512_mask_cmplt_epi64_mask(real, hits, floor) == 0;
        above |= _mm512_mask_cmpgt_epi64_mask(real, buys, _mm512_set1_epi64(p->cap)) != 0;
    }
#endif
    for (int32_t day = 0; !(MP2_WIDE_DAYS && p->word_step > 1) && day < p->n_days; day++) {
        int32_t buys = 0, hits = 0;
        for (int32_t w = 0, i = day * p->day_step; w < p->n_words; w++, i += p->word_step) {
            uint64_t both = state[i] & row[i];
            buys += MP2_FN(count)(both);
            hits += MP2_FN(count)(both & (won[i] | win_row[i]));
        }
        if (buys < p->floor)
            return MP2_FN(dead);
        any |= buys, passes &= hits >= p->floor, above |= buys > p->cap;
    }
    return !any ? MP2_FN(dead) : !passes ? MP2_FN(alive) : above ? MP2_FN(above_cap) : MP2_FN(below_cap);
}

/* Inconsistent panel: `out` gets the candidates that pass the floor, `living` those that may yet pass it in a larger group,
 * `capped` those that pass and stay within the cap; `n_out` the three numbers. */
MP2_TARGET static void MP2_FN(pass_mixed)(const struct mp2_panel *p, const uint64_t *state, const int32_t *candidates, int32_t n,
                                          int32_t *out, int32_t *living, int32_t *capped, int32_t *n_out)
{
    int32_t n_passing = 0, n_living = 0, n_capped = 0;
    for (int32_t c = 0; c < n; c++) {
        const uint64_t *row = MP2_FN(row)(p, candidates[c]);
        int verdict = MP2_FN(judge_mixed)(p, state, row, p->win_rows + (row - p->rows));
        out[n_passing] = living[n_living] = capped[n_capped] = candidates[c];
        n_passing += verdict >= MP2_FN(above_cap);
        n_living += verdict > MP2_FN(dead);
        n_capped += verdict == MP2_FN(below_cap);
    }
    n_out[0] = n_passing, n_out[1] = n_living, n_out[2] = n_capped;
}

/* ---- block loops: one candidate */

#if defined(MP2_HAS_AVX512)
MP2_TARGET MP2_INLINE __m512i MP2_FN(count_8)(const uint64_t *a, const uint64_t *b)
{
    return _mm512_popcnt_epi64(_mm512_and_si512(_mm512_loadu_si512(a), _mm512_loadu_si512(b)));
}
#endif

/* Tickers in both `a` and `b`, day by day: `hits` among the winners, `buys` among all; [n_lanes] each. */
MP2_TARGET static void MP2_FN(count_days)(const struct mp2_base *base, const uint64_t *a, const uint64_t *b, int32_t *hits,
                                          int32_t *buys)
{
    int32_t n_chunks = base->n_win_chunks + base->n_loss_chunks, n_lanes = base->n_lanes;
#if defined(MP2_HAS_AVX512)
    for (int32_t lane = 0; lane < n_lanes; lane += 8) {
        __m512i total = _mm512_setzero_si512();
        int32_t c = 0;
        for (; c < base->n_win_chunks; c++)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(a + c * n_lanes + lane, b + c * n_lanes + lane));
        _mm256_storeu_si256((__m256i *)(hits + lane), _mm512_cvtepi64_epi32(total));
        for (; c < n_chunks; c++)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(a + c * n_lanes + lane, b + c * n_lanes + lane));
        _mm256_storeu_si256((__m256i *)(buys + lane), _mm512_cvtepi64_epi32(total));
    }
#else
    for (int32_t lane = 0; lane < base->n_days; lane++) {
        int32_t total = 0, c = 0;
        for (; c < base->n_win_chunks; c++)
            total += MP2_FN(count)(a[c * n_lanes + lane] & b[c * n_lanes + lane]);
        hits[lane] = total;
        for (; c < n_chunks; c++)
            total += MP2_FN(count)(a[c * n_lanes + lane] & b[c * n_lanes + lane]);
        buys[lane] = total;
    }
#endif
}

/* A count in the form of plane p: shifted, rounded down or up. */
MP2_INLINE uint8_t MP2_FN(shifted)(const struct mp2_base *base, int32_t count, int32_t p, int32_t round_up)
{
    return (uint8_t)((count + (round_up ? (1 << base->shift[p]) - 1 : 0)) >> base->shift[p]);
}

/* Hits and buys of one candidate, in the form of the planes, at counts[p * 64]; returns whether it passes. */
MP2_TARGET MP2_INLINE int MP2_FN(count_candidate)(const struct mp2_base *base, const uint64_t *words, const uint64_t *row,
                                                  int32_t round_up, uint8_t *counts, int32_t D)
{
    int32_t n_lanes = (D + 7) / 8 * 8, n_wins = base->n_win_chunks * n_lanes, total = 0, enough = 1;
    int32_t hits[MP2_MAX_LANES], buys[MP2_MAX_LANES];
    for (int32_t d = 0; d < D; d++)
        hits[d] = 0;
    for (int32_t i = 0; i < n_wins; i += n_lanes)
        for (int32_t d = 0; d < D; d++)
            hits[d] += MP2_FN(count)(words[i + d] & row[i + d]);
    for (int32_t d = 0; d < D; d++)
        enough &= hits[d] >= base->floor, buys[d] = hits[d];
    if (!enough)
        return 0;
    for (int32_t i = n_wins; i < n_wins + base->n_loss_chunks * n_lanes; i += n_lanes)
        for (int32_t d = 0; d < D; d++)
            buys[d] += MP2_FN(count)(words[i + d] & row[i + d]);
    for (int32_t d = 0; d < D; d++)
        total += buys[d];
    if (base->floor == 0)
        hits[0] = total;
    for (int32_t d = 0; d < D; d++) {
        counts[d * 64] = MP2_FN(shifted)(base, hits[d], d, round_up);
        counts[(D + d) * 64] = MP2_FN(shifted)(base, buys[d], D + d, round_up);
    }
    return total > 0;
}

/* Counts those of the 64 candidates of `block` that are in `allowed` against the group `words`, into the 2 D planes at
 * `counts`, rounded down or up, and returns a bit for each that passes. Candidates that do not pass get zeros: a lower bound of anything. */
MP2_TARGET static uint64_t MP2_FN(count_block)(const struct mp2_base *base, const uint64_t *words, int32_t block, uint64_t allowed,
                                               int32_t round_up, uint8_t *counts)
{
    int32_t D = base->n_days, row_words = (base->n_win_chunks + base->n_loss_chunks) * base->n_lanes;
    const uint64_t *row = base->rows + (int64_t)block * 64 * row_words;
    uint64_t passing = 0;
#if defined(MP2_HAS_AVX512)
    if (base->n_lanes == 8 && base->floor > 0 && !round_up) {
        /* All days of a candidate in one vector; eight candidates' bytes are then transposed into eight planes. */
        const __mmask8 real = (__mmask8)((1 << D) - 1);
        const __m512i floor = _mm512_set1_epi64(base->floor);
        uint64_t padded[2] = {0, 0};
        memcpy(padded, base->shift, (size_t)D);
        memcpy(padded + 1, base->shift + D, (size_t)D);
        const __m512i hit_shift = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128((long long)padded[0]));
        const __m512i buy_shift = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128((long long)padded[1]));
        for (int32_t c = 0; c < 64; c += 8) {
            uint64_t hits[8], buys[8];
            for (int32_t k = 0; k < 8; k++, row += row_words) {
                __m512i total = _mm512_setzero_si512();
                int32_t i = 0;
                hits[k] = buys[k] = 0;
                if (!(allowed >> (c + k) & 1))
                    continue;
                for (; i < base->n_win_chunks * 8; i += 8)
                    total = _mm512_add_epi64(total, MP2_FN(count_8)(words + i, row + i));
                if (_mm512_mask_cmplt_epi64_mask(real, total, floor))
                    continue;
                passing |= 1ULL << (c + k);
                hits[k] = (uint64_t)_mm_cvtsi128_si64(_mm512_cvtepi64_epi8(_mm512_srlv_epi64(total, hit_shift)));
                for (; i < row_words; i += 8)
                    total = _mm512_add_epi64(total, MP2_FN(count_8)(words + i, row + i));
                buys[k] = (uint64_t)_mm_cvtsi128_si64(_mm512_cvtepi64_epi8(_mm512_srlv_epi64(total, buy_shift)));
            }
            mp2_transpose_bytes(hits);
            mp2_transpose_bytes(buys);
            for (int32_t d = 0; d < D; d++) {
                memcpy(counts + d * 64 + c, hits + d, 8);
                memcpy(counts + (D + d) * 64 + c, buys + d, 8);
            }
        }
        return passing;
    }
#endif
    memset(counts, 0, (size_t)2 * D * 64);
    for (; allowed; allowed &= allowed - 1) {
        int32_t c = mp2_lowest_bit(allowed);
        const uint64_t *of_c = row + (int64_t)c * row_words;
        int passes = D == MP2_USUAL_DAYS ? MP2_FN(count_candidate)(base, words, of_c, round_up, counts + c, MP2_USUAL_DAYS)
                                         : MP2_FN(count_candidate)(base, words, of_c, round_up, counts + c, D);
        passing |= (uint64_t)passes << c;
    }
    return passing;
}

/* ---- block loops: all candidates of a triple */

/* Writes the counts of a row candidate by candidate: out[64 * n_blocks][2 D, padded to 16]. */
MP2_TARGET static void MP2_FN(turn_row)(const struct mp2_base *base, const uint8_t *counts, int32_t first_block, uint8_t *out)
{
    int32_t planes = 2 * base->n_days, stride = (planes + 15) / 16 * 16;
    for (int32_t w = first_block; w < base->n_blocks; w++)
        for (int32_t p = 0; p < stride; p += 8)
            for (int32_t c = 0; c < 64; c += 8) {
                uint64_t square[8] = {0, 0, 0, 0, 0, 0, 0, 0};
                for (int32_t k = 0; k < 8 && p + k < planes; k++)
                    memcpy(square + k, counts + ((int64_t)w * planes + p + k) * 64 + c, 8);
                mp2_transpose_bytes(square);
                for (int32_t k = 0; k < 8; k++)
                    memcpy(out + ((int64_t)w * 64 + c + k) * stride + p, square + k, 8);
            }
}

/* The thresholds of x, eight planes a word: no byte borrows, because no count of v and x exceeds that of v or of x. */
MP2_INLINE void MP2_FN(thresholds)(const struct mp2_triple *t, int32_t stride)
{
    const uint8_t *low = t->pair->low + (int64_t)t->x * stride;
    for (int32_t p = 0; p < stride; p += 8) {
        uint64_t counts, of_v, of_x;
        memcpy(&counts, low + p, 8);
        memcpy(&of_v, t->pair->limit + p, 8);
        memcpy(&of_x, t->limit_x + p, 8);
        of_v -= counts, of_x -= counts;
        memcpy(t->need_v + p, &of_v, 8);
        memcpy(t->need_x + p, &of_x, 8);
    }
}

/* Sets up a triple: its thresholds, its winners, and in `left` the candidates to be decided. Returns whether there are any;
 * without any the rest is not set up. */
MP2_TARGET static int32_t MP2_FN(open_triple)(const struct mp2_base *base, const struct mp2_triple *t, uint64_t *left)
{
    const struct mp2_pair *pair = t->pair;
    int32_t n_wins = base->n_win_chunks * base->n_lanes, first = t->first >> 6, last = (t->end - 1) >> 6;
    uint64_t any = 0;
    for (int32_t w = first; w < base->n_blocks; w++)
        left[w] = pair->tails[w] & t->passing_x[w] & t->within[w];
    left[first] &= ~0ULL << (t->first & 63);
    left[last] &= ~0ULL >> (63 - ((t->end - 1) & 63));
    for (int32_t w = last + 1; w < base->n_blocks; w++)
        left[w] = 0;
    for (int32_t w = first; w <= last; w++)
        any |= t->cap_first ? left[w] &= ~t->above[w] : left[w];
    if (!any) {
        if (t->cap_first && t->keep_above)
            memcpy(t->keep_above + first, t->above + first, (size_t)(base->n_blocks - first) * sizeof *left);
        return 0;
    }
    MP2_FN(thresholds)(t, (2 * base->n_days + 15) / 16 * 16);
    for (int32_t i = 0; i < n_wins; i++)
        t->wins[i] = pair->words[i] & t->row[i];
    return 1;
}

/* Which of the 64 candidates at these counts are certain to have what plane `p` needs, by any of the three bounds? */
MP2_TARGET MP2_INLINE MP2_FN(flags) MP2_FN(certain)(const struct mp2_base *base, const struct mp2_triple *t, const uint8_t *of_v,
                                                    const uint8_t *of_x, const uint8_t *upper, int32_t p)
{
    MP2_FN(flags) first = MP2_FN(at_least)(of_v + p * 64, t->need_v[p]), second = MP2_FN(at_least)(of_x + p * 64, t->need_x[p]);
    return MP2_FN(either)(MP2_FN(either)(first, second), MP2_FN(sum_at_least)(of_v + p * 64, of_x + p * 64, upper + p * 64, base->need[p]));
}

/* Of the candidates in `left` those not certain to have `floor` winners on lane 0, and on any of the others. */
MP2_TARGET MP2_INLINE void MP2_FN(uncertain)(const struct mp2_base *base, const struct mp2_triple *t, int32_t block, uint64_t left,
                                             uint64_t *lane_0, uint64_t *others, int32_t n_days, int32_t n_tests)
{
    int64_t at = (int64_t)block * 2 * n_days * 64;
    const uint8_t *of_v = t->pair->counts + at;
    uint64_t zero = left & ~MP2_FN(bits)(MP2_FN(at_least)(of_v, t->need_v[0])), rest = 0;
    if (n_tests > 1) {
        MP2_FN(flags) all = MP2_FN(at_least)(of_v + 64, t->need_v[1]);
        for (int32_t p = 2; p < n_tests; p++)
            all = MP2_FN(both)(all, MP2_FN(at_least)(of_v + p * 64, t->need_v[p]));
        rest = left & ~MP2_FN(bits)(all);
    }
    if (t->counts_x && zero)
        zero &= ~MP2_FN(bits)(MP2_FN(certain)(base, t, of_v, t->counts_x + at, base->upper + at, 0));
    if (t->counts_x && rest) {
        MP2_FN(flags) all = MP2_FN(certain)(base, t, of_v, t->counts_x + at, base->upper + at, 1);
        for (int32_t p = 2; p < n_tests; p++)
            all = MP2_FN(both)(all, MP2_FN(certain)(base, t, of_v, t->counts_x + at, base->upper + at, p));
        rest &= ~MP2_FN(bits)(all);
    }
    *lane_0 = zero, *others = rest;
}

/* Candidates of the blocks from `block` on that leave `floor` winners on lane 0: a counter of `n_bits` bit planes starts at
 * 2^n_bits - floor, the columns of the group's winners are added four at a time (carry-save adders), and whoever overflows
 * has them. One vector of blocks; the columns have a vector of slack behind their end. */
MP2_TARGET MP2_INLINE MP2_FN(vector) MP2_FN(overflowing)(const struct mp2_base *base, const uint64_t *words, int32_t block, const int32_t n_bits)
{
    MP2_FN(vector) zero = {0}, plane[8], over = zero;
    uint64_t start = (1ULL << n_bits) - (uint64_t)base->floor;
    for (int32_t k = 0; k < n_bits; k++)
        plane[k] = start >> k & 1 ? ~zero : zero;
    for (int32_t chunk = 0; chunk < base->n_win_chunks; chunk++) {
        uint64_t tickers = words[chunk * base->n_lanes];
        const uint64_t *columns = base->columns + (int64_t)chunk * 64 * base->n_blocks + block;
        while (tickers) {
            MP2_FN(vector) row[4] = {zero, zero, zero, zero};
            for (int32_t k = 0; k < 4 && tickers; k++, tickers &= tickers - 1)
                row[k] = *(const MP2_FN(vector) *)(columns + (int64_t)mp2_lowest_bit(tickers) * base->n_blocks);
            MP2_FN(vector) carry_a = (plane[0] & (row[0] | row[1])) | (row[0] & row[1]), sum = plane[0] ^ row[0] ^ row[1];
            MP2_FN(vector) carry_b = (sum & (row[2] | row[3])) | (row[2] & row[3]);
            plane[0] = sum ^ row[2] ^ row[3];
            MP2_FN(vector) carry = (plane[1] & (carry_a | carry_b)) | (carry_a & carry_b);
            plane[1] ^= carry_a ^ carry_b;
            for (int32_t k = 2; k < n_bits; k++) {
                MP2_FN(vector) next = plane[k] & carry;
                plane[k] ^= carry;
                carry = next;
            }
            over |= carry;
        }
    }
    return over;
}

/* Takes from `left` the candidates of `doubtful` with too few winners on lane 0. */
MP2_TARGET static void MP2_FN(count_columns)(const struct mp2_base *base, const struct mp2_triple *t, const uint64_t *doubtful,
                                             uint64_t *left)
{
    enum { STEP = sizeof(MP2_FN(vector)) / 8 };
    for (int32_t block = t->first >> 6; block < base->n_blocks; block += STEP) {
        MP2_FN(vector) over;
        uint64_t passing[STEP];
        if (base->floor <= 4)
            over = MP2_FN(overflowing)(base, t->wins, block, 2);
        else if (base->floor <= 8)
            over = MP2_FN(overflowing)(base, t->wins, block, 3);
        else
            over = MP2_FN(overflowing)(base, t->wins, block, 8);
        memcpy(passing, &over, sizeof passing);
        for (int32_t k = 0; k < STEP && block + k < base->n_blocks; k++)
            left[block + k] &= ~doubtful[block + k] | passing[k];
    }
}

/* Does a candidate's row leave `floor` of the triple's winners in the lanes from `first` to before `end`? Without a floor: any
 * ticker in any lane. Vectors look at all lanes. */
MP2_TARGET MP2_INLINE int MP2_FN(passes)(const struct mp2_base *base, const struct mp2_triple *t, const uint64_t *row, int32_t first,
                                         int32_t end)
{
    int32_t n_lanes = base->n_lanes, n_wins = base->n_win_chunks * n_lanes;
    if (base->floor == 0) {
        uint64_t any = 0;
        for (int32_t i = 0; i < n_wins + base->n_loss_chunks * n_lanes; i++)
            any |= t->pair->words[i] & t->row[i] & row[i];
        return any != 0;
    }
#if defined(MP2_HAS_AVX512)
    (void)first, (void)end;
    for (int32_t lane = 0; lane < base->n_days; lane += 8) {
        __m512i total = _mm512_setzero_si512();
        __mmask8 real = base->n_days - lane >= 8 ? 0xff : (__mmask8)((1 << (base->n_days - lane)) - 1);
        for (int32_t i = lane; i < n_wins; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(t->wins + i, row + i));
        if (_mm512_mask_cmplt_epi64_mask(real, total, _mm512_set1_epi64(base->floor)))
            return 0;
    }
#else
    for (int32_t lane = first; lane < end; lane++) {
        int32_t hits = 0;
        for (int32_t i = lane; i < n_wins; i += n_lanes)
            hits += MP2_FN(count)(t->wins[i] & row[i]);
        if (hits < base->floor)
            return 0;
    }
#endif
    return 1;
}

/* Decides for every candidate in `left` (n_blocks words, of which those from the block of `t->first` on count) whether the triple with
 * it passes, and leaves those that do; returns their number. `doubt` is scratch of 2 n_blocks words; `n_counted` rises by
 * the candidates whose tickers had to be counted. */
MP2_TARGET MP2_INLINE int64_t MP2_FN(settle_hits_of)(const struct mp2_base *base, const struct mp2_triple *t, uint64_t *left,
                                                     uint64_t *doubt, int64_t *n_counted, int32_t n_days, int32_t n_tests)
{
    enum { STEP = sizeof(MP2_FN(vector)) / 8, COLUMN_WORTH = 3 };
    int32_t row_words = (base->n_win_chunks + base->n_loss_chunks) * base->n_lanes;
    int32_t first_block = t->first >> 6, n_vectors = (base->n_blocks - first_block + STEP - 1) / STEP;
    int32_t n_hits_0 = (t->pair->limit[0] - t->need_v[0]) << base->shift[0];
    uint64_t *lane_0 = doubt, *others = doubt + base->n_blocks;
    int64_t n_lane_0 = 0, n_passing = 0;
    for (int32_t w = first_block; w < base->n_blocks; w++) {
        uint64_t open = left[w] & ~t->surely[w];
        lane_0[w] = others[w] = base->bounded ? 0 : open;
        if (!open)
            continue;
        if (base->bounded)
            MP2_FN(uncertain)(base, t, w, open, lane_0 + w, others + w, n_days, n_tests);
        n_lane_0 += MP2_FN(count)(lane_0[w] & ~others[w]);
    }
    /* A column costs about a third of a candidate counted by itself. */
    int by_columns = base->columns && n_lane_0 * COLUMN_WORTH > (int64_t)n_hits_0 * n_vectors;
    if (by_columns) {
        for (int32_t w = first_block; w < base->n_blocks; w++)
            *n_counted += MP2_FN(count)(lane_0[w] & ~others[w]);
        MP2_FN(count_columns)(base, t, lane_0, left);
    }
    for (int32_t w = first_block; w < base->n_blocks; w++) {
        if (!left[w]) {
            if (t->keep_passed)
                t->keep_passed[w] = 0;
            continue;
        }
        uint64_t single = left[w] & (by_columns ? others[w] : lane_0[w] | others[w]);
        *n_counted += MP2_FN(count)(single);
        for (; single; single &= single - 1) {
            int32_t bit = mp2_lowest_bit(single);
            int32_t first = by_columns || !(lane_0[w] >> bit & 1), end = others[w] >> bit & 1 ? base->n_days : 1;
            if (!MP2_FN(passes)(base, t, base->rows + ((int64_t)w * 64 + bit) * row_words, first, end))
                left[w] &= ~(1ULL << bit);
        }
        n_passing += MP2_FN(count)(left[w]);
        if (t->keep_passed)
            t->keep_passed[w] = left[w];
    }
    return n_passing;
}

MP2_TARGET static int64_t MP2_FN(settle_hits)(const struct mp2_base *base, const struct mp2_triple *t, uint64_t *left, uint64_t *doubt,
                                              int64_t *n_counted)
{
    if (base->n_days == MP2_USUAL_DAYS && base->n_tests == MP2_USUAL_DAYS)
        return MP2_FN(settle_hits_of)(base, t, left, doubt, n_counted, MP2_USUAL_DAYS, MP2_USUAL_DAYS);
    return MP2_FN(settle_hits_of)(base, t, left, doubt, n_counted, base->n_days, base->n_tests);
}

/* Leaves those candidates whose buys no bound puts above the cap on any day; returns whether there are any. */
MP2_TARGET MP2_INLINE int32_t MP2_FN(maybe_within_cap_of)(const struct mp2_base *base, const struct mp2_triple *t,
                                                          uint64_t *candidates, int32_t D)
{
    uint64_t any = 0;
    for (int32_t w = t->first >> 6; w < base->n_blocks; w++) {
        uint64_t left = candidates[w] & ~t->above[w];
        int64_t at = (int64_t)w * 2 * D * 64;
        if (base->capped && left) {
            MP2_FN(flags) above = MP2_FN(at_least)(t->pair->counts + at + D * 64, t->need_v[D]);
            for (int32_t p = D + 1; p < 2 * D; p++)
                above = MP2_FN(either)(above, MP2_FN(at_least)(t->pair->counts + at + p * 64, t->need_v[p]));
            left &= ~MP2_FN(bits)(above);
            for (int32_t p = D; t->counts_x && left && p < 2 * D; p++)
                left &= ~MP2_FN(bits)(MP2_FN(certain)(base, t, t->pair->counts + at, t->counts_x + at, base->upper + at, p));
        }
        if (t->keep_above)
            t->keep_above[w] = t->above[w] | (candidates[w] & ~left);
        candidates[w] = left;
        any |= left;
    }
    return any != 0;
}

MP2_TARGET static int32_t MP2_FN(maybe_within_cap)(const struct mp2_base *base, const struct mp2_triple *t, uint64_t *left)
{
    if (base->n_days == MP2_USUAL_DAYS)
        return MP2_FN(maybe_within_cap_of)(base, t, left, MP2_USUAL_DAYS);
    return MP2_FN(maybe_within_cap_of)(base, t, left, base->n_days);
}

static const struct mp2_loops MP2_FN(loops) = {
    MP2_ISA_NAME,          MP2_FN(pass_floor),  MP2_FN(pass_any),    MP2_FN(within_cap),
    MP2_FN(pass_mixed),    MP2_FN(count_block), MP2_FN(turn_row),    MP2_FN(open_triple), MP2_FN(settle_hits),
    MP2_FN(maybe_within_cap), MP2_FN(count_days),
};

#endif
