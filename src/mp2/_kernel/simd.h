/* What an instruction set offers, and the loops compiled once for each.
 *
 * `loops_panel.h` and `loops_block.h` hold the innermost loops of the search as plain C, and
 * `replicates_loops.h` those of the test of replicates. They come in two parts: structs, read once,
 * and functions, read once per MP2_ISA. `MP2_FN(name)` gives a
 * function a name of its own in each pass. Which pass a process uses is looked up by name in
 * `mp2_find_loops`. */
#ifndef MP2_ISA /* read once */
#ifndef MP2_SIMD_H
#define MP2_SIMD_H

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

/* Bytes of counts become bits and are transposed in words. No machine that polars runs on stores
 * the highest byte of a word first. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "mp2 runs on little-endian machines only"
#endif

#include "cpu.h"

/* x86-64 has no popcount in its baseline and the compiler's substitute is a table in memory: count
 * in parallel instead. */
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

#if defined(__GNUC__)
#define MP2_PREFETCH(place) __builtin_prefetch(place)
#else
#define MP2_PREFETCH(place) ((void)(place))
#endif

/* The six masks that compress one word (Warren, Hacker's Delight, 2nd ed., section 7-4), computed
 * once per mask word. */
static inline void mp2_compress_moves(uint64_t mask, uint64_t *moves)
{
    uint64_t zeros_right = ~mask << 1;
    for (int32_t s = 0; s < 6; s++) {
        uint64_t parity = zeros_right ^ (zeros_right << 1);
        parity ^= parity << 2, parity ^= parity << 4, parity ^= parity << 8, parity ^= parity << 16,
            parity ^= parity << 32;
        uint64_t move = parity & mask;
        mask = (mask ^ move) | (move >> (1 << s));
        moves[s] = move;
        zeros_right &= ~parity;
    }
}

/* Projects `row` onto the bits set in `mask`, day by day: the k-th 64 of day d become
 * out[k][lane[d]]. `out` is zero on entry. */
static inline void mp2_project(const uint64_t *row, const uint64_t *mask, const uint64_t *moves,
    int32_t n_days, int32_t n_words, const int32_t *lane, int32_t n_lanes, uint64_t *out)
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

/* Hashes 128 bits to the upper half of a word by 4 random keys: equal for others with odds of 2^-32
 * (Carter and Wegman 1979). */
MP2_INLINE uint64_t mp2_mix(uint64_t a, uint64_t b, const uint64_t *keys)
{
    return (uint32_t)a * keys[0] + (a >> 32) * keys[1] + (uint32_t)b * keys[2]
        + (b >> 32) * keys[3];
}

/* Exchanges the bits of `mask` in `b` with those `shift` higher in `a`. */
MP2_INLINE void mp2_swap(uint64_t *a, uint64_t *b, int32_t shift, uint64_t mask)
{
    uint64_t swapped = ((*a >> shift) ^ *b) & mask;
    *b ^= swapped;
    *a ^= swapped << shift;
}

/* Transposes 64 x 64 bits in place (Warren, section 7-3). */
static inline void mp2_transpose(uint64_t *words)
{
    uint64_t mask = 0x00000000ffffffffULL;
    for (int32_t j = 32; j; j >>= 1, mask ^= mask << j)
        for (int32_t k = 0; k < 64; k = ((k | j) + 1) & ~j)
            mp2_swap(words + k, words + (k | j), j, mask);
}

/* Eight bytes in memory order, 255 for each of the lowest eight bits that is set. */
MP2_INLINE uint64_t mp2_spread(uint64_t bits)
{
    uint64_t one_of_eight = bits * 0x0101010101010101ULL & 0x8040201008040201ULL;
    uint64_t bytes = (one_of_eight + 0x7f7f7f7f7f7f7f7fULL) >> 7 & 0x0101010101010101ULL;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bytes = __builtin_bswap64(bytes);
#endif
    return bytes * 255;
}

#include "loops_panel.h"
#include "loops_block.h"
#include "replicates_loops.h"

