/* Loops of the test of replicates: groups found by their buys alone, hits counted for 512
 * replicates at once.
 *
 * Two layouts beside the panel's own:
 *
 *   node    rows[candidate][chunk][lane]: what candidates buy, projected onto what the starter
 * buys; lane = day, padded to a multiple of 8. So one vector counts 8 days.
 *   planes  planes[p][8]: bit r of the 512 bits of plane p is bit p of the count of replicate r. */
#ifndef MP2_ISA /* read once */

typedef struct mp2_node {
    uint64_t *rows;
    int32_t n_days, n_lanes, row_words;
    int32_t floor; /* 0: any ticker is enough */
    int32_t cap;
} mp2_node;

typedef struct mp2_print {
    uint64_t key;  /* equal for equal sets; for others with odds of 2^-63 */
    uint64_t slot; /* where to look for it in a table; independent of the key */
} mp2_print;

/* A usual width of `meet`: the loops keep the row in registers. */
#define MP2_MEET(words)                                                   \
    case words:                                                           \
        MP2_FN(meet_days)(node, row, first, end, mask, within, 8, words); \
        return;
#else /* read once per MP2_ISA */

/* Tickers that two rows of a node have in common on a day. */
MP2_LOOP int32_t MP2_FN(count_lane)(
    const mp2_node *node, const uint64_t *row, const uint64_t *other, int32_t lane)
{
    int32_t total = 0;
    for (int32_t i = lane; i < node->row_words; i += node->n_lanes)
        total += MP2_FN(count)(row[i] & other[i]);
    return total;
}

/* Whether `row` and `other` have enough tickers in common every day (1), and not too many (2). */
MP2_LOOP uint64_t MP2_FN(judge_meeting)(const mp2_node *node, const uint64_t *row,
    const uint64_t *other, int32_t n_lanes, int32_t row_words)
{
    int32_t few = 0, many = 0, any = node->floor;
#if defined(MP2_HAS_AVX512)
    for (int32_t lane = 0; lane < n_lanes; lane += 8) {
        int32_t n_real = node->n_days - lane < 8 ? node->n_days - lane : 8;
        __m512i floor = _mm512_maskz_set1_epi64((__mmask8)((1 << n_real) - 1), node->floor);
        __m512i total = MP2_FN(count_8)(row + lane, other + lane);
        for (int32_t i = lane + n_lanes; i < row_words; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(row + i, other + i));
        few |= _mm512_cmplt_epi64_mask(total, floor);
        many |= _mm512_cmpgt_epi64_mask(total, _mm512_set1_epi64(node->cap));
        if (!node->floor)
            any |= _mm512_test_epi64_mask(total, total);
    }
#else
    (void)n_lanes, (void)row_words;
    for (int32_t lane = 0; lane < node->n_days && !few; lane++) {
        int32_t total = MP2_FN(count_lane)(node, row, other, lane);
        few |= total < node->floor;
        many |= total > node->cap;
        any |= total;
    }
#endif
    return few || !any ? 0 : many ? 1 : 3;
}

MP2_LOOP void MP2_FN(meet_days)(const mp2_node *node, const uint64_t *row, int32_t first,
    int32_t end, uint64_t *mask, uint64_t *within, int32_t n_lanes, int32_t row_words)
{
    for (int32_t w = first; w < end; w++) {
        uint64_t passes = 0, fits = 0;
        for (uint64_t left = mask[w]; left; left &= left - 1) {
            int32_t k = mp2_lowest_bit(left);
            const uint64_t *other = node->rows + (int64_t)(w * 64 + k) * node->row_words;
            uint64_t verdict = MP2_FN(judge_meeting)(node, row, other, n_lanes, row_words);
            passes |= (verdict & 1) << k;
            fits |= (verdict >> 1) << k;
        }
        mask[w] = passes;
        within[w] = fits;
    }
}

/* Keeps the candidates of `mask` that reach the floor together with `row`; `within`: those that
 * stay within the cap as well. Both from word `first` to before `end`. */
MP2_TARGET static void MP2_FN(meet)(const mp2_node *node, const uint64_t *row, int32_t first,
    int32_t end, uint64_t *mask, uint64_t *within)
{
    switch (node->n_lanes == 8 ? node->row_words : 0) {
        MP2_MEET(8) MP2_MEET(16) MP2_MEET(24) MP2_MEET(32) MP2_MEET(40) MP2_MEET(48)
    default:
        MP2_FN(meet_days)(node, row, first, end, mask, within, node->n_lanes, node->row_words);
    }
}

