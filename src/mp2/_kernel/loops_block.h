/* Block loops: 64 candidates at once, below a *base*.
 *
 * A base is a group whose candidates' rows were projected onto the tickers it buys, winners apart
 * from losers. Three layouts, for n candidates in blocks of 64 (the last block is padded with
 * candidates that buy nothing):
 *
 *   rows     [candidate][chunk][lane]: words; lane = day, in the base's order of days, padded to a
 * multiple of 8. The k-th chunk holds the k-th 64 tickers of every day: first the winners' chunks,
 * then the losers'. So a vector of 8 words counts 8 days at once, and the sum over chunks needs no
 * shuffle. columns  [ticker][block]: for the winners of lane 0 (the day with the fewest) one bit a
 * candidate. support  [block][2 D][64]: bytes; the first D planes are hits (without a floor plane 0
 * is all buys of all days), the other D buys, of the base, a second member and the candidate. Plane
 * p holds count >> shift[p], rounded down: a lower bound of the count, exact for shift 0.
 *
 * The bounds. Tickers of a group G that members x and y leave: |G x y| >= |G x| + |G y| - |G|
 * (inclusion-exclusion). For the group B + v + x + y (B the base) G can be B v, B x or B y, and
 * each of their counts is in the support table of the base. So `need` tickers are certain when one
 * of these holds (u: the count rounded up, need rounded up too, all of them >> shift):
 *
 *   (B v)  low[v][y] >= need + u[v] - low[v][x]     a threshold per x
 *   (B x)  low[x][y] >= need + u[x] - low[v][x]     a threshold per x
 *   (B y)  low[v][y] >= need + u[y] - low[x][y]     a threshold per candidate y
 *
 * With hits and need = floor that is a pass; with buys and need = cap + 1 the group is not
 * eligible. The shifts are chosen so that need + u never leaves a byte. */
#ifndef MP2_ISA /* read once */

/* A week of trading days: the loops over days are compiled once for just these, and once for any
 * number. */
#define MP2_USUAL_DAYS 5
/* Panels of more days than this are searched by the general loops. */
#define MP2_MAX_LANES 256
/* Where plane 0 of candidate i is in a table of planes. */
#define MP2_AT(i, n_days) ((int64_t)((i) >> 6) * 2 * (n_days) * 64 + ((i) & 63))

typedef struct mp2_base {
    uint64_t *rows;
    uint64_t *columns; /* NULL: not made */
    uint8_t *upper;    /* counts of base and candidate, rounded up: [block][2 D][64] */
    uint8_t *need;     /* [2 D] */
    uint8_t *shift;    /* [2 D] */
    int32_t n_blocks;
    int32_t n_days; /* D */
    int32_t n_lanes;
    int32_t n_win_chunks;
    int32_t n_loss_chunks;
    int32_t row_words;
    int32_t floor;   /* 0: a candidate passes when any ticker is left */
    int32_t n_tests; /* planes a pass depends on: D with a floor, 1 without */
    int32_t bounded; /* the bounds may be used for hits; 0 counts every candidate */
    int32_t capped;  /* and for buys */
} mp2_base;

/* A group one below the largest: the base and a second member v (the pair), a third member x. */
typedef struct mp2_triple {
    uint64_t *words;         /* the pair's consensus in the layout of a row */
    const uint64_t *tails;   /* bits of its tail candidates */
    const uint8_t *support;  /* its row of the support table */
    const uint64_t *row_x;   /* of x */
    const uint64_t *tails_x; /* bits of the candidates that pass with the base and x */
    const uint8_t
        *support_x; /* row of x in the support table; NULL: only the first bound is used */
    uint8_t *need_v, *need_x; /* [2 D] scratch: thresholds of the first and the second bound */
    uint64_t *wins;           /* scratch: the winners of its consensus */
    uint64_t *left;           /* [n_blocks] out: the candidates to be scored */
    uint64_t *lane_0,
        *others;        /* [n_blocks] scratch: candidates in doubt on lane 0, and elsewhere */
    int32_t v, x;       /* candidates; v = n for the base itself */
    int32_t first, end; /* candidates from `first` to before `end` are to be decided */
    int32_t scored;     /* those that pass are to be scored */
    int32_t cap_first;  /* those above the cap need not be counted as passing */
} mp2_triple;

