# cython: language_level=3
"""The structs of one turn, by role; the statuses it ends with; the arena its memory comes from."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc

from mp2._kernel.heap cimport MAX_SIZE, Heap
from mp2._kernel.score cimport Days, ScoreRules

cdef extern from "_kernel/platform.h" nogil:
    int64_t mp2_now_ns()
    int64_t mp2_load(int64_t *cell)
    void mp2_store(int64_t *cell, int64_t value)
    void mp2_raise(int64_t *cell, int64_t value)
    void mp2_note_words(int64_t words)
    int64_t mp2_most_words
    enum:
        MP2_CHECKED

cdef extern from "_kernel/simd.h" nogil:
    enum:
        MP2_MAX_LANES
    ctypedef struct mp2_panel:
        const uint64_t *rows
        const uint64_t *win_rows
        const uint64_t *wins
        int64_t row_words
        int32_t n_days, n_words, floor, cap
    ctypedef struct mp2_survivors:
        int32_t *passing
        int32_t *living
        int32_t *within_cap
        int32_t n_passing, n_living, n_within_cap
    ctypedef struct mp2_base:
        uint64_t *rows
        uint64_t *eights
        uint64_t *columns
        int32_t *n_wins_of
        int32_t *n_losses_of
        int32_t eight_words
        int32_t *totals
        uint8_t *missing
        uint8_t *own
        uint8_t *shift
        uint8_t *most
        uint64_t **support
        uint64_t *no_support
        int32_t *after
        int32_t n, n_blocks, n_days, n_lanes, n_win_chunks, n_loss_chunks, row_words
        int32_t floor, cap, n_tests, n_planes, bounded, capped, absent, use_tails
    ctypedef struct mp2_triple:
        uint64_t *words
        const uint64_t *tails
        const int32_t *totals
        const uint8_t *lost
        uint8_t *most
        uint8_t *start
        uint8_t *need
        uint8_t *slack
        uint64_t hopeful, within_cap
        uint64_t *both
        uint64_t *open
        uint64_t *lane_0
        uint64_t *others
        int32_t *left
        int32_t x, scored
    ctypedef struct mp2_decided:
        int64_t n_passing, n_counted
        int32_t n_listed, n_left
    ctypedef struct mp2_node:
        uint64_t *rows
        int32_t n_days, n_lanes, row_words, floor, cap
    ctypedef struct mp2_print:
        uint64_t key, slot
    ctypedef struct mp2_loops:
        const char *name
        void (*sort_out)(
            const mp2_panel *, const uint64_t *, const int32_t *, int32_t, mp2_survivors *
        ) noexcept nogil
        void (*count_days)(
            const mp2_base *, const uint64_t *, const uint64_t *, int32_t *, int32_t *
        ) noexcept nogil
        uint64_t (*count_block)(
            const mp2_base *, const uint64_t *, const int32_t *, int32_t, uint8_t *
        ) noexcept nogil
        void (*note_most)(const mp2_base *, const uint8_t *, int32_t, uint8_t *) noexcept nogil
        void (*aim)(const mp2_base *, mp2_triple *, int32_t, int32_t) noexcept nogil
        void (*decide)(
            const mp2_base *, mp2_triple *, int32_t, int32_t, int32_t, mp2_decided *
        ) noexcept nogil
        uint64_t (*find)(
            const mp2_base *, mp2_triple *, int32_t, uint64_t, int64_t *, mp2_decided *
        ) noexcept nogil
        void (*meet)(
            const mp2_node *, const uint64_t *, int32_t, int32_t, uint64_t *, uint64_t *
        ) noexcept nogil
        void (*count_lanes)(
            const mp2_node *, const uint64_t *, const uint64_t *, int32_t, int32_t, int32_t *,
            uint8_t *
        ) noexcept nogil
        void (*drop_larger)(
            const mp2_node *, const uint8_t *, const int32_t *, int32_t, int32_t, int32_t,
            uint64_t *
        ) noexcept nogil
        mp2_print (*fingerprint)(
            const uint64_t *, const uint64_t *, int64_t, const uint64_t *, uint64_t *
        ) noexcept nogil
        void (*count_sets)(const uint64_t *, int32_t, int32_t, int32_t *) noexcept nogil
        void (*list_bits)(const uint64_t *, int32_t, int32_t, int32_t *) noexcept nogil
        int32_t (*add_day)(
            const uint64_t *, int64_t, const int32_t *, int32_t, int32_t, int32_t, uint64_t *,
            uint64_t *
        ) noexcept nogil
        void (*drop_beaten)(
            const uint64_t *, int32_t, int32_t, int32_t, const int32_t *, uint64_t,
            const uint64_t *, int32_t, uint64_t *
        ) noexcept nogil
    int32_t mp2_count(uint64_t word)
    int32_t mp2_lowest_bit(uint64_t word)
    int64_t mp2_head_bytes(const mp2_base *base)
    uint8_t *mp2_lost_of(const mp2_base *base, uint64_t *support, int32_t first)
    void mp2_compress_moves(uint64_t mask, uint64_t *moves)
    void mp2_project(
        const uint64_t *row, const uint64_t *mask, const uint64_t *moves,
        int32_t n_days, int32_t n_words, const int32_t *lane, int32_t n_lanes, uint64_t *out
    )
    void mp2_transpose(uint64_t *words)
    const mp2_loops *mp2_find_loops(const char *name)
    const char *mp2_missing_feature(const char *loops, int32_t index)
    void MP2_PREFETCH(const void *place)


cdef enum Status:
    # How a turn, or a step of it, ended. The scheduler knows the first five as `TurnEnd`.
    TURN_EXHAUSTED = 0
    TURN_AT_LIMIT = 1
    TURN_AT_WALL = 2
    TURN_STOPPED = 3
    TURN_AT_WORK_LIMIT = 4
    TURN_NO_MEMORY = 5
    TURN_OVERFLOW = 6
    GO_ON = 7


cdef enum:
    # Candidates of a block of the general loops, so that scoring all of them stays short as well.
    MAX_BLOCK = 1024


cdef struct StarterState:
    # Everything that outlives a starter's turn; STARTER_DTYPE is derived from it.
    int64_t attempts
    int64_t n_rows_scanned           # candidate rows counted, each once over all turns
    int64_t n_rows_rescanned         # rows counted again to rebuild the lists of a resumed starter
    int64_t tested[MAX_SIZE + 1]     # by group size
    int64_t eligible[MAX_SIZE + 1]
    double score_mean[MAX_SIZE + 1]  # of all eligible groups, by Welford's method
    double score_m2[MAX_SIZE + 1]
    int32_t variation_idx
    int32_t depth                    # frames on the stack; 0 before the first turn and at the end
    int32_t cursor[MAX_SIZE]         # cursor[k]: next variation number to visit at level k + 1
    int32_t exhausted


cdef struct Options:
    # What the caller chose, and what follows from it.
    int32_t fast                # tested[max_size] may be a lower bound
    int32_t use_tails           # candidates that fail with a subgroup are not counted again
    int32_t use_hits_bound
    int32_t use_cap_bound
    int32_t retained[MAX_SIZE + 1]
    int32_t base_depth          # group size of a base; 0: the general loops do everything
    int32_t pair_depth
    int64_t max_attempts        # 0: no limit
    int64_t max_row_bytes       # for projected rows
    int64_t max_support_bytes   # for support tables
    int64_t check_words         # words of work between two looks at the clock


cdef struct Signals:
    # The panel that is searched; nothing in it changes.
    mp2_panel panel
    const int32_t *next_algo    # [n_variations]: first variation number of the following algorithm
    int32_t n_variations


cdef struct Clock:
    # The cells of a `Control`, and what is left before they are read again.
    int64_t *stop
    int64_t *deadline_ns
    int64_t *wall_ns
    int64_t *attempts           # published for progress reports
    int64_t attempts_at_start
    int64_t credit              # words of work left before the next look


cdef struct Frame:
    # The group of one size on the current path, and its candidates. Below a usable base only
    # `member`, `next` and `scanned` are used: pairs and triples have the base's own layout.
    int32_t member              # the variation that made this group out of the one above
    int32_t next                # the next variation number to visit
    int32_t scanned
    int32_t n_candidates
    int32_t n_passing
    int32_t n_tail
    const int32_t *candidates   # a part of the tail candidates of the frame above
    int32_t *passing            # candidates that survive the visit, ascending
    int32_t *living             # those that may survive in a larger group
    const int32_t *tail         # tail candidates, which the next level starts from
    uint64_t *state             # two rows of words, as `loops_panel.h` has it


cdef struct Path:
    # Where the recursion stands.
    int32_t depth
    int32_t rebuilding          # scans repeat what an earlier turn has done
    Frame frames[MAX_SIZE + 1]


cdef struct Scratch:
    mp2_survivors block         # of a block of candidates
    int32_t *all_candidates
    uint64_t *any_day           # [words of a day]: tickers of the consensus of any day
    uint64_t *path_words        # [row_words]: consensus of the current path, as a row of the panel
    int32_t path_ready
    int32_t *lane_hits          # [MP2_MAX_LANES], like the next one
    int32_t *lane_buys
    Days days


cdef struct Base:
    # The group three below the largest, and what all groups below it share.
    mp2_base c
    int32_t tried               # for the frame at its level
    int32_t usable              # 0: the general loops take over
    int32_t n                   # candidates; row n is the group itself
    int32_t at_once             # results only: the triples of a block can be visited together
    int32_t blocks_at_once      # of candidates whose scores take a few checks' worth of work
    int64_t block_bytes         # of a block in a row of the support table
    int64_t table_bytes
    const int32_t *candidates   # [n]: variation numbers
    int32_t *n_below            # [n]: visits of the children of a triple that ends with it
    int32_t *lane_of            # [D]
    uint64_t *moves             # scratch of the projection, 6 masks a word of the consensus
    uint64_t *counted           # bits of the rows of the support table that need not be counted
    uint64_t *spare_support     # of a v whose row is not kept
    uint8_t *table              # where the kept rows are
    uint64_t *words             # scratch: a consensus in the layout of a row
    uint8_t *most               # scratch: like that of a pair


cdef struct Arena:
    # Memory that is laid out twice by the same code: once to measure it, once to place it.
    void *memory
    uint8_t *start              # NULL while it is measured
    int64_t used
    int64_t capacity


cdef struct Turn:
    const ScoreRules *rules
    const mp2_loops *loops
    StarterState *starter
    Options options
    Signals signals
    Clock clock
    Path path
    Scratch scratch
    Base base
    mp2_triple triple           # the pair of the path, and the x that is visited
    int32_t block               # of the x that the pair is aimed at; -1: none
    const uint64_t *passing     # bits of the candidates that pass with the pair
    Arena lists                 # of the path and scratch, for the whole turn
    Arena tables                # of the current base
    Heap *heaps[MAX_SIZE + 1]


cdef inline void *take(Arena *arena, int64_t n_bytes) noexcept nogil:
    """The next `n_bytes` of an arena, cache lines aligned; contents are undefined."""
    cdef void *place = arena.start + arena.used if arena.start != NULL else NULL
    arena.used += (n_bytes + 63) // 64 * 64
    return place


cdef inline Status reserve(Arena *arena) noexcept nogil:
    """Make room for what was measured since `measure`; earlier contents are lost."""
    if arena.used > arena.capacity:
        free(arena.memory)
        arena.capacity = 0
        arena.memory = malloc(arena.used + 64)
        if arena.memory == NULL:
            return TURN_NO_MEMORY
        arena.capacity = arena.used
    arena.start = <uint8_t *>((<size_t>arena.memory + 63) & ~<size_t>63)
    arena.used = 0
    return GO_ON


cdef inline void measure(Arena *arena) noexcept nogil:
    arena.start = NULL
    arena.used = 0


cdef inline int32_t count_words(const uint64_t *words, int32_t n) noexcept nogil:
    cdef int32_t i, total = 0
    for i in range(n):
        total += mp2_count(words[i])
    return total


cdef inline int32_t lower_bound(const int32_t *values, int32_t n, int32_t wanted) noexcept nogil:
    """Index of the first of `n` ascending values that is not less than `wanted`."""
    cdef int32_t low = 0, high = n, middle
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int32_t next_bit(const uint64_t *words, int32_t at, int32_t end) noexcept nogil:
    """The next set bit at or after `at`, or `end`."""
    cdef int32_t w = at >> 6
    cdef uint64_t bits
    if at >= end:
        return end
    bits = words[w] & ~<uint64_t>0 << (at & 63)
    while not bits:
        w += 1
        if w << 6 >= end:
            return end
        bits = words[w]
    return min(end, (w << 6) + mp2_lowest_bit(bits))
