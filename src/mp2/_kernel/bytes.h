/* Bytes of 64 candidates compared at once, and the 64 truth values that come of it.
 *
 * Each instruction set says how it loads and repeats bytes, subtracts them (down to 0), takes the
 * smaller ones, and which of them are 0. Every x86-64 has SSE2: the portable loops use it. */
#ifdef MP2_ISA

#if defined(MP2_HAS_AVX512)
typedef __m512i MP2_FN(bytes);

MP2_LOOP __m512i MP2_FN(load)(const uint8_t *bytes) { return _mm512_loadu_si512(bytes); }
MP2_LOOP __m512i MP2_FN(repeat)(uint8_t byte) { return _mm512_set1_epi8((char)byte); }
MP2_LOOP __m512i MP2_FN(less)(__m512i a, __m512i b) { return _mm512_subs_epu8(a, b); }
MP2_LOOP __m512i MP2_FN(smaller)(__m512i a, __m512i b) { return _mm512_min_epu8(a, b); }
MP2_LOOP uint64_t MP2_FN(zeros)(__m512i a) { return _mm512_testn_epi8_mask(a, a); }

#elif defined(MP2_HAS_AVX2)
typedef __m256i MP2_FN(bytes);

MP2_LOOP __m256i MP2_FN(load)(const uint8_t *bytes)
{
    return _mm256_loadu_si256((const __m256i *)bytes);
}

MP2_LOOP __m256i MP2_FN(repeat)(uint8_t byte) { return _mm256_set1_epi8((char)byte); }
MP2_LOOP __m256i MP2_FN(less)(__m256i a, __m256i b) { return _mm256_subs_epu8(a, b); }
MP2_LOOP __m256i MP2_FN(smaller)(__m256i a, __m256i b) { return _mm256_min_epu8(a, b); }

MP2_LOOP uint64_t MP2_FN(zeros)(__m256i a)
{
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, _mm256_setzero_si256()));
}

#elif defined(MP2_HAS_NEON)
typedef uint8x16_t MP2_FN(bytes);

MP2_LOOP uint8x16_t MP2_FN(load)(const uint8_t *bytes) { return vld1q_u8(bytes); }
MP2_LOOP uint8x16_t MP2_FN(repeat)(uint8_t byte) { return vdupq_n_u8(byte); }
MP2_LOOP uint8x16_t MP2_FN(less)(uint8x16_t a, uint8x16_t b) { return vqsubq_u8(a, b); }
MP2_LOOP uint8x16_t MP2_FN(smaller)(uint8x16_t a, uint8x16_t b) { return vminq_u8(a, b); }

MP2_LOOP uint64_t MP2_FN(zeros)(uint8x16_t a)
{
    const uint8x16_t one_of_eight = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ULL));
    uint8x16_t sums = vandq_u8(vceqzq_u8(a), one_of_eight);
    for (int32_t k = 0; k < 3; k++)
        sums = vpaddq_u8(sums, sums);
    return vgetq_lane_u16(vreinterpretq_u16_u8(sums), 0);
}

#elif defined(MP2_X86)
typedef __m128i MP2_FN(bytes);

MP2_LOOP __m128i MP2_FN(load)(const uint8_t *bytes)
{
    return _mm_loadu_si128((const __m128i *)bytes);
}

MP2_LOOP __m128i MP2_FN(repeat)(uint8_t byte) { return _mm_set1_epi8((char)byte); }
MP2_LOOP __m128i MP2_FN(less)(__m128i a, __m128i b) { return _mm_subs_epu8(a, b); }
MP2_LOOP __m128i MP2_FN(smaller)(__m128i a, __m128i b) { return _mm_min_epu8(a, b); }

MP2_LOOP uint64_t MP2_FN(zeros)(__m128i a)
{
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, _mm_setzero_si128()));
}

#else
/* Eight bytes in a word. */
#define MP2_HIGH 0x8080808080808080ULL
#define MP2_ONES 0x0101010101010101ULL
typedef uint64_t MP2_FN(bytes);

MP2_LOOP uint64_t MP2_FN(load)(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word;
}

MP2_LOOP uint64_t MP2_FN(repeat)(uint8_t byte) { return byte * MP2_ONES; }

/* The first subtraction never borrows from the next byte, because a's highest bits are set; where
 * b is larger it is subtracted from itself. */
MP2_LOOP uint64_t MP2_FN(less)(uint64_t a, uint64_t b)
{
    uint64_t difference = (a | MP2_HIGH) - (b & ~MP2_HIGH);
    uint64_t not_less = (a & ~b) | (~(a ^ b) & difference);
    uint64_t kept = ((not_less & MP2_HIGH) >> 7) * 255;
    return ((a & kept) | (b & ~kept)) - b;
}

MP2_LOOP uint64_t MP2_FN(smaller)(uint64_t a, uint64_t b) { return a - MP2_FN(less)(a, b); }

