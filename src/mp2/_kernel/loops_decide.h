/* Deciding the last members of triples, by the bounds of `loops_block.h` or by counting. */
#ifdef MP2_ISA

/* Candidates of the blocks from `block` on that leave `floor` winners on lane 0: a counter of
 * `n_bits` bit planes starts at 2^n_bits - floor, the columns of the group's winners are added four
 * at a time (carry-save adders), and a candidate whose counter overflows has them. One vector of
 * blocks; the columns have a vector of slack behind their end. */
MP2_LOOP MP2_FN(vector) MP2_FN(overflowing)(
    const mp2_base *base, const uint64_t *words, int32_t block, const int32_t n_bits)
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
                row[k] = *(const MP2_FN(vector) *)(columns + (int64_t)mp2_lowest_bit(tickers) *
                                                                 base->n_blocks);
            MP2_FN(vector) a = MP2_FN(carry)(&plane[0], row[0], row[1]);
            MP2_FN(vector) b = MP2_FN(carry)(&plane[0], row[2], row[3]);
            MP2_FN(vector) carry = MP2_FN(carry)(&plane[1], a, b);
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

/* Takes from `open` the candidates of `lane_0` with too few winners on lane 0. */
MP2_TARGET static void MP2_FN(count_columns)(const mp2_base *base, const mp2_triple *t)
{
    for (int32_t block = t->first >> 6; block < base->n_blocks; block += MP2_FN(LANES)) {
        MP2_FN(vector)
        over = base->floor <= 8 ? MP2_FN(overflowing)(base, t->both, block, 3)
                                : MP2_FN(overflowing)(base, t->both, block, 8);
        uint64_t passing[MP2_FN(LANES)];
        memcpy(passing, &over, sizeof passing);
        for (int32_t k = 0; k < MP2_FN(LANES) && block + k < base->n_blocks; k++)
            t->open[block + k] &= ~t->lane_0[block + k] | passing[k];
    }
}

/* Does a candidate's row leave `floor` of the triple's winners in the lanes from `first` to before
 * `end`? Without a floor: any ticker in any lane. Vectors look at all lanes. */
MP2_LOOP int MP2_FN(passes)(
    const mp2_base *base, const mp2_triple *t, const uint64_t *row, int32_t first, int32_t end)
{
    int32_t n_lanes = base->n_lanes, n_wins = base->n_win_chunks * n_lanes;
    if (base->floor == 0) {
        uint64_t any = 0;
        for (int32_t i = 0; i < base->row_words; i++)
            any |= t->both[i] & row[i];
        return any != 0;
    }
#if defined(MP2_HAS_AVX512)
    (void)first, (void)end;
    for (int32_t lane = 0; lane < base->n_days; lane += 8) {
        __m512i total = _mm512_setzero_si512();
        __mmask8 real =
            base->n_days - lane >= 8 ? 0xff : (__mmask8)((1 << (base->n_days - lane)) - 1);
        for (int32_t i = lane; i < n_wins; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(t->both + i, row + i));
        if (_mm512_mask_cmplt_epi64_mask(real, total, _mm512_set1_epi64(base->floor)))
            return 0;
    }
#else
    for (int32_t lane = first; lane < end; lane++) {
        int32_t hits = 0;
        for (int32_t i = lane; i < n_wins; i += n_lanes)
            hits += MP2_FN(count)(t->both[i] & row[i]);
        if (hits < base->floor)
            return 0;
    }
#endif
    return 1;
}

/* Does a candidate leave the triple enough hits, and no more buys than the cap, on every day? */
MP2_LOOP int MP2_FN(within)(const mp2_base *base, const mp2_triple *t, const uint64_t *row)
{
    int32_t n_lanes = base->n_lanes, n_wins = base->n_win_chunks * n_lanes, any = 0;
#if defined(MP2_HAS_AVX512)
    if (n_lanes == 8) {
        const __mmask8 real = (__mmask8)((1 << base->n_days) - 1);
        __m512i total = _mm512_setzero_si512();
        int32_t i = 0;
        for (; i < n_wins; i += 8)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(t->both + i, row + i));
        if (_mm512_mask_cmplt_epi64_mask(real, total, _mm512_set1_epi64(base->floor)) |
            _mm512_mask_cmpgt_epi64_mask(real, total, _mm512_set1_epi64(base->cap)))
            return 0;
        for (; i < base->row_words; i += 8)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(t->both + i, row + i));
        if (_mm512_mask_cmpgt_epi64_mask(real, total, _mm512_set1_epi64(base->cap)))
            return 0;
        return _mm512_test_epi64_mask(total, total) != 0;
    }
