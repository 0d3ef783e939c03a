# cython: language_level=3
"""The base: a group three below the largest, its candidates projected onto the tickers it buys.

Below it 64 candidates are decided at once; `loops_block.h` describes the layouts and the bounds.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from mp2._kernel.path cimport row_of, scoring_words, spend
from mp2._kernel.state cimport *


cdef inline Status open_base(Turn *t) noexcept nogil:
    """Set up the base of the current path; a no-op where its rows take too much memory.

    Stopped half-way, it is set up again from the start.
    """
    cdef Base *b = &t.base
    cdef Frame *frame = &t.path.frames[t.options.base_depth]
    cdef Status status
    b.n = frame.n_tail
    b.candidates = frame.tail
    lay_out(t, frame)
    if b.n == 0 or 8 * 64 * b.c.n_blocks * b.c.row_words > t.options.max_row_bytes:
        b.tried = 1
        return GO_ON
    measure(&t.tables)
    place_base(t)
    status = reserve(&t.tables)
    if status == GO_ON:
        place_base(t)
        choose_shifts(t)
        status = project_base(t, frame)
    if status == GO_ON:
        status = make_columns(t)
    if status == GO_ON:
        status = count_base(t)
    if status == GO_ON:
        place_support(t)
        b.tried = b.usable = 1
    return status


cdef inline void lay_out(Turn *t, Frame *frame) noexcept nogil:
    """Lanes (days by ascending number of winners: the fewest decide most) and chunks of a row."""
    cdef Base *b = &t.base
    cdef Scratch *s = &t.scratch
    cdef int32_t D = t.signals.panel.n_days, W = t.signals.panel.n_words, d, k
    cdef int32_t n_losses, most_wins = 0, most_losses = 0
    cdef int64_t n_words
    for d in range(D):
        s.lane_hits[d] = count_words(frame.state + d * W, W)
        n_losses = count_words(frame.state + (D + d) * W, W)
        s.lane_buys[d] = s.lane_hits[d] + n_losses
        most_wins = max(most_wins, s.lane_hits[d])
        most_losses = max(most_losses, n_losses)
    for d in range(D):
        b.lane_of[d] = 0
        for k in range(D):
            b.lane_of[d] += s.lane_hits[k] < s.lane_hits[d]
            b.lane_of[d] += s.lane_hits[k] == s.lane_hits[d] and k < d
    b.c.eight_words = 0
    for d in range(D):
        b.c.n_wins_of[b.lane_of[d]] = (s.lane_hits[d] + 63) // 64
        b.c.n_losses_of[b.lane_of[d]] = (s.lane_buys[d] - s.lane_hits[d] + 63) // 64
        b.c.eight_words += b.c.n_wins_of[b.lane_of[d]] + b.c.n_losses_of[b.lane_of[d]]
    b.c.n = b.n
    b.c.n_blocks = b.n // 64 + 1
    b.c.n_days = D
    b.c.n_lanes = (D + 7) // 8 * 8
    b.c.n_win_chunks = (most_wins + 63) // 64
    b.c.n_loss_chunks = (most_losses + 63) // 64
    b.c.row_words = (b.c.n_win_chunks + b.c.n_loss_chunks) * b.c.n_lanes
    b.c.floor = t.signals.panel.floor
    b.c.cap = t.signals.panel.cap
    b.c.n_tests = D if b.c.floor > 0 else 1
    b.c.n_planes = D if t.options.fast else D + b.c.n_tests
    b.c.bounded = t.options.use_hits_bound
    b.c.capped = t.options.use_cap_bound
    # Without tail masks also these candidates are looked at, and nothing is known of them.
    b.c.use_tails = t.options.use_tails
    b.c.absent = 0 if t.options.use_tails else 255
    b.block_bytes = b.c.n_planes * 64
    n_words = 64 * (scoring_words(t) + b.c.row_words)
    b.blocks_at_once = <int32_t>min(b.c.n_blocks, max(1, 8 * t.options.check_words // n_words))
    b.at_once = (
        t.options.fast and t.options.use_tails and not t.options.max_attempts
        and b.blocks_at_once == b.c.n_blocks
    )


cdef inline int64_t support_bytes(const Base *b, int32_t first_block) noexcept nogil:
    """Bytes of a row of the support table that has counts from a block on."""
    return mp2_head_bytes(&b.c) + (b.c.n_blocks - first_block) * b.block_bytes


cdef inline void place_base(Turn *t) noexcept nogil:
    """Lay out the tables of a base; see `Arena`. The support table takes what is useful."""
    cdef Base *b = &t.base
    cdef mp2_triple *triple = &t.triple
    cdef Arena *tables = &t.tables
    cdef int64_t n_rows = 64 * <int64_t>b.c.n_blocks, row_bytes = 8 * <int64_t>b.c.row_words
    cdef int64_t n_columns = 64 * <int64_t>b.c.n_win_chunks * b.c.n_blocks
    # Vectors of blocks are read, and written, up to 8 words beyond the last block.
    cdef int64_t mask_bytes = 8 * (<int64_t>b.c.n_blocks + 8)
    b.c.rows = <uint64_t *>take(tables, n_rows * row_bytes)
    b.c.eights = <uint64_t *>take(tables, n_rows * 8 * b.c.eight_words)
    b.words = <uint64_t *>take(tables, row_bytes)
    triple.words = <uint64_t *>take(tables, row_bytes)
    triple.both = <uint64_t *>take(tables, row_bytes)
    triple.open = <uint64_t *>take(tables, mask_bytes)
    triple.lane_0 = <uint64_t *>take(tables, mask_bytes)
    triple.others = <uint64_t *>take(tables, mask_bytes)
    triple.left = <int32_t *>take(tables, n_rows * sizeof(int32_t))
    b.c.columns = NULL
    if 0 < b.c.floor <= 256 and not t.options.fast:      # what `overflowing` can count
        b.c.columns = <uint64_t *>take(tables, 8 * (n_columns + 8))
    b.c.totals = <int32_t *>take(tables, (b.n + 1) * b.c.n_planes * sizeof(int32_t))
    b.c.missing = <uint8_t *>take(tables, n_rows * b.c.n_days)
    b.c.own = <uint8_t *>take(tables, (b.n + 1) * b.c.n_days)
    b.c.shift = <uint8_t *>take(tables, b.c.n_planes)
    b.most = <uint8_t *>take(tables, (b.c.n_blocks + 1) * b.c.n_planes)
    b.c.most = <uint8_t *>take(tables, n_rows * b.c.n_planes)
    triple.most = <uint8_t *>take(tables, (b.c.n_blocks + 1) * b.c.n_planes)
    triple.start = <uint8_t *>take(tables, b.c.n_planes)
    triple.need = <uint8_t *>take(tables, b.c.n_days * 64)
    triple.slack = <uint8_t *>take(tables, b.c.n_tests * 64)
    b.c.after = <int32_t *>take(tables, n_rows * sizeof(int32_t))
    b.c.support = <uint64_t **>take(tables, n_rows * sizeof(uint64_t *))
    b.n_below = <int32_t *>take(tables, n_rows * sizeof(int32_t))
    b.counted = <uint64_t *>take(tables, mask_bytes)
    b.spare_support = <uint64_t *>take(tables, support_bytes(b, 0))
    b.c.no_support = <uint64_t *>take(tables, support_bytes(b, 0))
    b.table_bytes = 0
    if t.options.pair_depth > t.options.base_depth:
        b.table_bytes = min(t.options.max_support_bytes, b.n * support_bytes(b, 0))
    b.table = <uint8_t *>take(tables, b.table_bytes)


cdef inline void choose_shifts(Turn *t) noexcept nogil:
    """The smallest shifts with which all counts are less than the byte that says: not known."""
    cdef Base *b = &t.base
    cdef int32_t p, d, shift
    cdef int64_t count = 0, total = 0
    for d in range(b.c.n_days):
        total += t.scratch.lane_buys[d]
    for p in range(b.c.n_planes):
        for d in range(b.c.n_days):
            if b.lane_of[d] == p:
                count = t.scratch.lane_buys[d]
            elif b.lane_of[d] == p - b.c.n_days:
                count = t.scratch.lane_hits[d] if b.c.floor > 0 else total
        shift = 0
        while count >> shift > 250:
            shift += 1
        b.c.shift[p] = shift


cdef inline Status project_base(Turn *t, Frame *frame) noexcept nogil:
    """Project the rows of the candidates and of the group, winners apart from losers."""
    cdef Base *b = &t.base
    cdef int32_t D = t.signals.panel.n_days, W = t.signals.panel.n_words, i
    cdef int64_t n = t.signals.panel.row_words, n_words = b.c.row_words, k
    cdef const uint64_t *row
    cdef uint64_t *out
    cdef Status status
    for k in range(2 * n):
        mp2_compress_moves(frame.state[k], b.moves + 6 * k)
    memset(b.c.no_support, 0xff, support_bytes(b, 0))
    for i in range(64 * b.c.n_blocks):
        out = b.c.rows + i * n_words
        memset(out, 0, 8 * n_words)
        if i > b.n:
            put_beside(b, i)
            continue
        row = row_of(t, frame.member if i == b.n else b.candidates[i])
        mp2_project(row, frame.state, b.moves, D, W, b.lane_of, b.c.n_lanes, out)
        out += b.c.n_win_chunks * b.c.n_lanes
        mp2_project(row, frame.state + n, b.moves + 6 * n, D, W, b.lane_of, b.c.n_lanes, out)
        put_beside(b, i)
        status = spend(t, 12 * n)
        if status != GO_ON:
            return status
    return GO_ON


cdef inline void put_beside(Base *b, int32_t i) noexcept nogil:
    """Copy the row of candidate i to those of the eight candidates around it."""
    cdef const uint64_t *row = b.c.rows + <int64_t>i * b.c.row_words
    cdef const uint64_t *losses = row + b.c.n_win_chunks * b.c.n_lanes
    cdef uint64_t *out = b.c.eights + <int64_t>(i >> 3) * 8 * b.c.eight_words + (i & 7)
    cdef int32_t lane, k
    for lane in range(b.c.n_days):
        for k in range(b.c.n_wins_of[lane]):
            out[0] = row[k * b.c.n_lanes + lane]
            out += 8
        for k in range(b.c.n_losses_of[lane]):
            out[0] = losses[k * b.c.n_lanes + lane]
            out += 8


cdef inline Status make_columns(Turn *t) noexcept nogil:
    """Transpose the winners of lane 0: one bit a candidate for every ticker."""
    cdef Base *b = &t.base
    cdef int32_t chunk, w, k
    cdef uint64_t square[64]
    cdef Status status
    if b.c.columns == NULL:
        return GO_ON
    for chunk in range(b.c.n_win_chunks):
        for w in range(b.c.n_blocks):
            for k in range(64):
                square[k] = b.c.rows[(<int64_t>w * 64 + k) * b.c.row_words + chunk * b.c.n_lanes]
            mp2_transpose(square)
            for k in range(64):
                b.c.columns[(<int64_t>chunk * 64 + k) * b.c.n_blocks + w] = square[k]
            status = spend(t, 512)
            if status != GO_ON:
                return status
    return GO_ON


cdef inline Status count_base(Turn *t) noexcept nogil:
    """Count the base with each candidate, and with itself."""
    cdef Base *b = &t.base
    cdef const uint64_t *group = b.c.rows + <int64_t>b.n * b.c.row_words
    cdef int32_t D = b.c.n_days, i, d, missing
    cdef uint8_t *own
    cdef int32_t *all = b.c.totals + b.n * b.c.n_planes
    cdef int32_t *totals
    cdef Status status
    memset(b.c.missing, 0, 64 * b.c.n_blocks * D)
    for i in range(b.n, -1, -1):
        totals = b.c.totals + i * b.c.n_planes
        t.loops.count_days(
            &b.c, group, b.c.rows + <int64_t>i * b.c.row_words, t.scratch.lane_hits, totals
        )
        own = b.c.own + i * D
        for d in range(D):
            missing = all[d] - totals[d]
            b.c.missing[((i >> 6) * D + d) * 64 + (i & 63)] = <uint8_t>(missing >> b.c.shift[d])
            own[d] = <uint8_t>((missing + (1 << b.c.shift[d]) - 1) >> b.c.shift[d])
        if b.c.n_planes == D:
            continue
        if b.c.floor == 0:
            t.scratch.lane_hits[0] = 0
            for d in range(D):
                t.scratch.lane_hits[0] += totals[d]
        for d in range(b.c.n_tests):
            totals[D + d] = t.scratch.lane_hits[d]
        status = spend(t, b.c.row_words)
        if status != GO_ON:
            return status
    return GO_ON


cdef inline void place_support(Turn *t) noexcept nogil:
    """Give the candidates rows of the support table, from the last one backwards, as room allows.

    A later candidate is x of more pairs, so its row is used more often, and it is shorter.
    """
    cdef Base *b = &t.base
    cdef int64_t used = 0, n_bytes
    cdef int32_t i, next_algo
    b.c.after[b.n] = 0                           # the group itself is before all candidates
    b.c.support[b.n] = NULL
    memset(b.counted, 0, 8 * b.c.n_blocks)
    memset(b.c.most, 0xff, 64 * b.c.n_blocks * b.c.n_planes)
    for i in range(b.n - 1, -1, -1):
        next_algo = t.signals.next_algo[b.candidates[i]]
        b.c.after[i] = lower_bound(b.candidates, b.n, next_algo)
        b.n_below[i] = t.signals.n_variations - next_algo
        n_bytes = support_bytes(b, b.c.after[i] >> 6)
        b.c.support[i] = NULL
        if used + n_bytes <= b.table_bytes:
            b.c.support[i] = <uint64_t *>(b.table + used)
            used += n_bytes
        else:
            b.counted[i >> 6] |= <uint64_t>1 << (i & 63)