/* Counts a group's row by day, and with each candidate from word `first` on in bytes:
 * counts[lane][64 n_words], at most 255. */
MP2_TARGET static void MP2_FN(count_lanes)(const mp2_node *node, const uint64_t *row,
    const uint64_t *candidates, int32_t first, int32_t n_words, int32_t *n_buys, uint8_t *counts)
{
    for (int32_t lane = 0; lane < node->n_days; lane++, counts += 64 * (int64_t)n_words) {
        n_buys[lane] = MP2_FN(count_lane)(node, row, row, lane);
        for (int32_t w = first; w < n_words; w++)
            for (uint64_t left = candidates[w]; left; left &= left - 1) {
                int64_t k = w * 64 + mp2_lowest_bit(left);
                const uint64_t *other = node->rows + k * node->row_words;
                int32_t total = MP2_FN(count_lane)(node, row, other, lane);
                counts[k] = (uint8_t)(total < 255 ? total : 255);
            }
    }
}

/* Drops the candidates b of `mask` with which candidate k is above the cap for certain: a group N
 * of `n_buys` a day has at least |N k| + |N b| - |N| buys with both. */
MP2_TARGET static void MP2_FN(drop_larger)(const mp2_node *node, const uint8_t *counts,
    const int32_t *n_buys, int32_t k, int32_t first, int32_t n_words, uint64_t *mask)
{
    for (int32_t lane = 0; lane < node->n_days; lane++, counts += 64 * (int64_t)n_words) {
        int64_t most = (int64_t)n_buys[lane] + node->cap - counts[k];
        for (int32_t w = first; w < n_words && most < 255; w++)
            if (mask[w])
                mask[w] &= MP2_FN(at_most)(counts + 64 * w, (uint8_t)most);
    }
}

/* Writes a & b, n words, whole vectors, to `out`, and returns its fingerprint (Black et al., UMAC
 * 1999): three passes of NH over words of 32 bits, with shifted keys. The first pass says the slot,
 * the others are multiplied down to 64 bits. `keys` are random: n + 16 for the lower halves, as
 * many for the upper ones, and 8. */