#endif
    for (int32_t lane = 0; lane < base->n_days; lane++) {
        int32_t total = 0, i = lane;
        for (; i < n_wins; i += n_lanes)
            total += MP2_FN(count)(t->both[i] & row[i]);
        if (total < base->floor)
            return 0;
        for (; i < base->row_words; i += n_lanes)
            total += MP2_FN(count)(t->both[i] & row[i]);
        if (total > base->cap)
            return 0;
        any |= total;
    }
    return any != 0;
}

MP2_LOOP void MP2_FN(intersect_triple)(const mp2_base *base, const mp2_triple *t)
{
    const uint64_t *row = base->rows + (int64_t)t->x * base->row_words;
    for (int32_t i = 0; i < base->row_words; i++)
        t->both[i] = t->words[i] & row[i];
}

/* The candidates of a block that are to be decided: those that pass with the pair and with x. */
MP2_LOOP uint64_t MP2_FN(opened)(const mp2_triple *t, int32_t block)
{
    uint64_t open = t->tails[block] & t->tails_x[block];
    if (block == t->first >> 6)
        open &= ~0ULL << (t->first & 63);
    if (block == (t->end - 1) >> 6)
        open &= ~0ULL >> (63 - ((t->end - 1) & 63));
    return open;
}

/* Of `open`, the candidates of a block that take as many buys as a group within the cap needs, by
 * all three bounds. `need` is what y must take from B v x, at [d]; `start` and `own_x` what B v has
 * above the cap, and what x lacks of B. */
MP2_LOOP uint64_t MP2_FN(taking)(const mp2_base *base, const mp2_triple *t, int32_t block,
    uint64_t open, const uint8_t *need, const uint8_t *start, const uint8_t *own_x, int32_t D)
{
    int64_t at = (int64_t)block * base->n_planes * 64;
    const uint8_t *by_v = t->lost + at, *by_x = t->lost_x + at;
    const uint8_t *missing = base->missing + (int64_t)block * D * 64;
    open &= MP2_FN(all_at_least)(by_v, by_x, need, D);
    if (!open || !base->support[t->x])
        return open;
    return open & MP2_FN(no_sum_above)(start, by_v, missing, by_x, own_x, D);
}

/* Notes the open candidates not certain to have `floor` winners on lane 0, and elsewhere. */
MP2_LOOP void MP2_FN(doubt)(const mp2_base *base, const mp2_triple *t, int32_t block,
    const uint8_t *slack, int32_t n_tests)
{
    int64_t at = ((int64_t)block * base->n_planes + base->n_days) * 64;
    const uint8_t *by_v = t->lost + at, *by_x = t->lost_x + at;
    t->lane_0[block] &= ~MP2_FN(all_at_most)(by_v, by_x, slack, 1);
    t->others[block] &= ~MP2_FN(all_at_most)(by_v + 64, by_x + 64, slack + 1, n_tests - 1);
}

