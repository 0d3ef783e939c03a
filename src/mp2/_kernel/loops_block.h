/* Block loops: 64 candidates at once, below a *base*.
 *
 * A base is a group whose candidates' rows were projected onto the tickers it buys, winners apart
 * from losers. Three layouts, for n candidates in blocks of 64 (the last block is padded with
 * candidates that buy nothing):
 *
 * - rows [candidate][chunk][lane]: words; lane = day, in the base's order of days, padded to a
 *   multiple of 8. The k-th chunk holds the k-th 64 tickers of every day: first the chunks of
 *   winners, then those of losers. So a vector of 8 words counts 8 days at once, and the sum over
 *   chunks needs no shuffle.
 * - eights [candidate / 8][word][candidate % 8]: the same words day by day, without the padding, to
 *   count eight candidates at once.
 * - columns [ticker][block]: of the winners of lane 0 (the day with the fewest), a bit a candidate.
 * - lost [block][plane][64]: bytes; what the base and a second member lose with a candidate. The
 *   first D planes are lost buys; lost hits follow unless only results are wanted (without a floor
 *   one plane: all buys of all days). Plane p holds count >> shift[p], rounded up; 255: not known.
 *
 * The bounds. A larger group loses no more tickers with one more member than a smaller one does
 * (inclusion-exclusion). So y takes from the triple B v x (B the base) at most what it takes from
 * B v, and at most what it takes from B x: the rows of v and x. Hence
 *
 * - buys: y has to take `need` = buys(B v x) - cap, by both rows, on every day; else the group of
 *   four is above the cap and not eligible.
 * - hits: y may take `slack` = hits(B v x) - floor; if it takes no more by one of the rows, the
 *   group of four passes.
 * - by y, for buys: x takes from B v y at most what it takes from B y, buys(B y) - buys(B x y).
 *
 * The thresholds of 64 x are computed at once (`aim`). `most` is the most that any later candidate
 * takes of B v, and of B x. An x that needs more buys has no y within the cap, and none is looked
 * for. An x whose every y may take as many hits leaves no y in doubt. */
#ifndef MP2_ISA /* read once */

/* A week of trading days: the loops over days are compiled once for just these, and once for any
 * number. */
#define MP2_USUAL_DAYS 5
/* Panels of more days than this are searched by the general loops. */
#define MP2_MAX_LANES 256

typedef struct mp2_base {
    uint64_t *rows;
    uint64_t *eights;  /* the rows of eight candidates side by side: see above */
    uint64_t *columns; /* NULL: not made */
    int32_t *n_wins_of;   /* [D] words of a day's winners, and of its losers, of the base */
    int32_t *n_losses_of;
    int32_t eight_words; /* their sum */
    int32_t *totals;   /* counts of base and candidate: [n + 1][n_planes], n is the base itself */
    uint8_t *missing;  /* buys of the base that a candidate lacks, rounded down: [block][D][64] */
    uint8_t *own;      /* [n + 1][D] of each candidate: missing, rounded up */
    uint8_t *shift;    /* [n_planes] */
    uint8_t *most;     /* [block][plane][64] most that a later candidate takes; 255: not known */
    uint64_t **support;   /* [n + 1] rows of bits, then `lost`; NULL: not kept */
    uint64_t *no_support; /* in place of a row that is not kept: excludes no candidate */
    int32_t *after;       /* [n + 1] first candidate of a later algorithm */
    int32_t n;            /* candidates */
    int32_t n_blocks;
    int32_t n_days; /* D */
    int32_t n_lanes;
    int32_t n_win_chunks;
    int32_t n_loss_chunks;
    int32_t row_words;
    int32_t floor;    /* 0: a candidate passes when any ticker is left */
    int32_t cap;
    int32_t n_tests;  /* planes a pass depends on: D with a floor, 1 without */
    int32_t n_planes; /* D when only results are wanted, else D + n_tests */
    int32_t bounded;  /* the bounds may be used for hits; 0 counts every candidate */
    int32_t capped;   /* and for buys */
    int32_t absent;   /* a candidate that does not pass loses all that a byte holds, or nothing */
    int32_t use_tails; /* only candidates that pass with v and with x are looked at */
} mp2_base;