MP2_TARGET static mp2_print MP2_FN(fingerprint)(
    const uint64_t *a, const uint64_t *b, int64_t n, const uint64_t *keys, uint64_t *out)
{
    MP2_FN(vector) zero = {0}, sums[3] = {zero, zero, zero};
    const uint64_t *upper = keys + n + 16, *last = upper + n + 16;
    for (int64_t i = 0; i < n; i += MP2_FN(LANES)) {
        MP2_FN(vector) x = MP2_FN(read)(a + i) & MP2_FN(read)(b + i), x_upper = x >> 32;
        memcpy(out + i, &x, sizeof x);
        for (int32_t p = 0; p < 3; p++)
            sums[p] += MP2_FN(multiply)(x + MP2_FN(read)(keys + 8 * p + i),
                x_upper + MP2_FN(read)(upper + 8 * p + i));
    }
    uint64_t second = MP2_FN(sum)(sums[1]), third = MP2_FN(sum)(sums[2]);
    uint64_t high = mp2_mix(second, third, last), low = mp2_mix(second, third, last + 4);
    return (mp2_print){(high >> 32 << 32) | low >> 32, MP2_FN(sum)(sums[0]) >> 16};
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

/* Writes the numbers of the bits set to `out`, and `end` 8 times. Four at a time, there or not: a
 * branch a bit, or a word where few are empty, would be foreseen wrongly (as in simdjson). */
MP2_TARGET static void MP2_FN(list_bits)(
    const uint64_t *words, int32_t n_words, int32_t end, int32_t *out)
{
    for (int32_t i = 0; i < n_words; i++) {
        uint64_t left = words[i];
        int32_t count = MP2_FN(count)(left);
        for (int32_t k = 0; k < count + (n_words <= 16); k += 4)
            for (int32_t j = 0; j < 4; j++, left &= left - 1)
                out[k + j] = 64 * i + mp2_lowest_bit(left | 1ULL << 63);
        out += count;
    }
    for (int32_t k = 0; k < 8; k++)
        out[k] = end;
}

/* Adds up four rows of labels; returns the carry to the third plane. */
MP2_LOOP MP2_FN(vector) MP2_FN(add_4)(const uint64_t *labels, int64_t stride,
    const int32_t *tickers, MP2_FN(vector) * ones, MP2_FN(vector) * twos)
{
    MP2_FN(vector) row[4];
    for (int32_t k = 0; k < 4; k++)
        row[k] = MP2_FN(read)(labels + stride * tickers[k]);
    row[0] = MP2_FN(carry)(ones, row[0], row[1]);
    row[2] = MP2_FN(carry)(ones, row[2], row[3]);
    return MP2_FN(carry)(twos, row[0], row[2]);
}

MP2_LOOP int32_t MP2_FN(add_rows)(const uint64_t *labels, int64_t stride, const int32_t *tickers,
    int32_t n, int32_t floor, uint64_t *planes, uint64_t *alive, int32_t n_planes)
{
    MP2_FN(vector) zero = {0}, any = zero;
    for (int32_t w = 0; w < 8; w += MP2_FN(LANES)) {
        MP2_FN(vector) sums[32], enough = MP2_FN(read)(alive + w), a, b;
        for (int32_t p = 0; p < n_planes; p++)
            sums[p] = zero;
        for (int32_t i = 0; i < n; i += 8) {
            a = MP2_FN(add_4)(labels + w, stride, tickers + i, &sums[0], &sums[1]);
            b = MP2_FN(add_4)(labels + w, stride, tickers + i + 4, &sums[0], &sums[1]);
            a = MP2_FN(carry)(&sums[2], a, b);
            for (int32_t p = 3; p < n_planes; p++)
                a = MP2_FN(carry)(&sums[p], a, zero);
        }
        b = ~zero;
        for (int32_t p = 0; p < n_planes; p++) {
            memcpy(planes + 8 * p + w, &sums[p], sizeof zero);
            b = floor >> p & 1 ? b & sums[p] : b | sums[p];
        }
        enough &= b;
        any |= enough;
        memcpy(alive + w, &enough, sizeof enough);
    }
    return MP2_FN(any)(any);
}

/* Adds up the labels of a day's `n` tickers (8 empty rows follow) by carry-save adders (Warren,
 * Hacker's Delight, 2nd ed., section 5-1), seven for eight rows, into three planes or more. `alive`
 * [8]: replicates, less those below the floor; returns whether any is left. */
MP2_TARGET static int32_t MP2_FN(add_day)(const uint64_t *labels, int64_t stride,
    const int32_t *tickers, int32_t n, int32_t n_planes, int32_t floor, uint64_t *planes,
    uint64_t *alive)
{
    /* The usual one keeps its planes in registers. */
    if (n_planes == 5)
        return MP2_FN(add_rows)(labels, stride, tickers, n, floor, planes, alive, 5);
    return MP2_FN(add_rows)(labels, stride, tickers, n, floor, planes, alive, n_planes);
}

/* Drops the replicates of `alive` that a bound shows to stay at or below their maximum: those with
 * `start` + sum of code x hits over days <= level, see `replicates_score.pxd`. All lanes at once, by
 * adding to planes: of `levels` the complement, and of the hits one shifted copy for each bit of
 * their code, complemented where it is negative. The highest of the sums' planes is their sign. */
MP2_TARGET static void MP2_FN(drop_beaten)(const uint64_t *planes, int32_t n_days, int32_t n_planes,
    int32_t n_used, const int32_t *codes, uint64_t start, const uint64_t *levels, int32_t n_sums,
    uint64_t *alive)
{
    MP2_FN(vector) zero = {0}, sums[32];
    for (int32_t w = 0; w < 8; w += MP2_FN(LANES)) {
        MP2_FN(vector) over = zero;
        for (int32_t j = 0; j < n_sums; j++) {
            sums[j] = ~MP2_FN(read)(levels + 8 * j + w);
            over = MP2_FN(carry)(&sums[j], start >> j & 1 ? ~zero : zero, over);
        }
        for (int32_t d = 0; d < n_days; d++) {
            MP2_FN(vector) flip = codes[d] < 0 ? ~zero : zero;
            uint64_t left = (uint64_t)(codes[d] < 0 ? -codes[d] : codes[d]);
            for (; left; left &= left - 1) {
                const uint64_t *plane = planes + 8 * (int64_t)d * n_planes + w;
                int32_t j = mp2_lowest_bit(left), end = j + n_used;
                for (over = zero; j < end; j++, plane += 8)
                    over = MP2_FN(carry)(&sums[j], MP2_FN(read)(plane) ^ flip, over);
                for (; j < n_sums; j++)
                    over = MP2_FN(carry)(&sums[j], over, zero);
            }
        }
        over = MP2_FN(read)(alive + w) & ~sums[n_sums - 1];
        memcpy(alive + w, &over, sizeof over);
    }
}

#endif
