/* Loops of the test of replicates: groups found by their buys alone, hits counted for 512
 * replicates at once.
 *
 * Two layouts beside the panel's own:
 *
 *   node    rows[candidate][chunk][lane]: what candidates buy, projected onto the consensus of the
 * group they may join; lane = day, padded to a multiple of 8. So one vector counts 8 days.
 *   planes  planes[p][8]: bit r of the 512 bits of plane p is bit p of the count of replicate r. */
#ifndef MP2_ISA /* read once */

typedef struct mp2_node {
    uint64_t *rows;
    int32_t n_days, n_lanes, n_chunks, row_words;
    int32_t floor; /* 0: any ticker is enough */
    int32_t cap;
} mp2_node;

typedef struct mp2_print {
    uint64_t key;  /* equal for equal sets; for others with odds of 2^-63 */
    uint64_t slot; /* where to look for it in a table; does not depend on the random keys */
} mp2_print;

/* Bits that a number needs. */
MP2_INLINE int32_t mp2_width(uint64_t number)
{
#if defined(__GNUC__)
    return number ? 64 - __builtin_clzll(number) : 0;
#else
    int32_t width = 0;
    while (number >> width)
        width++;
    return width;
#endif
}

#if defined(__GNUC__)
#define MP2_PREFETCH(place) __builtin_prefetch(place)
#else
#define MP2_PREFETCH(place) ((void)(place))
#endif

static const uint64_t mp2_zeros[8] = {0};

#else /* read once per MP2_ISA */

/* Whether `row` and `other` have enough tickers in common every day (1), and not too many (2). */
MP2_LOOP uint64_t MP2_FN(judge_meeting)(const mp2_node *node, const uint64_t *row,
    const uint64_t *other, int32_t n_lanes, int32_t n_chunks)
{
#if defined(MP2_HAS_AVX512)
    uint32_t few = 0, many = 0, any = 0;
    for (int32_t lane = 0; lane < n_lanes; lane += 8) {
        int32_t n_real = node->n_days - lane < 8 ? node->n_days - lane : 8;
        __m512i floor = _mm512_maskz_set1_epi64((__mmask8)((1 << n_real) - 1), node->floor);
        __m512i total = MP2_FN(count_8)(row + lane, other + lane);
        for (int32_t i = lane + n_lanes; i < n_chunks * n_lanes; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(row + i, other + i));
        few |= _mm512_cmplt_epi64_mask(total, floor);
        many |= _mm512_cmpgt_epi64_mask(total, _mm512_set1_epi64(node->cap));
        any |= _mm512_test_epi64_mask(total, total);
    }
    return (uint64_t)(few == 0 && any) * (many ? 1 : 3);
#else
    int32_t any = 0, many = 0;
    for (int32_t lane = 0; lane < node->n_days; lane++) {
        int32_t total = 0;
        for (int32_t i = lane; i < n_chunks * n_lanes; i += n_lanes)
            total += MP2_FN(count)(row[i] & other[i]);
        if (total < node->floor)
            return 0;
        any |= total;
        many |= total > node->cap;
    }
    return any ? (many ? 1 : 3) : 0;
#endif
}

MP2_LOOP void MP2_FN(meet_all)(const mp2_node *node, const uint64_t *row,
    const uint64_t *candidates, int32_t first_word, int32_t end_word, uint64_t *passing,
    uint64_t *within, int32_t n_lanes, int32_t n_chunks)
{
    for (int32_t w = first_word; w < end_word; w++) {
        uint64_t passes = 0, fits = 0;
        for (uint64_t left = candidates[w]; left; left &= left - 1) {
            int32_t k = mp2_lowest_bit(left);
            const uint64_t *other = node->rows + (int64_t)(w * 64 + k) * (n_lanes * n_chunks);
            uint64_t verdict = MP2_FN(judge_meeting)(node, row, other, n_lanes, n_chunks);
            passes |= (verdict & 1) << k;
            fits |= (verdict >> 1) << k;
        }
        passing[w] = passes;
        within[w] = fits;
    }
}

/* For each candidate in a set of bits: do it and the one of `row` reach the floor together, and
 * stay within the cap? Short rows of a week have loops of their own. */