/* Takes from `open` the candidates in doubt that do not pass; returns how many were counted. */
MP2_LOOP int64_t MP2_FN(count_doubtful)(const mp2_base *base, const mp2_triple *t, int64_t n_lane_0)
{
    enum { COLUMN_WORTH = 3 };
    int32_t first = t->first >> 6, last = (t->end - 1) >> 6;
    int32_t n_vectors = (base->n_blocks - first + MP2_FN(LANES) - 1) / MP2_FN(LANES);
    int32_t n_hits_0 = (t->slack[t->x & 63] << base->shift[base->n_days]) + base->floor;
    /* A column costs about a third of a candidate counted by itself. */
    int by_columns = base->columns && n_lane_0 * COLUMN_WORTH > (int64_t)n_hits_0 * n_vectors;
    int64_t n_counted = 0;
    MP2_FN(intersect_triple)(base, t);
    if (by_columns) {
        n_counted += n_lane_0;
        MP2_FN(count_columns)(base, t);
    }
    for (int32_t w = first; w <= last; w++) {
        uint64_t doubtful = by_columns ? t->others[w] : t->lane_0[w] | t->others[w];
        uint64_t single = t->open[w] & doubtful;
        n_counted += MP2_FN(count)(single);
        for (; single; single &= single - 1) {
            int32_t bit = mp2_lowest_bit(single);
            int32_t start = by_columns || !(t->lane_0[w] >> bit & 1);
            int32_t end = t->others[w] >> bit & 1 ? base->n_days : 1;
            const uint64_t *row = base->rows + ((int64_t)w * 64 + bit) * base->row_words;
            t->open[w] &= ~((uint64_t)!MP2_FN(passes)(base, t, row, start, end) << bit);
        }
    }
    return n_counted;
}

/* Leaves in `open` the candidates that pass. */
MP2_LOOP void MP2_FN(keep_passing)(
    const mp2_base *base, const mp2_triple *t, mp2_decided *out, int32_t n_tests)
{
    int32_t first = t->first >> 6, last = (t->end - 1) >> 6;
    int64_t n_lane_0 = 0;
    uint64_t any = 0;
    uint8_t slack[MP2_MAX_LANES];
    int32_t bit = t->x & 63, bounded = base->bounded;
    if (bounded && !(t->doubtful >> bit & 1)) {
        for (int32_t w = first; w <= last; w++) {
            t->open[w] = MP2_FN(opened)(t, w);
            out->n_passing += MP2_FN(count)(t->open[w]);
        }
        return;
    }
    for (int32_t p = 0; p < n_tests; p++)
        slack[p] = t->slack[p * 64 + bit];
    for (int32_t w = first; w <= last; w++) {
        uint64_t open = MP2_FN(opened)(t, w);
        t->open[w] = t->lane_0[w] = t->others[w] = open;
        if (open && bounded)
            MP2_FN(doubt)(base, t, w, slack, n_tests);
        any |= t->lane_0[w] | t->others[w];
        n_lane_0 += MP2_FN(count)(t->lane_0[w] & ~t->others[w]);
        out->n_passing += MP2_FN(count)(open);
    }
    if (!any)
        return;
    out->n_counted = MP2_FN(count_doubtful)(base, t, n_lane_0);
    out->n_passing = 0;
    for (int32_t w = first; w <= last; w++)
        out->n_passing += MP2_FN(count)(t->open[w]);
}

/* Lists in `left` the candidates of `open`, or of all blocks, that may be within the cap. */
MP2_LOOP int32_t MP2_FN(list_within_cap)(
    const mp2_base *base, const mp2_triple *t, const uint64_t *open, int32_t D)
{
    const uint8_t *own_x = base->own + (int64_t)t->x * D;
    uint8_t need[MP2_MAX_LANES];
    int32_t n = 0;
    for (int32_t d = 0; d < D; d++)
        need[d] = t->need[d * 64 + (t->x & 63)];
    for (int32_t w = t->first >> 6; w <= (t->end - 1) >> 6; w++) {
        uint64_t left = open ? open[w] : MP2_FN(opened)(t, w);
        if (!left)
            continue;
        left = MP2_FN(taking)(base, t, w, left, need, t->start, own_x, D);
        for (; left; left &= left - 1)
            t->left[n++] = w * 64 + mp2_lowest_bit(left);
    }
    return n;
}

/* Takes from `left` the candidates that do not pass or are above the cap. */
MP2_LOOP void MP2_FN(count_left)(const mp2_base *base, const mp2_triple *t, mp2_decided *out)
{
    int32_t n = 0;
    MP2_FN(intersect_triple)(base, t);
    for (int32_t k = 0; k < out->n_left; k++) {
        const uint64_t *row = base->rows + (int64_t)t->left[k] * base->row_words;
        t->left[n] = t->left[k];
        n += MP2_FN(within)(base, t, row);
    }
    out->n_left = n;
}