/* The loops of one instruction set; each is described where it is defined. */
typedef struct mp2_loops {
    const char *name;
    void (*sort_out)(
        const mp2_panel *, const uint64_t *, const int32_t *, int32_t, mp2_survivors *);
    void (*count_days)(const mp2_base *, const uint64_t *, const uint64_t *, int32_t *, int32_t *);
    uint64_t (*count_block)(
        const mp2_base *, const uint64_t *, const int32_t *, int32_t, uint8_t *);
    void (*note_most)(const mp2_base *, const uint8_t *, int32_t, uint8_t *);
    void (*aim)(const mp2_base *, mp2_triple *, int32_t, int32_t);
    void (*decide)(const mp2_base *, mp2_triple *, int32_t, int32_t, int32_t, mp2_decided *);
    uint64_t (*find)(
        const mp2_base *, mp2_triple *, int32_t, uint64_t, int64_t *, mp2_decided *);
    void (*meet)(
        const mp2_node *, const uint64_t *, int32_t, int32_t, uint64_t *, uint64_t *);
    void (*count_lanes)(const mp2_node *, const uint64_t *, const uint64_t *, int32_t, int32_t,
        int32_t *, uint8_t *);
    void (*drop_larger)(const mp2_node *, const uint8_t *, const int32_t *, int32_t, int32_t,
        int32_t, uint64_t *);
    void (*count_sets)(const uint64_t *, int32_t, int32_t, int32_t *);
    mp2_print (*fingerprint)(
        const uint64_t *, const uint64_t *, int64_t, const uint64_t *, uint64_t *);
    void (*list_bits)(const uint64_t *, int32_t, int32_t, int32_t *);
    int32_t (*add_day)(const uint64_t *, int64_t, const int32_t *, int32_t, int32_t, int32_t,
        uint64_t *, uint64_t *);
    void (*drop_beaten)(const uint64_t *, int32_t, int32_t, int32_t, const int32_t *, uint64_t,
        const uint64_t *, int32_t, uint64_t *);
} mp2_loops;

#define MP2_JOIN_(a, b) a##b
#define MP2_JOIN(a, b) MP2_JOIN_(a, b)
#define MP2_FN(name) MP2_JOIN(MP2_JOIN(mp2_, MP2_ISA), MP2_JOIN(_, name))
#define MP2_LOOP MP2_TARGET MP2_INLINE

/* One pass per instruction set; each pass undefines the macros below at its end. */
#define MP2_ISA portable
#define MP2_ISA_NAME "portable"
#define MP2_TARGET
#include "simd.h"

#if defined(MP2_X86)
#define MP2_ISA avx2
#define MP2_ISA_NAME "avx2"
#define MP2_TARGET __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))
#define MP2_HAS_AVX2 1
#include "simd.h"

#define MP2_ISA avx512
#define MP2_ISA_NAME "avx512"
#define MP2_TARGET  \
    __attribute__(( \
        target("avx2,bmi,bmi2,popcnt,lzcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq")))
#define MP2_HAS_AVX512 1
#include "simd.h"
#endif

#if defined(MP2_NEON)
#define MP2_ISA neon
#define MP2_ISA_NAME "neon"
#define MP2_TARGET
#define MP2_HAS_NEON 1
#include "simd.h"
#endif

/* Returns the loops named `name`, or NULL when this build or this machine does not have them. */
static const mp2_loops *mp2_find_loops(const char *name)
{
    if (strcmp(name, "portable") == 0)
        return &mp2_portable_loops;
#if defined(MP2_X86)
    if (strcmp(name, "avx2") == 0 && !mp2_missing_feature(name, 0))
        return &mp2_avx2_loops;
    if (strcmp(name, "avx512") == 0 && !mp2_missing_feature(name, 0))
        return &mp2_avx512_loops;
#endif
#if defined(MP2_NEON)
    if (strcmp(name, "neon") == 0)
        return &mp2_neon_loops;
#endif
    return 0;
}