typedef struct mp2_decided {
    int64_t n_passing;
    int64_t n_counted; /* candidates whose tickers were counted one by one */
    int32_t any_left;  /* whether `left` holds a candidate to be scored */
} mp2_decided;

#else /* read once per MP2_ISA */

/* Tickers in both `a` and `b` by day: `hits` among the winners, `buys` among all; [n_lanes]. */
MP2_TARGET static void MP2_FN(count_days)(
    const mp2_base *base, const uint64_t *a, const uint64_t *b, int32_t *hits, int32_t *buys)
{
    int32_t n_lanes = base->n_lanes, n_wins = base->n_win_chunks * n_lanes;
#if defined(MP2_HAS_AVX512)
    for (int32_t lane = 0; lane < n_lanes; lane += 8) {
        __m512i total = _mm512_setzero_si512();
        int32_t i = lane;
        for (; i < n_wins; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(a + i, b + i));
        _mm256_storeu_si256((__m256i *)(hits + lane), _mm512_cvtepi64_epi32(total));
        for (; i < base->row_words; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(a + i, b + i));
        _mm256_storeu_si256((__m256i *)(buys + lane), _mm512_cvtepi64_epi32(total));
    }
#else
    for (int32_t lane = 0; lane < base->n_days; lane++) {
        int32_t total = 0, i = lane;
        for (; i < n_wins; i += n_lanes)
            total += MP2_FN(count)(a[i] & b[i]);
        hits[lane] = total;
        for (; i < base->row_words; i += n_lanes)
            total += MP2_FN(count)(a[i] & b[i]);
        buys[lane] = total;
    }
#endif
}

/* Hits and buys of one candidate in the form of the planes, rounded down or up, at support[p * 64];
 * returns whether it passes. */
MP2_LOOP int MP2_FN(count_candidate)(const mp2_base *base, const uint64_t *words,
    const uint64_t *row, int32_t round_up, uint8_t *support, int32_t D)
{
    int32_t n_lanes = (D + 7) / 8 * 8, n_wins = base->n_win_chunks * n_lanes, total = 0, enough = 1;
    int32_t counts[2 * MP2_MAX_LANES], *hits = counts, *buys = counts + D;
    for (int32_t d = 0; d < D; d++)
        hits[d] = 0;
    for (int32_t i = 0; i < n_wins; i += n_lanes)
        for (int32_t d = 0; d < D; d++)
            hits[d] += MP2_FN(count)(words[i + d] & row[i + d]);
    for (int32_t d = 0; d < D; d++)
        enough &= hits[d] >= base->floor;
    if (!enough)
        return 0;
    memcpy(buys, hits, (size_t)D * sizeof *buys);
    for (int32_t i = n_wins; i < base->row_words; i += n_lanes)
        for (int32_t d = 0; d < D; d++)
            buys[d] += MP2_FN(count)(words[i + d] & row[i + d]);
    for (int32_t d = 0; d < D; d++)
        total += buys[d];
    if (base->floor == 0)
        hits[0] = total;
    for (int32_t p = 0; p < 2 * D; p++) {
        int32_t rest = round_up ? (1 << base->shift[p]) - 1 : 0;
        support[p * 64] = (uint8_t)((counts[p] + rest) >> base->shift[p]);
    }
    return total > 0;
}

