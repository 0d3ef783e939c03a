/* Bytes of 64 candidates compared at once, and the 64 truth values that come of it.
 *
 * Flags: 64 truth values, one a candidate, in the form in which the instruction set compares bytes.
 * Each set says how it loads, repeats, subtracts (down to 0) and compares bytes, and how it makes
 * bits of the outcome; `&` and `|` work on all of them. Every x86-64 has SSE2: the portable
 * loops use it. */
#ifdef MP2_ISA

#if defined(MP2_HAS_AVX512)
typedef __m512i MP2_FN(bytes);
typedef __mmask64 MP2_FN(flag);

MP2_LOOP __m512i MP2_FN(load)(const uint8_t *bytes) { return _mm512_loadu_si512(bytes); }
MP2_LOOP __m512i MP2_FN(repeat)(uint8_t byte) { return _mm512_set1_epi8((char)byte); }
MP2_LOOP __m512i MP2_FN(less)(__m512i a, __m512i b) { return _mm512_subs_epu8(a, b); }
MP2_LOOP __mmask64 MP2_FN(not_less)(__m512i a, __m512i b) { return _mm512_cmpge_epu8_mask(a, b); }
MP2_LOOP uint64_t MP2_FN(bits_of)(__mmask64 flag) { return (uint64_t)flag; }

#elif defined(MP2_HAS_AVX2)
typedef __m256i MP2_FN(bytes);
typedef __m256i MP2_FN(flag);

MP2_LOOP __m256i MP2_FN(load)(const uint8_t *bytes)
{
    return _mm256_loadu_si256((const __m256i *)bytes);
}

MP2_LOOP __m256i MP2_FN(repeat)(uint8_t byte) { return _mm256_set1_epi8((char)byte); }
MP2_LOOP __m256i MP2_FN(less)(__m256i a, __m256i b) { return _mm256_subs_epu8(a, b); }

MP2_LOOP __m256i MP2_FN(not_less)(__m256i a, __m256i b)
{
    return _mm256_cmpeq_epi8(_mm256_max_epu8(a, b), a);
}

MP2_LOOP uint64_t MP2_FN(bits_of)(__m256i flag) { return (uint32_t)_mm256_movemask_epi8(flag); }

#elif defined(MP2_HAS_NEON)
typedef uint8x16_t MP2_FN(bytes);
typedef uint8x16_t MP2_FN(flag);

MP2_LOOP uint8x16_t MP2_FN(load)(const uint8_t *bytes) { return vld1q_u8(bytes); }
MP2_LOOP uint8x16_t MP2_FN(repeat)(uint8_t byte) { return vdupq_n_u8(byte); }
MP2_LOOP uint8x16_t MP2_FN(less)(uint8x16_t a, uint8x16_t b) { return vqsubq_u8(a, b); }
MP2_LOOP uint8x16_t MP2_FN(not_less)(uint8x16_t a, uint8x16_t b) { return vcgeq_u8(a, b); }

MP2_LOOP uint64_t MP2_FN(bits_of)(uint8x16_t flag)
{
    uint8x16_t sums = vandq_u8(flag, vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ULL)));
    for (int32_t k = 0; k < 3; k++)
        sums = vpaddq_u8(sums, sums);
    return vgetq_lane_u16(vreinterpretq_u16_u8(sums), 0);
}

#elif defined(MP2_X86)
typedef __m128i MP2_FN(bytes);
typedef __m128i MP2_FN(flag);

MP2_LOOP __m128i MP2_FN(load)(const uint8_t *bytes)
{
    return _mm_loadu_si128((const __m128i *)bytes);
}

MP2_LOOP __m128i MP2_FN(repeat)(uint8_t byte) { return _mm_set1_epi8((char)byte); }
MP2_LOOP __m128i MP2_FN(less)(__m128i a, __m128i b) { return _mm_subs_epu8(a, b); }

MP2_LOOP __m128i MP2_FN(not_less)(__m128i a, __m128i b)
{
    return _mm_cmpeq_epi8(_mm_max_epu8(a, b), a);
}

MP2_LOOP uint64_t MP2_FN(bits_of)(__m128i flag) { return (uint32_t)_mm_movemask_epi8(flag); }

#else
/* Eight bytes in a word; the highest bit of each byte is the flag. */
#define MP2_HIGH 0x8080808080808080ULL
#define MP2_ONES 0x0101010101010101ULL
typedef uint64_t MP2_FN(bytes);
typedef uint64_t MP2_FN(flag);

MP2_LOOP uint64_t MP2_FN(load)(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word;
}

MP2_LOOP uint64_t MP2_FN(repeat)(uint8_t byte) { return byte * MP2_ONES; }

/* The subtraction never borrows from the next byte, because a's highest bits are set. */
MP2_LOOP uint64_t MP2_FN(not_less)(uint64_t a, uint64_t b)
{
    uint64_t difference = (a | MP2_HIGH) - (b & ~MP2_HIGH);
    return (a & ~b) | (~(a ^ b) & difference);
}