/* The multiplication gathers the lowest bit of byte k in bit 56 + k; no partial products meet. */
MP2_LOOP uint64_t MP2_FN(zeros)(uint64_t a)
{
    uint64_t other = ((a & ~MP2_HIGH) + ~MP2_HIGH) | a;
    return (~other >> 7 & MP2_ONES) * 0x0102040810204080ULL >> 56;
}
#endif

enum { MP2_FN(WIDTH) = sizeof(MP2_FN(bytes)) };

/* Bits of the 64 candidates with at most `most` in a plane. */
MP2_LOOP uint64_t MP2_FN(at_most)(const uint8_t *plane, uint8_t most)
{
    uint64_t bits = 0;
    for (int32_t c = 0; c < 64; c += MP2_FN(WIDTH))
        bits |= MP2_FN(zeros)(MP2_FN(less)(MP2_FN(load)(plane + c), MP2_FN(repeat)(most))) << c;
    return bits;
}

/* Bits of those with at least `least`. */
MP2_LOOP uint64_t MP2_FN(at_least)(const uint8_t *plane, uint8_t least)
{
    uint64_t bits = 0;
    for (int32_t c = 0; c < 64; c += MP2_FN(WIDTH))
        bits |= MP2_FN(zeros)(MP2_FN(less)(MP2_FN(repeat)(least), MP2_FN(load)(plane + c))) << c;
    return bits;
}

/* Bits of those with no more in a plane than in another. */
MP2_LOOP uint64_t MP2_FN(not_above)(const uint8_t *plane, const uint8_t *other)
{
    uint64_t bits = 0;
    for (int32_t c = 0; c < 64; c += MP2_FN(WIDTH))
        bits |= MP2_FN(zeros)(MP2_FN(less)(MP2_FN(load)(plane + c), MP2_FN(load)(other + c))) << c;
    return bits;
}

MP2_LOOP MP2_FN(bytes) MP2_FN(smaller_of)(const uint8_t *a, const uint8_t *b)
{
    return MP2_FN(smaller)(MP2_FN(load)(a), MP2_FN(load)(b));
}

/* Bits of those with at most `most` in all of n planes, by the smaller of two counts each. */
MP2_LOOP uint64_t MP2_FN(all_at_most)(
    const uint8_t *counts, const uint8_t *others, const uint8_t *most, int32_t n)
{
    uint64_t bits = 0;
    for (int32_t c = 0; c < 64; c += MP2_FN(WIDTH)) {
        MP2_FN(bytes) excess = MP2_FN(repeat)(0);
        for (int32_t p = 0, at = c; p < n; p++, at += 64) {
            MP2_FN(bytes) count = MP2_FN(smaller_of)(counts + at, others + at);
            excess = excess | MP2_FN(less)(count, MP2_FN(repeat)(most[p]));
        }
        bits |= MP2_FN(zeros)(excess) << c;
    }
    return bits;
}

/* Bits of those with at least `need` in all of n planes, by the smaller of two counts each. */
MP2_LOOP uint64_t MP2_FN(all_at_least)(
    const uint8_t *counts, const uint8_t *others, const uint8_t *need, int32_t n)
{
    uint64_t bits = 0;
    for (int32_t c = 0; c < 64; c += MP2_FN(WIDTH)) {
        MP2_FN(bytes) lacking = MP2_FN(repeat)(0);
        for (int32_t p = 0, at = c; p < n; p++, at += 64) {
            MP2_FN(bytes) count = MP2_FN(smaller_of)(counts + at, others + at);
            lacking = lacking | MP2_FN(less)(MP2_FN(repeat)(need[p]), count);
        }
        bits |= MP2_FN(zeros)(lacking) << c;
    }
    return bits;
}

/* Bits of those with (need - lost) + missing <= given + more in all of n planes, within 0 to 255. */
MP2_LOOP uint64_t MP2_FN(no_sum_above)(const uint8_t *need, const uint8_t *lost,
    const uint8_t *missing, const uint8_t *given, const uint8_t *more, int32_t n)
{
    uint64_t bits = 0;
    for (int32_t c = 0; c < 64; c += MP2_FN(WIDTH)) {
        MP2_FN(bytes) excess = MP2_FN(repeat)(0);
        for (int32_t p = 0, at = c; p < n; p++, at += 64) {
            MP2_FN(bytes) rest = MP2_FN(less)(MP2_FN(repeat)(need[p]), MP2_FN(load)(lost + at));
            MP2_FN(bytes) a = ~MP2_FN(less)(~MP2_FN(load)(missing + at), rest);
            MP2_FN(bytes) b = ~MP2_FN(less)(~MP2_FN(load)(given + at), MP2_FN(repeat)(more[p]));
            excess = excess | MP2_FN(less)(a, b);
        }
        bits |= MP2_FN(zeros)(excess) << c;
    }
    return bits;
}

#endif