MP2_TARGET static void MP2_FN(meet)(const mp2_node *node, const uint64_t *row,
    const uint64_t *candidates, int32_t first_word, int32_t end_word, uint64_t *passing,
    uint64_t *within)
{
#define MP2_MEET(n_lanes, n_chunks)                                               \
    MP2_FN(meet_all)                                                              \
    (node, row, candidates, first_word, end_word, passing, within, n_lanes, n_chunks)
    int32_t n_chunks = node->n_chunks;
    if (node->n_lanes != 8)
        MP2_MEET(node->n_lanes, n_chunks);
    else if (n_chunks == 1)
        MP2_MEET(8, 1);
    else
        MP2_MEET(8, n_chunks);
#undef MP2_MEET
}

/* Counts of the days of candidates, in bytes: planes[lane][64 n_words], at most 255. */
MP2_TARGET static void MP2_FN(count_lanes)(
    const mp2_node *node, const uint64_t *candidates, int32_t n_words, uint8_t *planes)
{
    for (int32_t w = 0; w < n_words; w++)
        for (uint64_t left = candidates[w]; left; left &= left - 1) {
            int64_t k = w * 64 + mp2_lowest_bit(left);
            const uint64_t *row = node->rows + k * node->row_words;
            for (int32_t lane = 0; lane < node->n_days; lane++) {
                int32_t total = 0;
                for (int32_t i = lane; i < node->row_words; i += node->n_lanes)
                    total += MP2_FN(count)(row[i]);
                planes[(int64_t)lane * n_words * 64 + k] = (uint8_t)(total < 255 ? total : 255);
            }
        }
}

/* Drops the candidates of `left` that have more than `most` tickers on a day; [n_days] each. */
MP2_TARGET static void MP2_FN(drop_larger)(const uint8_t *planes, const int32_t *most,
    int32_t n_days, int32_t first_word, int32_t n_words, uint64_t *left)
{
    for (int32_t w = first_word; w < n_words; w++)
        for (int32_t lane = 0; lane < n_days && left[w]; lane++) {
            const uint8_t *counts = planes + ((int64_t)lane * n_words + w) * 64;
            if (most[lane] < 255)
                left[w] &= ~MP2_FN(bits)(MP2_FN(at_least)(counts, (uint8_t)(most[lane] + 1)));
        }
}

/* The bits of `word` that are in `mask`, side by side; `moves` are those of the mask. */
MP2_LOOP uint64_t MP2_FN(extract)(uint64_t word, uint64_t mask, const uint64_t *moves)
{
#if defined(MP2_HAS_AVX512) || defined(MP2_HAS_AVX2)
    (void)moves;
    return _pext_u64(word, mask);
#else
    uint64_t bits = word & mask;
    for (int32_t s = 0; s < 6; s++) {
        uint64_t moved = bits & moves[s];
        bits = (bits ^ moved) | (moved >> (1 << s));
    }
    return bits;
#endif
}

/* Projects candidates of `node` onto the tickers of its row `mask`, into the rows of `out`. */
MP2_TARGET static void MP2_FN(narrow)(const mp2_node *node, const uint64_t *mask,
    const uint64_t *candidates, int32_t word, mp2_node *out)
{
    int32_t n_lanes = node->n_lanes;
    uint64_t moves[6] = {0};
    for (uint64_t left = candidates[word]; left; left &= left - 1)
        memset(out->rows + (int64_t)(word * 64 + mp2_lowest_bit(left)) * out->row_words, 0,
            8 * (size_t)out->row_words);
    for (int32_t lane = 0; lane < node->n_days; lane++) {
        int32_t at = 0;
        for (int32_t i = lane; i < node->row_words; i += n_lanes) {
            int32_t n = MP2_FN(count)(mask[i]);
            if (n == 0)
                continue;
#if !defined(MP2_HAS_AVX512) && !defined(MP2_HAS_AVX2)
            mp2_compress_moves(mask[i], moves);
#endif
            for (uint64_t left = candidates[word]; left; left &= left - 1) {
                int64_t k = word * 64 + mp2_lowest_bit(left);
                uint64_t bits =
                    MP2_FN(extract)(node->rows[k * node->row_words + i], mask[i], moves);
                uint64_t *to = out->rows + k * out->row_words + (at >> 6) * n_lanes + lane;
                to[0] |= bits << (at & 63);
                if ((at & 63) + n > 64)
                    to[n_lanes] |= bits >> (64 - (at & 63));
            }
            at += n;
        }
    }
}

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

