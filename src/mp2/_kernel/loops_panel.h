/* General loops: one candidate after the other, in the panel's own layout.
 *
 * Rows are rows[variation][day][word], W words a day. A group's state has two parts, of a row each:
 * on a consistent panel the consensus tickers that won, then those that lost; on an inconsistent
 * one the consensus, then the tickers that won for any member. */
#ifndef MP2_ISA /* read once */

typedef struct mp2_panel {
    const uint64_t *rows;
    const uint64_t *win_rows; /* [variation][day][word] of an inconsistent panel, else NULL */
    const uint64_t *wins;     /* [day][word] of a consistent one, else NULL */
    int64_t row_words;        /* D W */
    int32_t n_days;
    int32_t n_words; /* of one day */
    int32_t floor;   /* least hits a day */
    int32_t cap;     /* most buys a day of an eligible group */
} mp2_panel;

/* Lists a visit sorts its candidates into; each has room for all of them. */
typedef struct mp2_survivors {
    int32_t *passing;    /* pass the floor: their visit does not return at once */
    int32_t *living;     /* these, and those that may pass it in a larger group */
    int32_t *within_cap; /* pass it and stay within the cap: only they can be eligible */
    int32_t n_passing, n_living, n_within_cap;
} mp2_survivors;

#else /* read once per MP2_ISA */

MP2_LOOP int32_t MP2_FN(count_and)(const uint64_t *a, const uint64_t *b, int32_t n)
{
    int32_t total = 0;
    for (int32_t i = 0; i < n; i++)
        total += MP2_FN(count)(a[i] & b[i]);
    return total;
}

enum MP2_FN(verdict) { MP2_FN(dead), MP2_FN(alive), MP2_FN(above_cap), MP2_FN(within_cap) };

/* Consistent panel: hits only fall in a larger group, so a candidate passes or is dead. */
MP2_LOOP int MP2_FN(judge)(const mp2_panel *p, const uint64_t *state, const uint64_t *row)
{
    const uint64_t *losers = state + p->row_words;
    int any = 0, above = 0;
    for (int64_t i = 0; i < p->row_words; i += p->n_words)
        if (MP2_FN(count_and)(state + i, row + i, p->n_words) < p->floor)
            return MP2_FN(dead);
    for (int64_t day = 0; day < p->row_words; day += p->n_words) {
        int32_t buys = 0;
        for (int64_t i = day; i < day + p->n_words; i++)
            buys += MP2_FN(count)((state[i] | losers[i]) & row[i]);
        any |= buys;
        above |= buys > p->cap;
    }
    if (!any)
        return MP2_FN(dead);
    return above ? MP2_FN(above_cap) : MP2_FN(within_cap);
}

/* Inconsistent panel: hits may rise in a larger group, whose members win more, but never above the
 * buys, which only fall. So a day with fewer buys than the floor decides for all larger groups. */
MP2_LOOP int MP2_FN(judge_mixed)(
    const mp2_panel *p, const uint64_t *state, const uint64_t *row, const uint64_t *win_row)
{
    const uint64_t *won = state + p->row_words;
    int any = 0, passes = 1, above = 0;
    for (int64_t day = 0; day < p->row_words; day += p->n_words) {
        int32_t buys = 0, hits = 0;
        for (int64_t i = day; i < day + p->n_words; i++) {
            uint64_t both = state[i] & row[i];
            buys += MP2_FN(count)(both);
            hits += MP2_FN(count)(both & (won[i] | win_row[i]));
        }
        if (buys < p->floor)
            return MP2_FN(dead);
        any |= buys;
        passes &= hits >= p->floor;
        above |= buys > p->cap;
    }
    if (!any)
        return MP2_FN(dead);
    if (!passes)
        return MP2_FN(alive);
    return above ? MP2_FN(above_cap) : MP2_FN(within_cap);
}

/* Sorts the candidates into the lists of `out`. */
MP2_TARGET static void MP2_FN(sort_out)(const mp2_panel *p, const uint64_t *state,
    const int32_t *candidates, int32_t n, mp2_survivors *out)
{
    int32_t n_passing = 0, n_living = 0, n_within_cap = 0;
    for (int32_t c = 0; c < n; c++) {
        int64_t at = candidates[c] * p->row_words;
        int verdict = p->win_rows ? MP2_FN(judge_mixed)(p, state, p->rows + at, p->win_rows + at)
                                  : MP2_FN(judge)(p, state, p->rows + at);
        out->passing[n_passing] = out->living[n_living] = out->within_cap[n_within_cap] =
            candidates[c];
        n_passing += verdict >= MP2_FN(above_cap);
        n_living += verdict > MP2_FN(dead);
        n_within_cap += verdict == MP2_FN(within_cap);
    }
    out->n_passing = n_passing;
    out->n_living = n_living;
    out->n_within_cap = n_within_cap;
}

#endif