#if defined(MP2_HAS_AVX512)
/* The same with all days of a candidate in a vector; eight candidates are then transposed. */
MP2_TARGET static uint64_t MP2_FN(count_block_8)(
    const mp2_base *base, const uint64_t *words, const uint64_t *row, uint8_t *support)
{
    int32_t D = base->n_days;
    const __mmask8 real = (__mmask8)((1 << D) - 1);
    const __m512i floor = _mm512_set1_epi64(base->floor);
    uint64_t padded[2] = {0, 0}, passing = 0;
    memcpy(padded, base->shift, (size_t)D);
    memcpy(padded + 1, base->shift + D, (size_t)D);
    const __m512i hit_shift = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128((long long)padded[0]));
    const __m512i buy_shift = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128((long long)padded[1]));
    for (int32_t c = 0; c < 64; c += 8) {
        uint64_t hits[8], buys[8];
        for (int32_t k = 0; k < 8; k++, row += base->row_words) {
            __m512i total = _mm512_setzero_si512();
            int32_t i = 0;
            hits[k] = buys[k] = 0;
            for (; i < base->n_win_chunks * 8; i += 8)
                total = _mm512_add_epi64(total, MP2_FN(count_8)(words + i, row + i));
            if (_mm512_mask_cmplt_epi64_mask(real, total, floor))
                continue;
            passing |= 1ULL << (c + k);
            hits[k] = (uint64_t)_mm_cvtsi128_si64(
                _mm512_cvtepi64_epi8(_mm512_srlv_epi64(total, hit_shift)));
            for (; i < base->row_words; i += 8)
                total = _mm512_add_epi64(total, MP2_FN(count_8)(words + i, row + i));
            buys[k] = (uint64_t)_mm_cvtsi128_si64(
                _mm512_cvtepi64_epi8(_mm512_srlv_epi64(total, buy_shift)));
        }
        mp2_transpose_bytes(hits);
        mp2_transpose_bytes(buys);
        for (int32_t d = 0; d < D; d++) {
            memcpy(support + d * 64 + c, hits + d, 8);
            memcpy(support + (D + d) * 64 + c, buys + d, 8);
        }
    }
    return passing;
}
#endif

/* Counts the 64 candidates of `block` against the group `words` into the 2 D planes at `support`,
 * rounded down or up, and returns a bit for each that passes. Candidates that do not pass get
 * zeros: a lower bound of anything. */
MP2_TARGET static uint64_t MP2_FN(count_block)(
    const mp2_base *base, const uint64_t *words, int32_t block, int32_t round_up, uint8_t *support)
{
    int32_t D = base->n_days;
    const uint64_t *row = base->rows + (int64_t)block * 64 * base->row_words;
    uint64_t passing = 0;
#if defined(MP2_HAS_AVX512)
    if (base->n_lanes == 8 && base->floor > 0 && !round_up)
        return MP2_FN(count_block_8)(base, words, row, support);
#endif
    memset(support, 0, (size_t)2 * D * 64);
    for (int32_t c = 0; c < 64; c++, row += base->row_words) {
        int passes =
            D == MP2_USUAL_DAYS
                ? MP2_FN(count_candidate)(base, words, row, round_up, support + c, MP2_USUAL_DAYS)
                : MP2_FN(count_candidate)(base, words, row, round_up, support + c, D);
        passing |= (uint64_t)passes << c;
    }
    return passing;
}

/* The thresholds of x. No byte leaves its range: no count with v and x exceeds that with v or x. */
MP2_LOOP void MP2_FN(thresholds)(const mp2_base *base, const mp2_triple *t, int32_t n_days)
{
    const uint8_t *upper_v = base->upper + MP2_AT(t->v, n_days);
    const uint8_t *upper_x = base->upper + MP2_AT(t->x, n_days);
    const uint8_t *low = t->support + MP2_AT(t->x, n_days);
    for (int32_t p = 0; p < 2 * n_days; p++) {
        int32_t need = base->need[p] - low[p * 64];
        t->need_v[p] = (uint8_t)(need + upper_v[p * 64]);
        t->need_x[p] = (uint8_t)(need + upper_x[p * 64]);
    }
}

/* Sets up a triple: in `left` the candidates to be decided, its winners and its thresholds. Returns
 * whether there is any candidate; without one the rest is not set up. */
MP2_LOOP int MP2_FN(open_triple)(const mp2_base *base, const mp2_triple *t, int32_t n_days)
{
    int32_t first = t->first >> 6, last = (t->end - 1) >> 6;
    uint64_t any = 0;
    for (int32_t w = first; w < base->n_blocks; w++)
        t->left[w] = w <= last ? t->tails[w] & t->tails_x[w] : 0;
    t->left[first] &= ~0ULL << (t->first & 63);
    t->left[last] &= ~0ULL >> (63 - ((t->end - 1) & 63));
    for (int32_t w = first; w <= last; w++)
        any |= t->left[w];
    if (!any)
        return 0;
    for (int32_t i = 0; i < base->n_win_chunks * base->n_lanes; i++)
        t->wins[i] = t->words[i] & t->row_x[i];
    MP2_FN(thresholds)(base, t, n_days);
    return 1;
}