/* A group one below the largest: the base and a second member v (the pair), a third member x. */
typedef struct mp2_triple {
    uint64_t *words;       /* the pair's consensus in the layout of a row */
    const uint64_t *tails; /* bits of its tail candidates */
    const int32_t *totals; /* its row of the base's */
    const uint8_t *lost;   /* block 0 of what it loses with a candidate */
    uint8_t *most;         /* [block][plane]: most that any candidate from the block on takes */
    uint8_t *start;        /* [n_planes] buys of the pair above the cap, hits above the floor */
    uint8_t *need;         /* [D][64]: what y must lose, for the 64 x of one block */
    uint8_t *slack;        /* [n_tests][64]: what it may lose */
    uint64_t hopeful;      /* bits of the x that may have a y within the cap */
    uint64_t within_cap;   /* of the x that may be within it themselves */
    uint64_t doubtful;     /* of those with a y that is not certain to pass */
    const uint64_t *tails_x; /* bits of the candidates that pass with the base and x */
    const uint8_t *lost_x;
    uint64_t *both;          /* scratch: the consensus of the triple */
    uint64_t *open;          /* [n_blocks] scratch: the candidates to be decided */
    uint64_t *lane_0, *others; /* of them those in doubt on lane 0, and elsewhere */
    int32_t *left;      /* out: the candidates to be scored */
    int32_t x;
    int32_t first, end; /* candidates from `first` to before `end` are to be decided */
    int32_t scored;     /* those that pass are to be scored */
} mp2_triple;

typedef struct mp2_decided {
    int64_t n_passing;
    int64_t n_counted; /* candidates whose tickers were counted one by one */
    int32_t n_listed;  /* those that the bounds left to be scored */
    int32_t n_left;
} mp2_decided;

/* Bytes of the bits of a row of the support table; what is lost follows. */
MP2_INLINE int64_t mp2_head_bytes(const mp2_base *base)
{
    return ((int64_t)base->n_blocks * 8 + 63) / 64 * 64;
}

/* Where block 0 of what is lost would be; only blocks from that of candidate `first` on are there.
 */
MP2_INLINE uint8_t *mp2_lost_of(const mp2_base *base, uint64_t *support, int32_t first)
{
    int64_t block_bytes = (int64_t)base->n_planes * 64;
    return (uint8_t *)support + mp2_head_bytes(base) - (first >> 6) * block_bytes;
}

#else /* read once per MP2_ISA */

