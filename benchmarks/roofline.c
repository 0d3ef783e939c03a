/* What one core can do with the two operations of the kernel's innermost loops, from whatever cache the arrays lie in.
 *
 *   and_count  words of a & b, counted: the tickers two rows share; for one candidate after the other
 *   add_bits   words added to a 3-bit counter held as bit planes, four at a time by carry-save adders: one word is one ticker
 *              of 64 candidates; for blocks of candidates
 *
 * Arrays hold a multiple of 64 words. Each function goes over them `n_repeats` times and returns something that depends on all
 * of it. Several sums at once, so that not the latency of an instruction is measured but what the core can do. */
#include <stdint.h>

typedef uint64_t vec4 __attribute__((vector_size(32)));
typedef uint64_t vec8 __attribute__((vector_size(64)));

#define REPEAT for (int64_t r = 0; r < n_repeats; r++, forget(a))

/* The compiler has to take the arrays for changed: it may not do the work once and multiply. */
static inline void forget(const uint64_t *a) { __asm__ volatile("" : : "r"(a) : "memory"); }

/* Two counters, which take turns; an overflow is kept in `over`. */
#define ADD_BITS(vector, lanes)                                                                                         \
    vector one[2] = {{0}}, two[2] = {{0}}, four[2] = {{0}}, over[2] = {{0}};                                            \
    REPEAT for (int64_t i = 0; i < n_words; i += 8 * lanes)                                                             \
        for (int k = 0; k < 2; k++) {                                                                                   \
            const vector *row = (const vector *)(a + i) + 4 * k;                                                        \
            vector carry_a = (one[k] & (row[0] | row[1])) | (row[0] & row[1]), sum = one[k] ^ row[0] ^ row[1];          \
            vector carry_b = (sum & (row[2] | row[3])) | (row[2] & row[3]);                                             \
            one[k] = sum ^ row[2] ^ row[3];                                                                             \
            vector carry = (two[k] & (carry_a | carry_b)) | (carry_a & carry_b);                                        \
            two[k] ^= carry_a ^ carry_b;                                                                                \
            over[k] |= four[k] & carry;                                                                                 \
            four[k] ^= carry;                                                                                           \
        }                                                                                                               \
    vector all = one[0] ^ two[0] ^ four[0] ^ over[0] ^ one[1] ^ two[1] ^ four[1] ^ over[1];                             \
    uint64_t result = 0;                                                                                                \
    for (int k = 0; k < lanes; k++)                                                                                     \
        result ^= ((const uint64_t *)&all)[k];                                                                          \
    return result;

#if defined(__x86_64__)
#include <immintrin.h>
#define SCALAR __attribute__((target("popcnt"), optimize("no-tree-vectorize")))
#if defined(__clang__)
#undef SCALAR
#define SCALAR __attribute__((target("popcnt")))
#endif
#else
#define SCALAR
#endif

SCALAR uint64_t scalar_and_count(const uint64_t *a, const uint64_t *b, int64_t n_words, int64_t n_repeats)
{
    uint64_t sum[4] = {0};
    REPEAT for (int64_t i = 0; i < n_words; i += 4) {
        sum[0] += (uint64_t)__builtin_popcountll(a[i] & b[i]);
        sum[1] += (uint64_t)__builtin_popcountll(a[i + 1] & b[i + 1]);
        sum[2] += (uint64_t)__builtin_popcountll(a[i + 2] & b[i + 2]);
        sum[3] += (uint64_t)__builtin_popcountll(a[i + 3] & b[i + 3]);
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

SCALAR uint64_t scalar_add_bits(const uint64_t *a, const uint64_t *b, int64_t n_words, int64_t n_repeats)
{
    (void)b;
    typedef uint64_t vec1 __attribute__((vector_size(8)));
    ADD_BITS(vec1, 1)
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq")))

/* Bits of each byte, by a table of the 16 half bytes; summed per word (Mula). */
AVX2 static inline __m256i count_4(__m256i words)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(words, half));
    __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(words, 4), half));
    return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

AVX2 uint64_t avx2_and_count(const uint64_t *a, const uint64_t *b, int64_t n_words, int64_t n_repeats)
{
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    REPEAT for (int64_t i = 0; i < n_words; i += 16)
        for (int k = 0; k < 4; k++) {
            __m256i x = _mm256_load_si256((const __m256i *)(a + i + 4 * k)), y = _mm256_load_si256((const __m256i *)(b + i + 4 * k));
            sum[k] = _mm256_add_epi64(sum[k], count_4(_mm256_and_si256(x, y)));
        }
    __m256i all = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
    return (uint64_t)(all[0] + all[1] + all[2] + all[3]);
}

AVX2 uint64_t avx2_add_bits(const uint64_t *a, const uint64_t *b, int64_t n_words, int64_t n_repeats)
{
    (void)b;
    ADD_BITS(vec4, 4)
}

AVX512 uint64_t avx512_and_count(const uint64_t *a, const uint64_t *b, int64_t n_words, int64_t n_repeats)
{
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    REPEAT for (int64_t i = 0; i < n_words; i += 32)
        for (int k = 0; k < 4; k++) {
            __m512i both = _mm512_and_si512(_mm512_load_si512(a + i + 8 * k), _mm512_load_si512(b + i + 8 * k));
            sum[k] = _mm512_add_epi64(sum[k], _mm512_popcnt_epi64(both));
        }
    return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3])));
}

AVX512 uint64_t avx512_add_bits(const uint64_t *a, const uint64_t *b, int64_t n_words, int64_t n_repeats)
{
    (void)b;
    ADD_BITS(vec8, 8)
}
#endif