/* Which of the 64 candidates are certain to have what plane `p` needs, by any of the three bounds?
 * `at` is where the planes of their block begin. */
MP2_LOOP MP2_FN(flags)
    MP2_FN(certain)(const mp2_base *base, const mp2_triple *t, int64_t at, int32_t p)
{
    const uint8_t *of_v = t->support + at + p * 64, *of_x = t->support_x + at + p * 64;
    MP2_FN(flags) by_v = MP2_FN(at_least)(of_v, t->need_v[p]);
    MP2_FN(flags) by_x = MP2_FN(at_least)(of_x, t->need_x[p]);
    MP2_FN(flags) by_y = MP2_FN(sum_at_least)(of_v, of_x, base->upper + at + p * 64, base->need[p]);
    return MP2_FN(either)(MP2_FN(either)(by_v, by_x), by_y);
}

/* Notes the candidates of `left` not certain to have `floor` winners on lane 0, and elsewhere. */
MP2_LOOP void MP2_FN(doubt)(
    const mp2_base *base, const mp2_triple *t, int32_t block, int32_t n_days, int32_t n_tests)
{
    int64_t at = (int64_t)block * 2 * n_days * 64;
    const uint8_t *of_v = t->support + at;
    uint64_t left = t->left[block], others = 0;
    uint64_t lane_0 = left & ~MP2_FN(bits)(MP2_FN(at_least)(of_v, t->need_v[0]));
    if (n_tests > 1) {
        MP2_FN(flags) all = MP2_FN(at_least)(of_v + 64, t->need_v[1]);
        for (int32_t p = 2; p < n_tests; p++)
            all = MP2_FN(both)(all, MP2_FN(at_least)(of_v + p * 64, t->need_v[p]));
        others = left & ~MP2_FN(bits)(all);
    }
    if (t->support_x && lane_0)
        lane_0 &= ~MP2_FN(bits)(MP2_FN(certain)(base, t, at, 0));
    if (t->support_x && others) {
        MP2_FN(flags) all = MP2_FN(certain)(base, t, at, 1);
        for (int32_t p = 2; p < n_tests; p++)
            all = MP2_FN(both)(all, MP2_FN(certain)(base, t, at, p));
        others &= ~MP2_FN(bits)(all);
    }
    t->lane_0[block] = lane_0;
    t->others[block] = others;
}

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
            MP2_FN(vector) sum = plane[0] ^ row[0] ^ row[1];
            MP2_FN(vector) carry_a = (plane[0] & (row[0] | row[1])) | (row[0] & row[1]);
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