/* Tickers in both `a` and `b` by day: `hits` among the winners, `buys` among all; [n_lanes]. */
MP2_TARGET static void MP2_FN(count_days)(
    const mp2_base *base, const uint64_t *a, const uint64_t *b, int32_t *hits, int32_t *buys)
{
    int32_t n_lanes = base->n_lanes, n_wins = base->n_win_chunks * n_lanes;
#if defined(MP2_HAS_AVX512)
    for (int32_t lane = 0; lane < n_lanes; lane += 8) {
        int32_t n_padding = lane + 8 > base->n_days ? n_lanes - base->n_days : 0;
        const __mmask8 real = (__mmask8)(0xff >> n_padding);
        __m512i total = _mm512_setzero_si512();
        int32_t i = lane;
        for (; i < n_wins; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(a + i, b + i));
        _mm512_mask_cvtepi64_storeu_epi32(hits + lane, real, total);
        for (; i < base->row_words; i += n_lanes)
            total = _mm512_add_epi64(total, MP2_FN(count_8)(a + i, b + i));
        _mm512_mask_cvtepi64_storeu_epi32(buys + lane, real, total);
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

MP2_LOOP uint8_t MP2_FN(scaled)(int32_t count, uint8_t shift)
{
    return (uint8_t)((count + (1 << shift) - 1) >> shift);
}

/* Counts of eight candidates side by side: what a word shares with their rows, which of them have
 * `floor`, and the bytes of what `all` loses. */
#if defined(MP2_HAS_AVX512)
typedef __m512i MP2_FN(eight);

MP2_LOOP __m512i MP2_FN(add_common)(__m512i counts, uint64_t word, const uint64_t *rows)
{
    __m512i both = _mm512_and_si512(_mm512_set1_epi64((int64_t)word), _mm512_loadu_si512(rows));
    return _mm512_add_epi64(counts, _mm512_popcnt_epi64(both));
}

MP2_LOOP __m512i MP2_FN(plus)(__m512i a, __m512i b) { return _mm512_add_epi64(a, b); }

MP2_LOOP uint64_t MP2_FN(having)(__m512i counts, int32_t floor)
{
    return _mm512_cmpge_epi64_mask(counts, _mm512_set1_epi64(floor));
}

MP2_LOOP void MP2_FN(put_lost)(__m512i counts, int32_t all, uint8_t shift, uint8_t *lost)
{
    __m512i start = _mm512_set1_epi64((int64_t)all + (1 << shift) - 1);
    __m512i scaled = _mm512_srl_epi64(_mm512_sub_epi64(start, counts), _mm_cvtsi32_si128(shift));
    _mm_storel_epi64((__m128i *)lost, _mm512_cvtusepi64_epi8(scaled));
}
#else
typedef struct {
    int32_t of[8];
} MP2_FN(eight);

MP2_LOOP MP2_FN(eight)
    MP2_FN(add_common)(MP2_FN(eight) counts, uint64_t word, const uint64_t *rows)
{
    for (int32_t k = 0; k < 8; k++)
        counts.of[k] += MP2_FN(count)(word & rows[k]);
    return counts;
}

MP2_LOOP MP2_FN(eight) MP2_FN(plus)(MP2_FN(eight) a, MP2_FN(eight) b)
{
    for (int32_t k = 0; k < 8; k++)
        a.of[k] += b.of[k];
    return a;
}

MP2_LOOP uint64_t MP2_FN(having)(MP2_FN(eight) counts, int32_t floor)
{
    uint64_t bits = 0;
    for (int32_t k = 0; k < 8; k++)
        bits |= (uint64_t)(counts.of[k] >= floor) << k;
    return bits;
}

MP2_LOOP void MP2_FN(put_lost)(MP2_FN(eight) counts, int32_t all, uint8_t shift, uint8_t *lost)
{
    for (int32_t k = 0; k < 8; k++)
        lost[k] = MP2_FN(scaled)(all - counts.of[k], shift);
}
#endif

/* What the group `words` with `totals` loses with eight candidates; returns bits of those that
 * pass. Bytes of others are undefined. */
MP2_LOOP uint64_t MP2_FN(count_eight)(const mp2_base *base, const uint64_t *words,
    const int32_t *totals, const uint64_t *rows, uint8_t *lost, int32_t D)
{
    int32_t n_lanes = (D + 7) / 8 * 8, with_hits = base->n_planes > D;
    uint64_t passing = 0xff;
    MP2_FN(eight) any = {0};
    for (int32_t d = 0; d < D && passing; d++) {
        MP2_FN(eight) counts = {0};
        const uint64_t *word = words + d;
        for (int32_t k = 0; k < base->n_wins_of[d]; k++, rows += 8)
            counts = MP2_FN(add_common)(counts, word[k * n_lanes], rows);
        passing &= MP2_FN(having)(counts, base->floor);
        if (with_hits && base->floor > 0)
            MP2_FN(put_lost)(counts, totals[D + d], base->shift[D + d], lost + (D + d) * 64);
        word += base->n_win_chunks * n_lanes;
        for (int32_t k = 0; k < base->n_losses_of[d]; k++, rows += 8)
            counts = MP2_FN(add_common)(counts, word[k * n_lanes], rows);
        MP2_FN(put_lost)(counts, totals[d], base->shift[d], lost + d * 64);
        if (base->floor == 0)
            any = MP2_FN(plus)(any, counts);
    }
    if (base->floor > 0)
        return passing;
    if (with_hits)
        MP2_FN(put_lost)(any, totals[D], base->shift[D], lost + D * 64);
    return MP2_FN(having)(any, 1);
}

/* Counts what the group `words` with `totals` loses with the 64 candidates of `block`, and returns
 * a bit for each that passes. */
MP2_TARGET static uint64_t MP2_FN(count_block)(const mp2_base *base, const uint64_t *words,
    const int32_t *totals, int32_t block, uint8_t *lost)
{
    int32_t D = base->n_days;
    uint64_t absent = base->absent ? ~0ULL : 0;
    const uint64_t *rows = base->eights + (int64_t)block * 64 * base->eight_words;
    uint64_t passing = 0;
    for (int32_t c = 0; c < 64; c += 8, rows += 8 * base->eight_words) {
        uint64_t bits =
            D == MP2_USUAL_DAYS
                ? MP2_FN(count_eight)(base, words, totals, rows, lost + c, MP2_USUAL_DAYS)
                : MP2_FN(count_eight)(base, words, totals, rows, lost + c, D);
        passing |= bits << c;
        if (bits == 0xff)
            continue;
        uint64_t known = mp2_spread(bits), eight;
        for (uint8_t *at = lost + c; at < lost + base->n_planes * 64; at += 64) {
            memcpy(&eight, at, 8);
            eight = (eight & known) | (absent & ~known);
            memcpy(at, &eight, 8);
        }
    }
    return passing;
}

/* Notes the most in each plane of `lost` of any candidate from each block on, down to `first`. */
MP2_TARGET static void MP2_FN(note_most)(
    const mp2_base *base, const uint8_t *lost, int32_t first, uint8_t *most)
{
    int32_t n_planes = base->n_planes;
    most += (int64_t)base->n_blocks * n_planes;
    memset(most, 0, (size_t)n_planes);
    for (int32_t w = base->n_blocks - 1; w >= first; w--, most -= n_planes) {
        const uint8_t *plane = lost + (int64_t)w * n_planes * 64;
        for (int32_t p = 0; p < n_planes; p++, plane += 64) {
            uint8_t highest = most[p];
            for (int32_t c = 0; c < 64; c++)
                highest = plane[c] > highest ? plane[c] : highest;
            most[p - n_planes] = highest;
        }
    }
}

/* A threshold as a byte. A group that passes has none below 0, and none is above a count. */
MP2_LOOP uint8_t MP2_FN(limited)(int32_t threshold)
{
    return (uint8_t)(threshold < 0 ? 0 : threshold);
}

/* What is left of `start` after each of 64 losses, at least 0; returns those with at most `limit`.
 */
MP2_LOOP uint64_t MP2_FN(subtract)(
    uint8_t start, const uint8_t *lost, uint8_t *rest, uint8_t limit)
{
    for (int32_t c = 0; c < 64; c++)
        rest[c] = (uint8_t)((lost[c] > start ? lost[c] : start) - lost[c]);
    return MP2_FN(at_most)(rest, limit);
}

/* Computes the thresholds of the 64 x of `block`, whose y are in the blocks from `first` on. */
MP2_TARGET static void MP2_FN(aim)(
    const mp2_base *base, mp2_triple *t, int32_t block, int32_t first)
{
    int32_t D = base->n_days;
    const uint8_t *lost = t->lost + (int64_t)block * base->n_planes * 64;
    const uint8_t *most_x = base->most + (int64_t)block * base->n_planes * 64;
    const uint8_t *most_v = t->most + (int64_t)first * base->n_planes;
    t->hopeful = t->within_cap = ~0ULL;
    t->doubtful = 0;
    for (int32_t p = 0; p < base->n_planes; p++, lost += 64) {
        int32_t least = base->floor > 0 ? base->floor : 1;
        int32_t above = t->totals[p] - (p < D ? base->cap : least);
        t->start[p] = p >= D || base->capped ? MP2_FN(limited)(above >> base->shift[p]) : 0;
        if (p >= D) {
            uint8_t *slack = t->slack + (p - D) * 64;
            MP2_FN(subtract)(t->start[p], lost, slack, 0);
            t->doubtful |= ~(MP2_FN(at_least)(slack, most_v[p]) |
                             MP2_FN(not_above)(most_x + p * 64, slack));
            continue;
        }
        uint8_t *need = t->need + p * 64;
        t->hopeful &= MP2_FN(subtract)(t->start[p], lost, need, most_v[p]);
        t->hopeful &= MP2_FN(not_above)(need, most_x + p * 64);
        t->within_cap &= MP2_FN(at_most)(need, 0);
    }
}

#endif