/* Three passes of NH over words of 32 bits, with shifted keys. */
MP2_LOOP void MP2_FN(mix)(MP2_FN(vector) x, const uint64_t *keys, MP2_FN(vector) * sums)
{
    for (int32_t p = 0; p < 3; p++) {
        MP2_FN(vector) key = MP2_FN(read)(keys + 8 * p);
        sums[p] += MP2_FN(multiply)(x + key, (x >> 32) + (key >> 32));
    }
}

/* Writes a & b, n words, to `out`, and returns its fingerprint (Black et al., UMAC 1999). The first
 * pass says the slot, the others are multiplied down to 64 bits. `keys` are random: 8 for that,
 * then n, rounded up by 8, and 16. */
MP2_TARGET static mp2_print MP2_FN(fingerprint)(
    const uint64_t *a, const uint64_t *b, int64_t n, const uint64_t *keys, uint64_t *out)
{
    MP2_FN(vector) zero = MP2_FN(read)(mp2_zeros), sums[3] = {zero, zero, zero};
    uint64_t rest[8] = {0}, parts[3][8], high = 0, low = 0;
    int64_t i = 0;
    mp2_print print;
    for (; i + MP2_FN(LANES) <= n; i += MP2_FN(LANES)) {
        MP2_FN(vector) x = MP2_FN(read)(a + i) & MP2_FN(read)(b + i);
        memcpy(out + i, &x, sizeof x);
        MP2_FN(mix)(x, keys + 8 + i, sums);
    }
    if (i < n) {
        for (int64_t k = i; k < n; k++)
            rest[k - i] = out[k] = a[k] & b[k];
        MP2_FN(mix)(MP2_FN(read)(rest), keys + 8 + i, sums);
    }
    for (int32_t p = 0; p < 3; p++) {
        memcpy(parts[p], &sums[p], sizeof sums[p]);
        for (int32_t k = 1; k < MP2_FN(LANES); k++)
            parts[p][0] += parts[p][k];
    }
    for (int32_t k = 0; k < 4; k++) {
        uint64_t part = parts[1 + k / 2][0] >> 32 * (k & 1) & 0xffffffff;
        high += part * keys[k];
        low += part * keys[k + 4];
    }
    print.key = (high >> 32 << 32) | low >> 32;
    print.slot = parts[0][0] >> 16;
    return print;
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

/* Bits of counts that reach `least`, a number that fits the planes. */
MP2_LOOP MP2_FN(vector)
    MP2_FN(reaches)(const uint64_t *planes, int32_t n_planes, int32_t least, MP2_FN(vector) alive)
{
    MP2_FN(vector) enough = ~(alive ^ alive);
    for (int32_t p = 0; p < n_planes; p++) {
        MP2_FN(vector) plane = MP2_FN(read)(planes + 8 * p);
        enough = least >> p & 1 ? enough & plane : enough | plane;
    }
    return enough & alive;
}

/* Counts the bits of each day. */
MP2_TARGET static void MP2_FN(count_sets)(
    const uint64_t *words, int32_t n_words, int32_t n_days, int32_t *counts)
{
    for (int32_t d = 0; d < n_days; d++) {
        counts[d] = 0;
        for (int32_t i = 0; i < n_words; i++)
            counts[d] += MP2_FN(count)(words[d * n_words + i]);
    }
}

/* Writes the numbers of the bits set to `out`, which has room for 4 more; returns how many. Four at
 * a time, there or not: a branch a bit would be foreseen wrongly (as in simdjson). */
MP2_TARGET static int32_t MP2_FN(list_bits)(const uint64_t *words, int32_t n_words, int32_t *out)
{
    int32_t n = 0;
    for (int32_t i = 0; i < n_words; i++) {
        uint64_t left = words[i];
        int32_t count = MP2_FN(count)(left);
        for (int32_t k = 0; k < count; k += 4)
            for (int32_t j = 0; j < 4; j++, left &= left - 1)
                out[n + k + j] = 64 * i + mp2_lowest_bit(left | 1ULL << 63);
        n += count;
    }
    return n;
}

/* Adds up the rows of labels of a day's `n` tickers by carry-save adders (Warren, Hacker's Delight,
 * 2nd ed., section 5-1), seven of them for eight rows. `alive` [8]: replicates, less those below
 * the floor; returns whether any is left. */
MP2_TARGET static int32_t MP2_FN(add_day)(const uint64_t *labels, int64_t stride,
    const int32_t *tickers, int32_t n, int32_t n_planes, int32_t floor, uint64_t *planes,
    uint64_t *alive)
{
    typedef MP2_FN(vector) vector;
    uint64_t left = 0;
    for (int32_t w = 0; w < 8; w += MP2_FN(LANES)) {
        const uint64_t *column = labels + w;
        const int32_t *next = tickers;
        vector ones = {0}, twos = {0}, fours = {0}, a, b, c;
#define MP2_NEXT MP2_FN(read)(column + stride * *next++)
        if (n & 1)
            ones = MP2_NEXT;
        if (n & 2) {
            a = MP2_NEXT;
            twos = MP2_FN(carry)(&ones, a, MP2_NEXT);
        }
        if (n & 4) {
            a = MP2_NEXT;
            b = MP2_FN(carry)(&ones, a, MP2_NEXT);
            a = MP2_NEXT;
            a = MP2_FN(carry)(&ones, a, MP2_NEXT);
            fours = MP2_FN(carry)(&twos, a, b);
        }
        for (int32_t p = 3; p < n_planes; p++)
            memset(planes + 8 * p + w, 0, sizeof(vector));
        for (int32_t i = n & 7; i < n; i += 8) {
            a = MP2_NEXT;
            b = MP2_FN(carry)(&ones, a, MP2_NEXT);
            a = MP2_NEXT;
            a = MP2_FN(carry)(&ones, a, MP2_NEXT);
            c = MP2_FN(carry)(&twos, a, b);
            a = MP2_NEXT;
            b = MP2_FN(carry)(&ones, a, MP2_NEXT);
            a = MP2_NEXT;
            a = MP2_FN(carry)(&ones, a, MP2_NEXT);
            a = MP2_FN(carry)(&twos, a, b);
            a = MP2_FN(carry)(&fours, a, c);
            for (int32_t p = 3; p < n_planes; p++) {
                b = MP2_FN(read)(planes + 8 * p + w);
                c = a ^ b;
                memcpy(planes + 8 * p + w, &c, sizeof c);
                a = a & b;
            }
        }
#undef MP2_NEXT
        if (n_planes > 0)
            memcpy(planes + w, &ones, sizeof ones);
        if (n_planes > 1)
            memcpy(planes + 8 + w, &twos, sizeof twos);
        if (n_planes > 2)
            memcpy(planes + 16 + w, &fours, sizeof fours);
        a = MP2_FN(reaches)(planes + w, n_planes, floor, MP2_FN(read)(alive + w));
        memcpy(alive + w, &a, sizeof a);
        for (int32_t k = 0; k < MP2_FN(LANES); k++)
            left |= alive[w + k];
    }
    return left != 0;
}

/* Adds the counts of a day to those of all days. */
MP2_TARGET static void MP2_FN(add_planes)(
    const uint64_t *planes, int32_t n_planes, uint64_t *total, int32_t n_total)
{
    for (int32_t w = 0; w < 8; w += MP2_FN(LANES)) {
        MP2_FN(vector) carry = {0}, zero = {0};
        for (int32_t p = 0; p < n_total; p++) {
            MP2_FN(vector) sum = MP2_FN(read)(total + 8 * p + w);
            MP2_FN(vector) more = p < n_planes ? MP2_FN(read)(planes + 8 * p + w) : zero;
            carry = MP2_FN(carry)(&sum, more, carry);
            memcpy(total + 8 * p + w, &sum, sizeof sum);
        }
    }
}

/* Keeps the replicates of `alive` whose count reaches `least`; returns whether any is left. */
MP2_TARGET static int32_t MP2_FN(keep_reaching)(
    const uint64_t *planes, int32_t n_planes, int32_t least, uint64_t *alive)
{
    uint64_t left = 0;
    for (int32_t w = 0; w < 8; w += MP2_FN(LANES)) {
        MP2_FN(vector) kept =
            MP2_FN(reaches)(planes + w, n_planes, least, MP2_FN(read)(alive + w));
        memcpy(alive + w, &kept, sizeof kept);
        for (int32_t k = 0; k < MP2_FN(LANES); k++)
            left |= alive[w + k];
    }
    return left != 0;
}

#endif