#endif
#else /* read once per MP2_ISA */

#include "bytes.h"

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

enum { MP2_FN(LANES) = sizeof(MP2_FN(vector)) / 8 };

MP2_LOOP MP2_FN(vector) MP2_FN(read)(const uint64_t *words)
{
    MP2_FN(vector) v;
    memcpy(&v, words, sizeof v);
    return v;
}

/* Products of the lower halves of words. */
MP2_LOOP MP2_FN(vector) MP2_FN(multiply)(MP2_FN(vector) a, MP2_FN(vector) b)
{
#if defined(MP2_HAS_AVX512)
    return (MP2_FN(vector))_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(MP2_HAS_AVX2)
    return (MP2_FN(vector))_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
    return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

MP2_LOOP uint64_t MP2_FN(sum)(MP2_FN(vector) v)
{
    uint64_t words[MP2_FN(LANES)], sum = 0;
    memcpy(words, &v, sizeof v);
    for (int32_t k = 0; k < MP2_FN(LANES); k++)
        sum += words[k];
    return sum;
}

/* Whether any bit is set. */
MP2_LOOP int32_t MP2_FN(any)(MP2_FN(vector) v)
{
#if defined(MP2_HAS_AVX512)
    return _mm512_test_epi64_mask((__m512i)v, (__m512i)v) != 0;
#else
    uint64_t words[MP2_FN(LANES)], any = 0;
    memcpy(words, &v, sizeof v);
    for (int32_t k = 0; k < MP2_FN(LANES); k++)
        any |= words[k];
    return any != 0;
#endif
}

/* Adds two bits to a plane; returns the carry. */
MP2_LOOP MP2_FN(vector) MP2_FN(carry)(MP2_FN(vector) * sum, MP2_FN(vector) a, MP2_FN(vector) b)
{
    MP2_FN(vector) old = *sum;
#if defined(MP2_HAS_AVX512)
    __m512i x = (__m512i)old, y = (__m512i)a, z = (__m512i)b;
    *sum = (MP2_FN(vector))_mm512_ternarylogic_epi64(x, y, z, 0x96);
    return (MP2_FN(vector))_mm512_ternarylogic_epi64(x, y, z, 0xe8);
#else
    MP2_FN(vector) different = old ^ a;
    *sum = different ^ b;
    return (old & a) | (different & b);
#endif
}

MP2_LOOP int32_t MP2_FN(count)(uint64_t word)
{
#if defined(MP2_HAS_AVX512) || defined(MP2_HAS_AVX2)
    return (int32_t)_mm_popcnt_u64(word);
#else
    return mp2_count(word);
#endif
}

#if defined(MP2_HAS_AVX512)
/* Tickers in both `a` and `b`, for eight words side by side. */
MP2_LOOP __m512i MP2_FN(count_8)(const uint64_t *a, const uint64_t *b)
{
    return _mm512_popcnt_epi64(_mm512_and_si512(_mm512_loadu_si512(a), _mm512_loadu_si512(b)));
}
#endif

#include "loops_panel.h"
#include "loops_block.h"
#include "loops_decide.h"
#include "replicates_loops.h"

static const mp2_loops MP2_FN(loops) = {
    MP2_ISA_NAME,
    MP2_FN(sort_out),
    MP2_FN(count_days),
    MP2_FN(count_block),
    MP2_FN(note_most),
    MP2_FN(aim),
    MP2_FN(decide),
    MP2_FN(find),
    MP2_FN(meet),
    MP2_FN(count_lanes),
    MP2_FN(drop_larger),
    MP2_FN(count_sets),
    MP2_FN(fingerprint),
    MP2_FN(list_bits),
    MP2_FN(add_day),
    MP2_FN(drop_beaten),
};

#undef MP2_ISA
#undef MP2_ISA_NAME
#undef MP2_TARGET
#undef MP2_HAS_AVX2
#undef MP2_HAS_AVX512
#undef MP2_HAS_NEON
#endif