/* Makes x the third member: its row, and what it loses with each candidate. */
MP2_LOOP void MP2_FN(open_triple)(const mp2_base *base, mp2_triple *t, int32_t x)
{
    uint64_t *support = base->support[x] ? base->support[x] : base->no_support;
    t->x = x;
    t->first = base->after[x];
    t->end = base->n;
    t->tails_x = base->use_tails ? support : base->no_support;
    t->lost_x = mp2_lost_of(base, support, t->first);
}

MP2_LOOP void MP2_FN(decide_days)(const mp2_base *shared, const mp2_triple *triple,
    mp2_decided *out, int32_t D, int32_t n_tests)
{
    const mp2_base base = *shared;
    const mp2_triple t = *triple;
    int32_t exact = base.n_planes > D;
    out->n_passing = out->n_counted = out->n_left = 0;
    if (exact)
        MP2_FN(keep_passing)(&base, &t, out, n_tests);
    if (t.scored && t.hopeful >> (t.x & 63) & 1)
        out->n_left = MP2_FN(list_within_cap)(&base, &t, exact ? t.open : NULL, D);
    out->n_listed = out->n_left;
    /* Without a floor most of them are within the cap. */
    if (out->n_left && (!exact || base.floor > 0))
        MP2_FN(count_left)(&base, &t, out);
    if (!exact) {
        out->n_counted = out->n_listed;
        out->n_passing = out->n_left;
    }
}

/* Decides which candidates from `first` to before `end` pass with a triple; `left` lists those to
 * be scored: they may be within the cap. With results only these alone are counted as passing. */
MP2_TARGET static void MP2_FN(decide)(const mp2_base *base, mp2_triple *t, int32_t x, int32_t first,
    int32_t end, mp2_decided *out)
{
    MP2_FN(open_triple)(base, t, x);
    t->first = first;
    t->end = end;
    if (base->n_days == MP2_USUAL_DAYS && base->n_tests == MP2_USUAL_DAYS)
        MP2_FN(decide_days)(base, t, out, MP2_USUAL_DAYS, MP2_USUAL_DAYS);
    else
        MP2_FN(decide_days)(base, t, out, base->n_days, base->n_tests);
}

MP2_LOOP uint64_t MP2_FN(find_days)(const mp2_base *shared, mp2_triple *triple, int32_t block,
    uint64_t xs, int64_t *credit, mp2_decided *out, int32_t D)
{
    /* Copies, so that the compiler knows that no list is written over them. */
    const mp2_base base = *shared;
    mp2_triple t = *triple;
    out->n_counted = out->n_left = 0;
    for (; xs && *credit > 0 && !out->n_left; xs &= xs - 1) {
        MP2_FN(open_triple)(&base, &t, block * 64 + mp2_lowest_bit(xs));
        out->n_left = MP2_FN(list_within_cap)(&base, &t, NULL, D);
        *credit -= (base.n_blocks - (t.first >> 6)) * 16 * D;
        *credit -= (int64_t)out->n_left * base.row_words;
        out->n_counted += out->n_left;
        if (out->n_left)
            MP2_FN(count_left)(&base, &t, out);
    }
    out->n_passing = out->n_left;
    triple->x = t.x;
    return xs;
}

/* Results only: goes through the x of `xs`, in order, to the first one with candidates that pass
 * and are within the cap; `left` lists them. Returns the x not gone through, also when the credit
 * is used up. */
MP2_TARGET static uint64_t MP2_FN(find)(const mp2_base *base, mp2_triple *t, int32_t block,
    uint64_t xs, int64_t *credit, mp2_decided *out)
{
    if (base->n_days == MP2_USUAL_DAYS)
        return MP2_FN(find_days)(base, t, block, xs, credit, out, MP2_USUAL_DAYS);
    return MP2_FN(find_days)(base, t, block, xs, credit, out, base->n_days);
}

#endif