/* Takes from `left` the candidates of `lane_0` with too few winners on lane 0. */
MP2_TARGET static void MP2_FN(count_columns)(const mp2_base *base, const mp2_triple *t)
{
    enum { STEP = sizeof(MP2_FN(vector)) / 8 };
    for (int32_t block = t->first >> 6; block < base->n_blocks; block += STEP) {
        MP2_FN(vector)
        over = base->floor <= 8 ? MP2_FN(overflowing)(base, t->wins, block, 3)
                                : MP2_FN(overflowing)(base, t->wins, block, 8);
        uint64_t passing[STEP];
        memcpy(passing, &over, sizeof passing);
        for (int32_t k = 0; k < STEP && block + k < base->n_blocks; k++)
            t->left[block + k] &= ~t->lane_0[block + k] | passing[k];
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
            any |= t->words[i] & t->row_x[i] & row[i];
        return any != 0;
    }
#if defined(MP2_HAS_AVX512)
    (void)first, (void)end;
    for (int32_t lane = 0; lane < base->n_days; lane += 8) {
        __m512i total = _mm512_setzero_si512();
        __mmask8 real =
            base->n_days - lane >= 8 ? 0xff : (__mmask8)((1 << (base->n_days - lane)) - 1);
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

/* Leaves in `left` the candidates that pass, and returns their number. */
MP2_LOOP int64_t MP2_FN(keep_passing)(
    const mp2_base *base, const mp2_triple *t, int64_t *n_counted, int32_t n_days, int32_t n_tests)
{
    enum { STEP = sizeof(MP2_FN(vector)) / 8, COLUMN_WORTH = 3 };
    int32_t first_block = t->first >> 6,
            n_vectors = (base->n_blocks - first_block + STEP - 1) / STEP;
    int32_t n_hits_0 = t->support[MP2_AT(t->x, n_days)] << base->shift[0];
    int64_t n_lane_0 = 0, n_passing = 0;
    for (int32_t w = first_block; w < base->n_blocks; w++) {
        t->lane_0[w] = t->others[w] = base->bounded ? 0 : t->left[w];
        if (!t->left[w])
            continue;
        if (base->bounded)
            MP2_FN(doubt)(base, t, w, n_days, n_tests);
        n_lane_0 += MP2_FN(count)(t->lane_0[w] & ~t->others[w]);
    }
    /* A column costs about a third of a candidate counted by itself. */
    int by_columns = base->columns && n_lane_0 * COLUMN_WORTH > (int64_t)n_hits_0 * n_vectors;
    if (by_columns) {
        *n_counted += n_lane_0;
        MP2_FN(count_columns)(base, t);
    }
    for (int32_t w = first_block; w < base->n_blocks; w++) {
        if (!t->left[w])
            continue;
        uint64_t single = t->left[w] & (by_columns ? t->others[w] : t->lane_0[w] | t->others[w]);
        *n_counted += MP2_FN(count)(single);
        for (; single; single &= single - 1) {
            int32_t bit = mp2_lowest_bit(single);
            int32_t first = by_columns || !(t->lane_0[w] >> bit & 1);
            int32_t end = t->others[w] >> bit & 1 ? base->n_days : 1;
            const uint64_t *row = base->rows + ((int64_t)w * 64 + bit) * base->row_words;
            if (!MP2_FN(passes)(base, t, row, first, end))
                t->left[w] &= ~(1ULL << bit);
        }
        n_passing += MP2_FN(count)(t->left[w]);
    }
    return n_passing;
}

/* Leaves in `left` what no bound puts above the cap on any day; returns whether that is any. */
MP2_LOOP int MP2_FN(keep_within_cap)(const mp2_base *base, const mp2_triple *t, int32_t D)
{
    uint64_t any = 0;
    for (int32_t w = t->first >> 6; w < base->n_blocks; w++) {
        int64_t at = (int64_t)w * 2 * D * 64;
        const uint8_t *of_v = t->support + at;
        if (base->capped && t->left[w]) {
            MP2_FN(flags) above = MP2_FN(at_least)(of_v + D * 64, t->need_v[D]);
            for (int32_t p = D + 1; p < 2 * D; p++)
                above = MP2_FN(either)(above, MP2_FN(at_least)(of_v + p * 64, t->need_v[p]));
            t->left[w] &= ~MP2_FN(bits)(above);
            for (int32_t p = D; t->support_x && t->left[w] && p < 2 * D; p++)
                t->left[w] &= ~MP2_FN(bits)(MP2_FN(certain)(base, t, at, p));
        }
        any |= t->left[w];
    }
    return any != 0;
}

MP2_LOOP void MP2_FN(decide_days)(
    const mp2_base *base, const mp2_triple *t, mp2_decided *out, int32_t n_days, int32_t n_tests)
{
    out->n_passing = out->n_counted = out->any_left = 0;
    if (!MP2_FN(open_triple)(base, t, n_days))
        return;
    if (t->cap_first && !MP2_FN(keep_within_cap)(base, t, n_days))
        return;
    out->n_passing = MP2_FN(keep_passing)(base, t, &out->n_counted, n_days, n_tests);
    if (out->n_passing && t->scored)
        out->any_left = t->cap_first || MP2_FN(keep_within_cap)(base, t, n_days);
}

/* Decides which candidates pass with a triple; of those, `left` gets the ones that may be within
 * the cap. With `cap_first` only these are counted as passing. */
MP2_TARGET static void MP2_FN(decide)(const mp2_base *base, const mp2_triple *t, mp2_decided *out)
{
    if (base->n_days == MP2_USUAL_DAYS && base->n_tests == MP2_USUAL_DAYS)
        MP2_FN(decide_days)(base, t, out, MP2_USUAL_DAYS, MP2_USUAL_DAYS);
    else
        MP2_FN(decide_days)(base, t, out, base->n_days, base->n_tests);
}

#endif