/* Where b is larger it is subtracted from itself. */
MP2_LOOP uint64_t MP2_FN(less)(uint64_t a, uint64_t b)
{
    uint64_t kept = ((MP2_FN(not_less)(a, b) & MP2_HIGH) >> 7) * 255;
    return ((a & kept) | (b & ~kept)) - b;
}

/* The multiplication gathers the lowest bit of byte k in bit 56 + k; no partial products meet. */
MP2_LOOP uint64_t MP2_FN(bits_of)(uint64_t flag)
{
    return (flag >> 7 & MP2_ONES) * 0x0102040810204080ULL >> 56;
}
#endif

enum { MP2_FN(WIDTH) = sizeof(MP2_FN(bytes)), MP2_FN(PARTS) = 64 / MP2_FN(WIDTH) };

typedef struct {
    MP2_FN(flag) part[MP2_FN(PARTS)];
} MP2_FN(flags);

/* Per byte: bytes >= threshold. */
MP2_LOOP MP2_FN(flags) MP2_FN(at_least)(const uint8_t *bytes, uint8_t threshold)
{
    MP2_FN(flags) f;
    for (int32_t i = 0, at = 0; i < MP2_FN(PARTS); i++, at += MP2_FN(WIDTH))
        f.part[i] = MP2_FN(not_less)(MP2_FN(load)(bytes + at), MP2_FN(repeat)(threshold));
    return f;
}

/* Per byte: bytes <= threshold. */
MP2_LOOP MP2_FN(flags) MP2_FN(at_most)(const uint8_t *bytes, uint8_t threshold)
{
    MP2_FN(flags) f;
    for (int32_t i = 0, at = 0; i < MP2_FN(PARTS); i++, at += MP2_FN(WIDTH))
        f.part[i] = MP2_FN(not_less)(MP2_FN(repeat)(threshold), MP2_FN(load)(bytes + at));
    return f;
}

/* Per byte: all - (kept - lost) <= spare - given, every difference at least 0. */
MP2_LOOP MP2_FN(flags) MP2_FN(takes_at_most)(
    const uint8_t *all, uint8_t kept, const uint8_t *lost, uint8_t spare, const uint8_t *given)
{
    MP2_FN(flags) f;
    for (int32_t i = 0, at = 0; i < MP2_FN(PARTS); i++, at += MP2_FN(WIDTH)) {
        MP2_FN(bytes) left = MP2_FN(less)(MP2_FN(repeat)(kept), MP2_FN(load)(lost + at));
        MP2_FN(bytes) taken = MP2_FN(less)(MP2_FN(load)(all + at), left);
        MP2_FN(bytes) rest = MP2_FN(less)(MP2_FN(repeat)(spare), MP2_FN(load)(given + at));
        f.part[i] = MP2_FN(not_less)(rest, taken);
    }
    return f;
}

/* Per byte: (need - lost) + missing <= given + more, all within 0 to 255. */
MP2_LOOP MP2_FN(flags) MP2_FN(sum_not_above)(uint8_t need, const uint8_t *lost,
    const uint8_t *missing, const uint8_t *given, uint8_t more)
{
    MP2_FN(flags) f;
    for (int32_t i = 0, at = 0; i < MP2_FN(PARTS); i++, at += MP2_FN(WIDTH)) {
        MP2_FN(bytes) rest = MP2_FN(less)(MP2_FN(repeat)(need), MP2_FN(load)(lost + at));
        MP2_FN(bytes) a = ~MP2_FN(less)(~MP2_FN(load)(missing + at), rest);
        MP2_FN(bytes) b = ~MP2_FN(less)(~MP2_FN(load)(given + at), MP2_FN(repeat)(more));
        f.part[i] = MP2_FN(not_less)(b, a);
    }
    return f;
}

MP2_LOOP MP2_FN(flags) MP2_FN(both)(MP2_FN(flags) a, MP2_FN(flags) b)
{
    for (int32_t i = 0; i < MP2_FN(PARTS); i++)
        a.part[i] = a.part[i] & b.part[i];
    return a;
}

MP2_LOOP MP2_FN(flags) MP2_FN(either)(MP2_FN(flags) a, MP2_FN(flags) b)
{
    for (int32_t i = 0; i < MP2_FN(PARTS); i++)
        a.part[i] = a.part[i] | b.part[i];
    return a;
}

MP2_LOOP uint64_t MP2_FN(bits)(MP2_FN(flags) f)
{
    uint64_t bits = 0;
    for (int32_t i = 0, at = 0; i < MP2_FN(PARTS); i++, at += MP2_FN(WIDTH))
        bits |= MP2_FN(bits_of)(f.part[i]) << at;
    return bits;
}

#endif
