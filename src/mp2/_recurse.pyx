# cython: language_level=3, freethreading_compatible=True
"""The search kernel: depth-first recursion over groups of variations, on bitsets, without the GIL.

Top-down, in three tiers: `Kernel.run` checks and allocates with the GIL; `run_turn` and what it calls are the recursion,
without it; `_scan.h` holds the innermost loops over candidates.

How the recursion of the specification is walked:

- A *frame* per level holds the group of that size: its consensus, and the candidates that may still join. Children are
  visited in order of variation number, so a cursor (the next number to visit at each level) says all about a position.
- Visits that return at once cost nothing but a scan: one pass over a frame's candidates finds those that survive, and the
  others are counted by subtracting variation numbers. On a consistent panel hits can only fall as a group grows, so the
  survivors alone are handed down as the children's candidates (the tail lists of Eclat); on an inconsistent one only
  emptiness is inherited and the floor is looked at anew.
- Below the first level a consistent panel is *projected*: only tickers the starter buys matter, squeezed together,
  winners before losers, so that a row shrinks to a few words.
- Every `CHECK_WORDS` words of work the stop flag, the wall and the deadline are looked at. A turn that ends there leaves
  its cursor and counters in the starter's record and can be taken up by any thread. The deadline ends a turn only after
  it has got on, so that the shortest turn makes progress; the wall and the stop flag end it always.
"""

import os

cimport cython
from libc.math cimport fabs, floor, log, sqrt
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

import numpy as np

from mp2.model import COUNTS, PRUNINGS

cdef extern from "_portable.h" nogil:
    int64_t mp2_now_ns()
    int64_t mp2_load(int64_t *cell)
    void mp2_store(int64_t *cell, int64_t value)
    int64_t mp2_add(int64_t *cell, int64_t value)
    void mp2_raise(int64_t *cell, int64_t value)
    enum:
        MP2_CHECKED

cdef extern from "_scan.h" nogil:
    struct mp2_rows:
        const uint64_t *rows
        const uint64_t *win_rows
        int64_t stride
        int32_t first
        int32_t n_days
        int32_t loss_at
        int32_t floor
        int32_t cap
        const int32_t *win_start
        const int32_t *loss_start
        const int32_t *day_order
    struct mp2_loops:
        const char *name
        int32_t (*pass_floor)(const mp2_rows *, const uint64_t *, const int32_t *, int32_t, int32_t *) noexcept nogil
        int32_t (*pass_any)(const mp2_rows *, const uint64_t *, const uint64_t *, const int32_t *, int32_t, int32_t *) noexcept nogil
        int32_t (*within_cap)(const mp2_rows *, const uint64_t *, const uint64_t *, const int32_t *, int32_t, int32_t *) noexcept nogil
        int32_t (*pass_mixed)(
            const mp2_rows *, const uint64_t *, const uint64_t *, const int32_t *, int32_t, int32_t *, int32_t *, int32_t *
        ) noexcept nogil
        void (*project)(
            const uint64_t *, const uint64_t *, const uint64_t *, int32_t, int32_t, const int32_t *, uint64_t *
        ) noexcept nogil
    const uint64_t *mp2_row(const mp2_rows *table, int32_t v)
    int32_t mp2_count(uint64_t word, int hardware)
    int32_t mp2_count_and(const uint64_t *a, const uint64_t *b, int32_t n, int hardware)
    void mp2_compress_moves(uint64_t mask, uint64_t *moves)
    const mp2_loops *mp2_find_loops(const char *name)

cdef enum:
    MAX_SIZE = 8                 # largest group, as in mp2.model

# How a turn ended; the scheduler knows the same numbers as `TurnEnd`.
EXHAUSTED = 0
LIMIT = 1
WALL = 2
STOPPED = 3
WORK_LIMIT = 4

cdef enum Turned:
    DONE = 0
    AT_LIMIT = 1
    AT_WALL = 2
    AT_STOP = 3
    AT_WORK_LIMIT = 4
    NO_MEMORY = 5
    OVERFLOWED = 6
    GO_ON = 7

# Words of work between two looks at the clock: measured p95 of 0.1 ms late, 0.2% overhead, at any row width.
cdef int64_t CHECK_WORDS = 65536
# A leaf block is at most this many candidates, so that scoring a whole block of eligible groups stays short as well.
cdef int32_t MAX_BLOCK = 1024
# A projected table never takes more than this; wider panels are searched in the panel's own layout.
MAX_TABLE_BYTES = 16 << 20
cdef int64_t max_table_bytes = MAX_TABLE_BYTES
# Counters are 64-bit within a starter; a turn that comes near the end of their range fails instead of wrapping.
cdef int64_t MAX_ATTEMPTS = <int64_t>1 << 62


cdef struct Entry:
    double score
    int32_t members[MAX_SIZE]    # unused places are 0


cdef struct StarterState:
    # Everything that outlives a starter's turn; STARTER_DTYPE mirrors it field by field.
    int64_t attempts
    int64_t n_rows_scanned       # candidate rows looked at, each once however often the starter was resumed
    int64_t n_rows_rescanned     # rows looked at again to rebuild the lists of a resumed starter
    int64_t tested[MAX_SIZE + 1]    # by group size
    int64_t eligible[MAX_SIZE + 1]
    double score_mean[MAX_SIZE + 1]  # of all eligible groups, Welford
    double score_m2[MAX_SIZE + 1]
    int32_t variation_idx
    int32_t depth                # frames on the stack; 0 before the first turn and once exhausted
    int32_t cursor[MAX_SIZE]     # cursor[k]: next variation number to visit at level k + 1
    int32_t exhausted


STARTER_DTYPE = np.dtype(
    [
        ("attempts", "i8"), ("n_rows_scanned", "i8"), ("n_rows_rescanned", "i8"),
        ("tested", "i8", MAX_SIZE + 1), ("eligible", "i8", MAX_SIZE + 1),
        ("score_mean", "f8", MAX_SIZE + 1), ("score_m2", "f8", MAX_SIZE + 1),
        ("variation_idx", "i4"), ("depth", "i4"), ("cursor", "i4", MAX_SIZE), ("exhausted", "i4"),
    ],
    align=True,
)
if STARTER_DTYPE.itemsize != sizeof(StarterState):
    raise ImportError("STARTER_DTYPE does not match the kernel's struct; rebuild the extension")
ENTRY_BYTES = sizeof(Entry)


cdef struct Heap:
    # A bounded heap with the worst entry at its root; `shared` is a score below which nothing can be kept any more.
    Entry *entries
    int64_t n
    int64_t capacity
    int64_t top_k
    int64_t *shared
    int32_t size
    int32_t failed


cdef struct Constants:
    # The numeric rules, by the names of `Rules`.
    int32_t max_size
    int32_t min_daily_hits
    int32_t max_daily_buys
    double min_pooled_pp, max_mad_pp, max_iqr_pp, max_cv_buys, min_wilson_lb
    double weighted_pp_weight, median_pp_weight, second_worst_pp_weight
    double wilson_weight, wilson_z, rising_weight, falling_weight, mad_weight, iqr_weight, cv_weight
    double coverage_log_weight, coverage_cap, coverage_excess_weight, crowding_cap, crowding_weight
    double sweet_empty, sweet_low, sweet_peak, sweet_high, sweet_low_slope, sweet_slope, sweet_high_slope
    double repeat_tolerance, repeat_weight


cdef struct Frame:
    # The group of one size on the current path, and its candidates.
    int32_t member               # the variation that made this group out of the one above
    int32_t next                 # the next variation number to visit
    int32_t n_candidates
    int32_t n_passing
    int32_t n_handed_down
    int32_t at                   # index into `passing` (inner frames) or `candidates` (leaf frames) of the next survivor
    int32_t scanned
    const int32_t *candidates    # a tail of the list the frame above hands down
    int32_t *passing             # candidates that survive the visit, ascending
    int32_t *handed_down         # candidates of the next level: `passing` itself on a consistent panel
    uint64_t *state              # consensus words: win | loss, or consensus | won on an inconsistent panel


cdef struct Turn:
    # One turn of one starter: everything the recursion needs, as raw pointers.
    const Constants *rules
    const mp2_loops *loops
    StarterState *starter
    mp2_rows natural             # the panel's own layout
    mp2_rows table               # what is scanned now: `natural`, or the projection onto the starter
    const uint64_t *wins         # [days, words] on a consistent panel
    const int32_t *next_algo     # [n_variations]: first variation number of the following algorithm
    const double *day_weights
    int64_t *stop
    int64_t *deadline_ns
    int64_t *wall_ns
    int64_t *published_attempts
    int64_t max_attempts         # 0: no limit
    int64_t attempts_at_start
    int64_t credit               # words of work left before the next look at the clock
    int32_t n_variations
    int32_t n_words              # words of one day in the panel's layout
    int32_t mixed                # the panel is inconsistent
    int32_t rebuilding           # scans repeat work an earlier turn has done
    int32_t depth
    int32_t *all_candidates
    int32_t *block               # survivors of a leaf block
    int32_t *block_capped
    uint64_t *union_words        # [n_words] scratch: tickers of the consensus of any day
    uint64_t *projection
    uint64_t *moves
    uint64_t *masks
    int32_t *starts              # win_start, loss_start and day_order of natural and projected tables
    int32_t *hits                # [days] scratch, like the next four
    int32_t *buys
    double *pp
    double *sorted_pp
    Frame frames[MAX_SIZE + 1]   # frames[k] holds the group of size k
    Heap heaps[MAX_SIZE + 1]
    int32_t retained[MAX_SIZE + 1]


cdef int64_t n_threads_inside = 0
cdef int64_t n_threads_inside_peak = 0
cdef const mp2_loops *active_loops = NULL


# ---------------------------------------------------------------------------------------------------------------------
# Tier 1: what Python sees.


def now_ns():
    """The monotonic clock of kernel and scheduler, in nanoseconds; never compare it with another clock."""
    return mp2_now_ns()


def simd_available():
    """Names of the instruction sets this build and this machine can use, narrowest first."""
    return tuple(name for name in ("portable", "avx2") if mp2_find_loops(name.encode()) != NULL)


def simd():
    """Name of the instruction set in use."""
    return active_loops.name.decode()


def use_simd(name):
    """Choose the instruction set of kernels run from now on. ValueError when the machine does not have it."""
    global active_loops
    cdef const mp2_loops *found = mp2_find_loops(name.encode())
    if found == NULL:
        raise ValueError(f"MP2_SIMD={name!r} is not available here; choose one of {', '.join(simd_available())}")
    active_loops = found


def build_info():
    """How the extension was built: release, or checked (bounds and assertions)."""
    return "checked" if MP2_CHECKED else "release"


def threads_inside_peak(reset=False):
    """Most threads that were inside the recursion at once since the last reset: shows that the GIL is released."""
    cdef int64_t peak = mp2_load(&n_threads_inside_peak)
    if reset:
        mp2_store(&n_threads_inside_peak, mp2_load(&n_threads_inside))
    return peak


cdef class Control:
    """Stop flag, deadline and wall of one running starter, shared by scheduler and kernel.

    Times are nanoseconds of `now_ns`. The flag and the deadline may be changed at any moment from any thread and are seen
    at the kernel's next check; the deadline only ever rises. `attempts` is what the kernel last published.
    """

    cdef int64_t _stop
    cdef int64_t _deadline_ns
    cdef int64_t _wall_ns
    cdef int64_t _attempts

    def __init__(self, int64_t deadline_ns, int64_t wall_ns):
        self._deadline_ns = deadline_ns
        self._wall_ns = wall_ns

    def stop(self):
        """Ask the kernel to return at its next check."""
        mp2_store(&self._stop, 1)

    def raise_deadline(self, int64_t deadline_ns):
        """Move the deadline later; an earlier one changes nothing."""
        mp2_raise(&self._deadline_ns, deadline_ns)

    @property
    def stopped(self):
        return mp2_load(&self._stop) != 0

    @property
    def deadline_ns(self):
        return mp2_load(&self._deadline_ns)

    @property
    def wall_ns(self):
        return self._wall_ns

    @property
    def attempts(self):
        return mp2_load(&self._attempts)


cdef class TopGroups:
    """The `top_k` best groups of one size, ties won by the lexicographically smaller group.

    A heap made with `shared=` drops groups that can no longer enter the shared one. Not for use by two threads at once,
    but for its threshold, which running kernels read.
    """

    cdef Heap heap
    cdef int64_t threshold
    cdef TopGroups shared

    def __init__(self, int size, int64_t top_k, TopGroups shared=None):
        if not 2 <= size <= MAX_SIZE or top_k < 1:
            raise ValueError(f"size must be 2..{MAX_SIZE} and top_k at least 1, not {size} and {top_k}")
        self.heap.size = size
        self.heap.top_k = top_k
        self.threshold = sortable(-float("inf"))
        self.shared = shared
        self.heap.shared = &self.threshold if shared is None else &shared.threshold

    def __dealloc__(self):
        free(self.heap.entries)

    def __len__(self):
        return self.heap.n

    def merge(self, TopGroups other):
        """Take over what `other` kept. MemoryError leaves this heap as it was."""
        cdef int64_t i
        for i in range(other.heap.n):
            offer(&self.heap, &other.heap.entries[i])
        if self.heap.failed:
            self.heap.failed = 0
            raise MemoryError("no memory for the kept groups; lower --top")
        if self.heap.n == self.heap.top_k:
            mp2_raise(&self.threshold, sortable(self.heap.entries[0].score))

    def with_first(self, int32_t variation_idx):
        """The same groups under another first member: what a starter finds that buys and wins as theirs does.

        All groups here have to begin with one and the same starter; then replacing it changes no order among them, and the
        heap is valid as it stands. Returns a new heap with the same `shared`; this one is only read. MemoryError.
        """
        cdef TopGroups twin = TopGroups(self.heap.size, self.heap.top_k, self.shared)
        cdef int64_t i
        if self.heap.n == 0:
            return twin
        twin.heap.entries = <Entry *>malloc(self.heap.n * sizeof(Entry))
        if twin.heap.entries == NULL:
            raise MemoryError("no memory for the kept groups; lower --top")
        memcpy(twin.heap.entries, self.heap.entries, self.heap.n * sizeof(Entry))
        twin.heap.n = twin.heap.capacity = self.heap.n
        for i in range(twin.heap.n):
            twin.heap.entries[i].members[0] = variation_idx
        return twin

    def best(self):
        """The highest score kept, or None."""
        cdef int64_t i
        cdef double best = -float("inf")
        for i in range(self.heap.n):
            best = max(best, self.heap.entries[i].score)
        return best if self.heap.n else None

    def ranked(self):
        """Scores float64[n] and variation numbers int32[n, size], best first."""
        cdef int64_t i
        cdef int k
        scores = np.empty(self.heap.n, dtype=np.float64)
        members = np.empty((self.heap.n, self.heap.size), dtype=np.int32)
        cdef double[::1] scores_view = scores
        cdef int32_t[:, ::1] members_view = members
        for i in range(self.heap.n):
            scores_view[i] = self.heap.entries[i].score
            for k in range(self.heap.size):
                members_view[i, k] = self.heap.entries[i].members[k]
        order = np.lexsort((*members.T[::-1], -scores))
        return scores[order], members[order]


cdef class Kernel:
    """A panel and rules, ready to be searched by any number of threads at once; nothing in it changes.

    With V variations, D days and W words a day:

    - `buys` uint64[V, D, W]: bitsets of the tickers each variation buys;
    - `wins` uint64[D, W] (consistent) or uint64[V, D, W] (inconsistent; a subset of `buys`);
    - `algo_of` int32[V]: never falling; `day_weights` float64[D]; `rules`: see `mp2.model.Rules`;
    - `count`: one of `mp2.model.COUNTS`; `without`: names of `mp2.model.PRUNINGS`.

    All arrays C-contiguous, read-only ones welcome. ValueError when shapes disagree or a name is unknown.
    """

    cdef const uint64_t[:, :, ::1] buys
    cdef const uint64_t[:, ::1] wins
    cdef const uint64_t[:, :, ::1] mixed_wins
    cdef const double[::1] day_weights
    cdef int32_t[::1] next_algo
    cdef Constants rules
    cdef object retain_sizes
    cdef int32_t n_variations, n_days, n_words
    cdef bint mixed

    def __init__(self, buys, wins, algo_of, day_weights, rules, *, count="exact", without=frozenset()):
        if count not in COUNTS or not set(without) <= set(PRUNINGS):
            raise ValueError(f"count {count!r} without {sorted(without)}: choose from {COUNTS} and {PRUNINGS}")
        if not (buys.ndim == 3 and wins.shape in (buys.shape, buys.shape[1:])
                and algo_of.shape == buys.shape[:1] and day_weights.shape == buys.shape[1:2]):
            raise ValueError(
                f"buys{buys.shape}, wins{wins.shape}, algo_of{algo_of.shape}, day_weights{day_weights.shape} do not belong together"
            )
        if buys.shape[1] * buys.shape[2] >= 2**30 or buys.shape[0] >= 2**30:
            raise ValueError("more than 2^30 words a row or variations")
        self.n_variations, self.n_days, self.n_words = buys.shape
        self.mixed = wins.ndim == 3
        self.buys = buys
        if self.mixed:
            self.mixed_wins = wins
        else:
            self.wins = wins
        self.day_weights = day_weights
        self.next_algo = np.searchsorted(algo_of, algo_of, side="right").astype(np.int32)
        self.retain_sizes = rules.retain_sizes
        self._take(rules)

    cdef _take(self, r):
        cdef Constants *c = &self.rules
        c.max_size, c.min_daily_hits, c.max_daily_buys = r.max_size, r.min_daily_hits, r.max_daily_buys
        c.min_pooled_pp, c.max_mad_pp, c.max_iqr_pp = r.min_pooled_pp, r.max_mad_pp, r.max_iqr_pp
        c.max_cv_buys, c.min_wilson_lb = r.max_cv_buys, r.min_wilson_lb
        c.weighted_pp_weight, c.median_pp_weight = r.weighted_pp_weight, r.median_pp_weight
        c.second_worst_pp_weight, c.wilson_weight, c.wilson_z = r.second_worst_pp_weight, r.wilson_weight, r.wilson_z
        c.rising_weight, c.falling_weight = r.rising_weight, r.falling_weight
        c.mad_weight, c.iqr_weight, c.cv_weight = r.mad_weight, r.iqr_weight, r.cv_weight
        c.coverage_log_weight, c.coverage_cap = r.coverage_log_weight, r.coverage_cap
        c.coverage_excess_weight, c.crowding_cap, c.crowding_weight = r.coverage_excess_weight, r.crowding_cap, r.crowding_weight
        c.sweet_empty, c.sweet_low, c.sweet_peak, c.sweet_high = r.sweet_empty, r.sweet_low, r.sweet_peak, r.sweet_high
        c.sweet_low_slope, c.sweet_slope, c.sweet_high_slope = r.sweet_low_slope, r.sweet_slope, r.sweet_high_slope
        c.repeat_tolerance, c.repeat_weight = r.repeat_tolerance, r.repeat_weight

    def run(self, starter, Control control not None, dict heaps, int64_t max_attempts=0):
        """Search one starter until it is exhausted or `control` says otherwise; call again to go on.

        `starter` is one record of dtype STARTER_DTYPE as an array of shape (1,), all zero but for `variation_idx` before the
        first turn; it is updated in place and must not be given to two threads. `heaps` maps each retained size to the
        `TopGroups` that receive this turn's groups. `max_attempts` stops the starter at exactly that many attempts over
        all its turns (0: no limit). Returns EXHAUSTED, LIMIT, WALL, STOPPED or WORK_LIMIT. The GIL is released
        throughout. Raises MemoryError (the turn's counters are not to be used then) and OverflowError.
        """
        cdef unsigned char[::1] raw = starter.view(np.uint8)
        if raw.shape[0] != sizeof(StarterState):
            raise ValueError("starter must be one record of dtype STARTER_DTYPE")
        cdef StarterState *state = <StarterState *>&raw[0]
        if not 0 <= state.variation_idx < self.n_variations or not 0 <= state.depth < self.rules.max_size:
            raise ValueError(f"starter {state.variation_idx} at depth {state.depth} does not belong to this panel")
        if max_attempts < 0 or 0 < max_attempts < state.attempts:
            raise ValueError(f"max_attempts {max_attempts} is less than the {state.attempts} attempts already made")
        cdef Turn turn
        cdef int end
        cdef TopGroups groups
        self._describe(&turn, state, control, max_attempts)
        for size in self.retain_sizes:
            groups = heaps[size]
            turn.retained[<int>size] = 1
            turn.heaps[<int>size] = groups.heap
        with nogil:
            mp2_raise(&n_threads_inside_peak, mp2_add(&n_threads_inside, 1))
            end = run_turn(&turn)
            mp2_add(&n_threads_inside, -1)
        for size in self.retain_sizes:
            groups = heaps[size]
            groups.heap = turn.heaps[<int>size]
        if end == NO_MEMORY:
            raise MemoryError("no memory to search a starter; lower --workers or --top")
        if end == OVERFLOWED:
            raise OverflowError("a starter's attempts left the range of its counters; set max_attempts")
        return end

    cdef _describe(self, Turn *turn, StarterState *state, Control control, int64_t max_attempts):
        cdef int32_t size
        turn.rules = &self.rules
        turn.loops = active_loops
        turn.starter = state
        turn.natural.rows = &self.buys[0, 0, 0]
        turn.natural.win_rows = turn.wins = NULL
        if self.mixed:
            turn.natural.win_rows = &self.mixed_wins[0, 0, 0]
        else:
            turn.wins = &self.wins[0, 0]
        turn.natural.stride = <int64_t>self.n_days * self.n_words
        turn.natural.first = 0
        turn.natural.n_days = self.n_days
        turn.natural.loss_at = 0
        turn.natural.floor = self.rules.min_daily_hits
        turn.natural.cap = self.rules.max_daily_buys
        turn.next_algo = &self.next_algo[0]
        turn.day_weights = &self.day_weights[0]
        turn.stop, turn.deadline_ns = &control._stop, &control._deadline_ns
        turn.wall_ns, turn.published_attempts = &control._wall_ns, &control._attempts
        turn.max_attempts = max_attempts
        turn.n_variations, turn.n_words = self.n_variations, self.n_words
        turn.mixed = self.mixed
        for size in range(MAX_SIZE + 1):
            turn.retained[size] = 0


# ---------------------------------------------------------------------------------------------------------------------
# Tier 2: the recursion. Everything below runs without the GIL and touches no Python object.


cdef int run_turn(Turn *t) noexcept nogil:
    cdef int status
    if t.starter.exhausted:
        return DONE
    t.attempts_at_start = t.starter.attempts
    status = check(t)
    if status != GO_ON:                          # stopped before it began: the record stands as it is
        return status
    if not allocate(t):
        release(t)
        return NO_MEMORY
    begin(t)
    status = rebuild_path(t)
    if status != GO_ON:                          # stopped before it got on: the cursor in the record still stands
        release(t)
        return status
    while status == GO_ON and t.depth > 0:
        status = leaf_step(t) if t.depth == t.rules.max_size - 1 else inner_step(t)
    if status != NO_MEMORY:
        status = leave(t, status)
    release(t)
    return status


cdef void begin(Turn *t) noexcept nogil:
    """Visit the starter alone, or set up its frame again."""
    cdef Frame *first = &t.frames[1]
    cdef int32_t v = t.starter.variation_idx, i
    cdef int64_t n_part = t.natural.stride
    cdef const uint64_t *row = mp2_row(&t.natural, v)
    cdef uint64_t any_buy = 0
    if t.starter.attempts == 0:
        t.starter.attempts = 1
    for i in range(n_part):
        any_buy |= row[i]
        first.state[i] = row[i] if t.mixed else row[i] & t.wins[i]
        first.state[n_part + i] = (t.natural.win_rows + (row - t.natural.rows))[i] if t.mixed else row[i] & ~t.wins[i]
    t.depth = 1 if any_buy else 0
    first.member, first.next = v, t.next_algo[v]
    first.n_candidates = t.n_variations - first.next
    for i in range(first.n_candidates):
        t.all_candidates[i] = first.next + i
    first.candidates = t.all_candidates
    first.scanned = first.at = 0


cdef int rebuild_path(Turn *t) noexcept nogil:
    """Bring the frames back to where an earlier turn left its cursor; nothing is counted."""
    cdef Frame *frame
    cdef int32_t level, depth = t.starter.depth
    cdef int status
    t.rebuilding = 1
    for level in range(1, depth + 1):
        frame = &t.frames[level]
        frame.next = t.starter.cursor[level - 1]
        # The last frame had been scanned before if its cursor has moved; a leaf frame is scanned block by block.
        if level == depth and (level == t.rules.max_size - 1 or frame.next == t.next_algo[frame.member]):
            break
        status = scan(t, level)
        if status != GO_ON:
            return status
        if level < depth:
            push(t, level, frame.next - 1)
    t.rebuilding = 0
    return GO_ON


cdef int leave(Turn *t, int status) noexcept nogil:
    """Write the cursor back. A position with no visit left is exhausted, whatever ended the turn."""
    cdef int32_t level
    while t.depth > 0 and t.frames[t.depth].next == t.n_variations:
        t.depth -= 1
    for level in range(MAX_SIZE):
        t.starter.cursor[level] = t.frames[level + 1].next if level < t.depth else 0
    t.starter.depth = t.depth
    t.starter.exhausted = t.depth == 0
    mp2_store(t.published_attempts, t.starter.attempts - t.attempts_at_start)
    return DONE if t.depth == 0 else status


cdef int inner_step(Turn *t) noexcept nogil:
    """Visit the next child that survives, and step into it; or go back up."""
    cdef Frame *frame = &t.frames[t.depth]
    cdef int32_t v, size = t.depth + 1
    cdef int status
    if not frame.scanned:
        if frame.next < t.n_variations and t.starter.attempts == t.max_attempts:
            return AT_WORK_LIMIT
        status = scan(t, t.depth)
        if status != GO_ON:
            return status
    while frame.at < frame.n_passing and frame.passing[frame.at] < frame.next:
        frame.at += 1
    if frame.at == frame.n_passing:
        if not count_up_to(t, frame, t.n_variations):
            return AT_WORK_LIMIT
        t.depth -= 1
        return GO_ON
    v = frame.passing[frame.at]
    if not count_up_to(t, frame, v + 1):
        return AT_WORK_LIMIT
    t.starter.tested[size] += 1
    if t.retained[size] and (t.mixed or t.loops.within_cap(&t.table, frame.state, loss_part(t, frame.state), &v, 1, t.block)):
        if not evaluate(t, frame, v, size):
            return NO_MEMORY
    push(t, t.depth, v)
    return spend(t, 2 * t.table.stride + 16)


cdef int leaf_step(Turn *t) noexcept nogil:
    """Visit a block of children of the last but one size: they have no children of their own."""
    cdef Frame *frame = &t.frames[t.depth]
    cdef int32_t size = t.depth + 1, n, n_pass = 0, n_scored = 0, i, ignored = 0
    cdef int32_t *scored
    while frame.at < frame.n_candidates and frame.candidates[frame.at] < frame.next:
        frame.at += 1
    n = min(frame.n_candidates - frame.at, block_size(t))
    n = within_limit(t, frame, n)
    if n > 0:
        n_pass = survivors(t, frame, frame.candidates + frame.at, n, t.block, t.block_capped, &ignored)
        t.starter.n_rows_scanned += n
        t.starter.tested[size] += n_pass
        if t.retained[size]:
            scored, n_scored = t.block, n_pass
            if not t.mixed:
                scored = t.block_capped
                n_scored = t.loops.within_cap(&t.table, frame.state, loss_part(t, frame.state), t.block, n_pass, t.block_capped)
            for i in range(n_scored):
                if not evaluate(t, frame, scored[i], size):
                    return NO_MEMORY
        frame.at += n
        count_up_to(t, frame, frame.candidates[frame.at - 1] + 1)
        if frame.at < frame.n_candidates:
            return spend(t, n * t.table.stride + n_scored * scoring_words(t))
    if not count_up_to(t, frame, t.n_variations if frame.at == frame.n_candidates else frame.candidates[frame.at] + 1):
        return AT_WORK_LIMIT
    t.depth -= 1
    return spend(t, n * t.table.stride + n_scored * scoring_words(t) + 16)


cdef int scan(Turn *t, int32_t level) noexcept nogil:
    """Find a frame's survivors, block by block. Stopped half-way, the frame stays unscanned and nothing was counted."""
    cdef Frame *frame = &t.frames[level]
    cdef int32_t at = 0, n, n_living = 0
    cdef int status
    frame.n_passing = frame.n_handed_down = 0
    while at < frame.n_candidates:
        n = min(frame.n_candidates - at, block_size(t))
        frame.n_passing += survivors(
            t, frame, frame.candidates + at, n, frame.passing + frame.n_passing, frame.handed_down + frame.n_handed_down, &n_living
        )
        frame.n_handed_down = frame.n_handed_down + n_living if t.mixed else frame.n_passing
        at += n
        status = spend(t, n * t.table.stride)
        if status != GO_ON:
            t.starter.n_rows_rescanned += at
            return status
    frame.scanned, frame.at = 1, 0
    status = project(t) if level == 1 and not t.mixed else GO_ON
    if t.rebuilding or status != GO_ON:
        t.starter.n_rows_rescanned += frame.n_candidates
    else:
        t.starter.n_rows_scanned += frame.n_candidates
    return status


cdef inline int32_t survivors(
    Turn *t, Frame *frame, const int32_t *candidates, int32_t n, int32_t *passing, int32_t *living, int32_t *n_living
) noexcept nogil:
    """Candidates whose visit does not return at once; on an inconsistent panel also those with any consensus left."""
    if t.mixed:
        return t.loops.pass_mixed(&t.table, frame.state, loss_part(t, frame.state), candidates, n, passing, living, n_living)
    if t.table.floor > 0:
        return t.loops.pass_floor(&t.table, frame.state, candidates, n, passing)
    return t.loops.pass_any(&t.table, frame.state, loss_part(t, frame.state), candidates, n, passing)


cdef void push(Turn *t, int32_t level, int32_t v) noexcept nogil:
    """Make the frame of the group one larger: the consensus with `v`, and the candidates of later algorithms."""
    cdef Frame *above = &t.frames[level]
    cdef Frame *frame = &t.frames[level + 1]
    cdef int32_t first
    join(t, above.state, v, frame.state)
    frame.member, frame.next = v, t.next_algo[v]
    first = lower_bound(above.handed_down, above.n_handed_down, frame.next)
    frame.candidates = above.handed_down + first
    frame.n_candidates = above.n_handed_down - first
    frame.scanned = frame.at = 0
    t.depth = level + 1


cdef void join(Turn *t, const uint64_t *state, int32_t v, uint64_t *out) noexcept nogil:
    cdef const uint64_t *row = mp2_row(&t.table, v)
    cdef const uint64_t *win_row
    cdef int32_t i, n_win = t.table.win_start[t.table.n_days], n_loss = t.table.loss_start[t.table.n_days]
    for i in range(n_win):
        out[i] = state[i] & row[i]
    if t.mixed:
        win_row = t.table.win_rows + (row - t.table.rows)
        for i in range(n_win):
            out[n_win + i] = state[n_win + i] | win_row[i]
        return
    for i in range(n_loss):
        out[n_win + i] = state[n_win + i] & row[t.table.loss_at + i]


cdef int project(Turn *t) noexcept nogil:
    """Squeeze the starter's survivors onto the tickers it buys, winners before losers; a no-op where that takes too much."""
    cdef int32_t D = t.natural.n_days, W = t.n_words, i, first = t.frames[1].next if t.frames[1].n_passing == 0 else t.frames[1].passing[0]
    cdef int32_t *win_start = t.starts + 3 * D + 2
    cdef int32_t *loss_start = win_start + D + 1
    cdef int32_t *day_order = loss_start + D + 1
    cdef Frame *top = &t.frames[1]
    cdef uint64_t *out
    cdef int64_t n_bytes, n_part = t.natural.stride
    cdef int status
    lay_out(top.state, D, W, win_start)
    lay_out(top.state + n_part, D, W, loss_start)
    t.table.stride = win_start[D] + loss_start[D]
    n_bytes = ((t.n_variations - first + 1) * t.table.stride + 1) * sizeof(uint64_t)
    if n_bytes > max_table_bytes or t.table.stride >= 2 * n_part or top.n_passing == 0:
        t.table = t.natural
        return GO_ON
    t.projection = <uint64_t *>calloc(n_bytes, 1)
    if t.projection == NULL:
        return NO_MEMORY
    order_days(t, win_start, day_order)
    memcpy(t.masks, top.state, 2 * n_part * sizeof(uint64_t))
    for i in range(2 * n_part):
        mp2_compress_moves(t.masks[i], t.moves + 6 * i)
    for i in range(top.n_passing + 1):                # the starter's own row goes first, into the slot before its survivors
        out = t.projection + (0 if i == 0 else (top.passing[i - 1] - first + 1) * t.table.stride)
        project_row(t, mp2_row(&t.natural, top.member if i == 0 else top.passing[i - 1]), win_start, loss_start, out)
        status = spend(t, 12 * n_part)
        if status != GO_ON:
            top.scanned = 0
            t.table = t.natural
            free(t.projection)
            t.projection = NULL
            return status
    memcpy(top.state, t.projection, t.table.stride * sizeof(uint64_t))
    t.table.rows = t.projection + t.table.stride
    t.table.first = first
    t.table.loss_at = win_start[D]
    t.table.win_start, t.table.loss_start, t.table.day_order = win_start, loss_start, day_order
    return GO_ON


cdef void project_row(Turn *t, const uint64_t *row, const int32_t *win_start, const int32_t *loss_start, uint64_t *out) noexcept nogil:
    cdef int64_t n_part = t.natural.stride
    t.loops.project(row, t.masks, t.moves, t.natural.n_days, t.n_words, win_start, out)
    t.loops.project(row, t.masks + n_part, t.moves + 6 * n_part, t.natural.n_days, t.n_words, loss_start, out + win_start[t.natural.n_days])


cdef void lay_out(const uint64_t *mask, int32_t n_days, int32_t n_words, int32_t *start) noexcept nogil:
    """First word of each day when only the bits of `mask` are kept."""
    cdef int32_t day
    start[0] = 0
    for day in range(n_days):
        start[day + 1] = start[day] + (mp2_count_and(mask + day * n_words, mask + day * n_words, n_words, 0) + 63) // 64


cdef void order_days(Turn *t, const int32_t *win_start, int32_t *order) noexcept nogil:
    """Days by ascending number of the starter's winners: the fewest fail a candidate soonest."""
    cdef int32_t D = t.natural.n_days, W = t.n_words, i, j, day
    cdef const uint64_t *win = t.frames[1].state
    for i in range(D):
        t.hits[i] = mp2_count_and(win + i * W, win + i * W, W, 0)
        j = i
        while j > 0 and t.hits[order[j - 1]] > t.hits[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


cdef inline bint count_up_to(Turn *t, Frame *frame, int32_t end) noexcept nogil:
    """Count the visits before variation `end` in this frame. False when the work limit ends the turn between them."""
    cdef int64_t n = end - frame.next, room = t.max_attempts - t.starter.attempts
    if t.max_attempts and n > room:
        frame.next += <int32_t>room
        t.starter.attempts += room
        return False
    t.starter.attempts += n
    frame.next = end
    return True


cdef inline int32_t within_limit(Turn *t, Frame *frame, int32_t n) noexcept nogil:
    """How many of the next `n` candidates the work limit lets us visit."""
    cdef int64_t room = t.max_attempts - t.starter.attempts
    while t.max_attempts and n > 0 and frame.candidates[frame.at + n - 1] - frame.next >= room:
        n -= 1
    return n


cdef inline int spend(Turn *t, int64_t words) noexcept nogil:
    t.credit -= words
    return GO_ON if t.credit > 0 else check(t)


cdef int check(Turn *t) noexcept nogil:
    """Look at the stop flag, the wall and, once the turn has got on, its deadline."""
    cdef int64_t now
    t.credit = CHECK_WORDS
    mp2_store(t.published_attempts, t.starter.attempts - t.attempts_at_start)
    if mp2_load(t.stop):
        return AT_STOP
    now = mp2_now_ns()
    if now >= mp2_load(t.wall_ns):
        return AT_WALL
    if t.starter.attempts > t.attempts_at_start and now >= mp2_load(t.deadline_ns):
        return AT_LIMIT
    return OVERFLOWED if t.starter.attempts > MAX_ATTEMPTS else GO_ON


cdef inline int32_t block_size(Turn *t) noexcept nogil:
    """Candidates of one block: neither scanning nor scoring all of them takes much longer than `CHECK_WORDS` of work."""
    return <int32_t>max(1, min(MAX_BLOCK, CHECK_WORDS // (t.table.stride + scoring_words(t))))


cdef inline int64_t scoring_words(Turn *t) noexcept nogil:
    """Work of scoring one group, as words: what it takes beyond its rows grows with the number of days."""
    return 8 * <int64_t>t.natural.n_days


cdef inline const uint64_t *loss_part(Turn *t, const uint64_t *state) noexcept nogil:
    return state + t.table.win_start[t.table.n_days]


cdef int32_t lower_bound(const int32_t *values, int32_t n, int32_t wanted) noexcept nogil:
    cdef int32_t low = 0, high = n, middle
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


# ---------------------------------------------------------------------------------------------------------------------
# Score, eligibility and retention of one group: section 4 and 5 of the specification, in date order as written there.


cdef bint evaluate(Turn *t, Frame *frame, int32_t v, int32_t size) noexcept nogil:
    """Score the group of `frame` and `v`, and keep it if it is eligible. False when memory ran out."""
    cdef StarterState *s = t.starter
    cdef double score, delta
    cdef Entry entry
    cdef int32_t k
    count_days(t, frame, v)
    if not score_if_eligible(t, size, v, &score):
        return True
    s.eligible[size] += 1
    delta = score - s.score_mean[size]
    s.score_mean[size] += delta / <double>s.eligible[size]
    s.score_m2[size] += delta * (score - s.score_mean[size])
    entry.score = score
    for k in range(MAX_SIZE):
        entry.members[k] = t.frames[k + 1].member if k < size - 1 else (v if k == size - 1 else 0)
    offer(&t.heaps[size], &entry)
    return not t.heaps[size].failed


cdef void count_days(Turn *t, Frame *frame, int32_t v) noexcept nogil:
    """Hits and buys of the group of `frame` and `v` on every day, into the scratch of the turn."""
    cdef mp2_rows *table = &t.table
    cdef const uint64_t *row = mp2_row(table, v)
    cdef const uint64_t *second = loss_part(t, frame.state)
    cdef const uint64_t *win_row
    cdef uint64_t both
    cdef int32_t day, i, start, n
    for day in range(table.n_days):
        start, n = table.win_start[day], table.win_start[day + 1] - table.win_start[day]
        if t.mixed:
            win_row = table.win_rows + (row - table.rows)
            t.hits[day] = t.buys[day] = 0
            for i in range(start, start + n):
                both = frame.state[i] & row[i]
                t.buys[day] += mp2_count(both, 0)
                t.hits[day] += mp2_count(both & (second[i] | win_row[i]), 0)
            continue
        t.hits[day] = mp2_count_and(frame.state + start, row + start, n, 0)
        start, n = table.loss_start[day], table.loss_start[day + 1] - table.loss_start[day]
        t.buys[day] = t.hits[day] + mp2_count_and(second + start, row + table.loss_at + start, n, 0)


@cython.cdivision(True)
cdef bint score_if_eligible(Turn *t, int32_t size, int32_t v, double *score) noexcept nogil:
    cdef const Constants *r = t.rules
    cdef int32_t D = t.natural.n_days, d, most_buys = 0, n_active = 0
    cdef int64_t hits = 0, buys = 0
    cdef double weighted = 0.0, sum_pp = 0.0, mad = 0.0, deviation = 0.0, x
    cdef double pooled, median, second_worst, iqr, mean_buys, cv, wilson, slope, repeat, mean_active
    for d in range(D):
        hits += t.hits[d]
        buys += t.buys[d]
        most_buys = max(most_buys, t.buys[d])
        n_active += t.buys[d] > 0
        t.pp[d] = (100.0 * t.hits[d]) / t.buys[d] if t.buys[d] > 0 else 0.0
        weighted += t.pp[d] * t.day_weights[d]
        sum_pp += t.pp[d]
    pooled = (100.0 * <double>hits) / <double>max(1, buys)
    if most_buys > r.max_daily_buys or not pooled >= r.min_pooled_pp:
        return False
    sort_days(t.pp, t.sorted_pp, D)
    median = (t.sorted_pp[(D - 1) // 2] + t.sorted_pp[D // 2]) / 2.0
    second_worst = t.sorted_pp[1] if D > 1 else t.sorted_pp[0]
    iqr = quantile(t.sorted_pp, D, 0.75) - quantile(t.sorted_pp, D, 0.25)
    for d in range(D):
        mad += fabs(t.pp[d] - median)
    mad /= D
    mean_buys = <double>buys / D
    cv = 0.0
    if n_active >= 2:
        mean_active = <double>buys / n_active
        for d in range(D):
            if t.buys[d] > 0:
                x = t.buys[d] - mean_active
                deviation += x * x
        cv = sqrt(deviation / (n_active - 1)) / mean_buys
    wilson = wilson_lower_bound(<double>hits, <double>buys, r.wilson_z)
    if not (mad <= r.max_mad_pp and iqr <= r.max_iqr_pp and cv <= r.max_cv_buys and wilson >= r.min_wilson_lb):
        return False
    slope = least_squares_slope(t.pp, D, sum_pp / D)
    repeat = <double>buys / <double>max(1, n_tickers_of_any_day(t, size, v))
    score[0] = combine(r, weighted / D, median, second_worst, wilson, mean_buys, most_buys, mad, iqr, cv, slope, repeat)
    return True


cdef double combine(
    const Constants *r, double weighted, double median, double second_worst, double wilson, double mean_buys, double most_buys,
    double mad, double iqr, double cv, double slope, double repeat
) noexcept nogil:
    cdef double crowd = max(0.0, most_buys - r.crowding_cap), again = max(0.0, repeat - r.repeat_tolerance)
    cdef double profit_base = r.weighted_pp_weight * weighted + r.median_pp_weight * median + r.second_worst_pp_weight * second_worst
    cdef double stability_penalty = (
        r.mad_weight * mad + r.iqr_weight * iqr + r.cv_weight * cv + r.falling_weight * max(0.0, -slope)
    )
    cdef double coverage = (
        r.coverage_log_weight * log(1.0 + min(mean_buys, r.coverage_cap)) + sweet_spot(r, mean_buys)
        - r.coverage_excess_weight * max(0.0, mean_buys - r.coverage_cap) - r.crowding_weight * (crowd * crowd)
    )
    return (
        profit_base + r.wilson_weight * wilson + coverage + r.rising_weight * max(0.0, slope)
        - stability_penalty - r.repeat_weight * (again * again)
    )


cdef double sweet_spot(const Constants *r, double mean_buys) noexcept nogil:
    if mean_buys <= 0.0:
        return r.sweet_empty
    if mean_buys < r.sweet_low:
        return -r.sweet_low_slope * (r.sweet_low - mean_buys)
    if mean_buys <= r.sweet_peak:
        return r.sweet_slope * (mean_buys - r.sweet_low)
    if mean_buys <= r.sweet_high:
        return r.sweet_slope * (r.sweet_high - mean_buys)
    return -r.sweet_high_slope * (mean_buys - r.sweet_high)


@cython.cdivision(True)
cdef double wilson_lower_bound(double hits, double n, double z) noexcept nogil:
    """Lower end of the score interval for a proportion, in percent (Wilson 1927)."""
    cdef double p, square = z * z
    if n <= 0.0:
        return 0.0
    p = hits / n
    return 100.0 * (p + square / (2.0 * n) - z * sqrt((p * (1.0 - p) + square / (4.0 * n)) / n)) / (1.0 + square / n)


@cython.cdivision(True)
cdef double least_squares_slope(const double *values, int32_t n, double mean) noexcept nogil:
    """Slope of `values` on 1..n; 0 for a single one."""
    cdef double middle = (n + 1) / 2.0, above = 0.0, below = 0.0
    cdef int32_t i
    for i in range(n):
        above += (i + 1 - middle) * (values[i] - mean)
        below += (i + 1 - middle) * (i + 1 - middle)
    return above / below if n > 1 else 0.0


cdef void sort_days(const double *values, double *out, int32_t n) noexcept nogil:
    """Shell sort with gaps 1, 4, 13, ... (Knuth): plain insertion for a week, still fast for years of days."""
    cdef int32_t i, j, gap = 1
    cdef double value
    memcpy(out, values, n * sizeof(double))
    while gap < n // 9:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            value, j = out[i], i
            while j >= gap and out[j - gap] > value:
                out[j] = out[j - gap]
                j -= gap
            out[j] = value
        gap //= 3


cdef double quantile(const double *ascending, int32_t n, double q) noexcept nogil:
    """Quantile with linear interpolation, as numpy does by default."""
    cdef double position = q * (n - 1)
    cdef int32_t low = <int32_t>floor(position), high = min(low + 1, n - 1)
    cdef double share = position - low, step = ascending[high] - ascending[low]
    return ascending[high] - step * (1.0 - share) if share >= 0.5 else ascending[low] + step * share


cdef int64_t n_tickers_of_any_day(Turn *t, int32_t size, int32_t v) noexcept nogil:
    """Size of the union over days of the consensus; days share tickers only in the panel's own layout."""
    cdef int32_t D = t.natural.n_days, W = t.n_words, day, word, k
    cdef uint64_t both
    cdef int64_t total = 0
    for word in range(W):
        t.union_words[word] = 0
    for day in range(D):
        for word in range(W):
            both = mp2_row(&t.natural, v)[day * W + word]
            for k in range(1, size):
                both &= mp2_row(&t.natural, t.frames[k].member)[day * W + word]
            t.union_words[word] |= both
    for word in range(W):
        total += mp2_count(t.union_words[word], 0)
    return total


cdef inline int64_t sortable(double value) noexcept nogil:
    """The bits of a double as an integer of the same order, so that a threshold can be raised atomically."""
    cdef int64_t bits
    value += 0.0                                 # -0.0, which compares equal, gets the bits of 0.0
    memcpy(&bits, &value, sizeof(bits))
    return bits ^ INT64_MAX if bits < 0 else bits


cdef inline bint better(const Entry *a, const Entry *b) noexcept nogil:
    cdef int32_t k
    if a.score != b.score:
        return a.score > b.score
    for k in range(MAX_SIZE):
        if a.members[k] != b.members[k]:
            return a.members[k] < b.members[k]
    return False


cdef void offer(Heap *heap, const Entry *entry) noexcept nogil:
    """Keep an entry if it is among the best `top_k`; a full heap gives up its worst."""
    if sortable(entry.score) < mp2_load(heap.shared):
        return
    if heap.n == heap.top_k:
        if better(entry, &heap.entries[0]):
            sift_down(heap, entry)
        return
    if heap.n == heap.capacity and not grow(heap):
        heap.failed = 1
        return
    heap.n += 1
    sift_up(heap, entry)


cdef bint grow(Heap *heap) noexcept nogil:
    cdef int64_t capacity = min(heap.top_k, max(64, 2 * heap.capacity))
    cdef Entry *entries = <Entry *>realloc(heap.entries, capacity * sizeof(Entry))
    if entries == NULL:
        return False
    heap.entries, heap.capacity = entries, capacity
    return True


cdef void sift_up(Heap *heap, const Entry *entry) noexcept nogil:
    cdef int64_t i = heap.n - 1, parent
    while i > 0:
        parent = (i - 1) // 2
        if not better(&heap.entries[parent], entry):
            break
        heap.entries[i] = heap.entries[parent]
        i = parent
    heap.entries[i] = entry[0]


cdef void sift_down(Heap *heap, const Entry *entry) noexcept nogil:
    cdef int64_t i = 0, child
    while 2 * i + 1 < heap.n:
        child = 2 * i + 1
        if child + 1 < heap.n and better(&heap.entries[child], &heap.entries[child + 1]):
            child += 1
        if not better(entry, &heap.entries[child]):
            break
        heap.entries[i] = heap.entries[child]
        i = child
    heap.entries[i] = entry[0]


# ---------------------------------------------------------------------------------------------------------------------
# Memory of one turn: taken at its start, given back at its end.


cdef bint allocate(Turn *t) noexcept nogil:
    cdef int32_t D = t.natural.n_days, V = t.n_variations, level
    cdef int64_t n_state = 2 * t.natural.stride
    t.projection = NULL
    t.rebuilding = t.depth = 0
    t.all_candidates = <int32_t *>malloc((V + 1) * sizeof(int32_t))
    t.block = <int32_t *>malloc(2 * MAX_BLOCK * sizeof(int32_t))
    t.union_words = <uint64_t *>malloc(t.n_words * sizeof(uint64_t))
    t.moves = <uint64_t *>malloc(6 * n_state * sizeof(uint64_t))
    t.masks = <uint64_t *>malloc(n_state * sizeof(uint64_t))
    t.starts = <int32_t *>malloc((6 * D + 4) * sizeof(int32_t))
    t.hits = <int32_t *>malloc(2 * D * sizeof(int32_t))
    t.pp = <double *>malloc(2 * D * sizeof(double))
    cdef bint whole = not (
        t.all_candidates == NULL or t.block == NULL or t.union_words == NULL or t.moves == NULL or t.masks == NULL
        or t.starts == NULL or t.hits == NULL or t.pp == NULL
    )
    for level in range(MAX_SIZE + 1):
        t.frames[level].passing = t.frames[level].handed_down = NULL
        t.frames[level].state = NULL
    for level in range(1, t.rules.max_size):
        t.frames[level].state = <uint64_t *>malloc((n_state + 1) * sizeof(uint64_t))
        t.frames[level].passing = <int32_t *>malloc((V + 1) * sizeof(int32_t))
        t.frames[level].handed_down = <int32_t *>malloc((V + 1) * sizeof(int32_t)) if t.mixed else t.frames[level].passing
        whole = whole and t.frames[level].state != NULL and t.frames[level].passing != NULL and t.frames[level].handed_down != NULL
    if whole:
        t.block_capped, t.buys, t.sorted_pp = t.block + MAX_BLOCK, t.hits + D, t.pp + D
        describe_natural(t)
    return whole


cdef void describe_natural(Turn *t) noexcept nogil:
    cdef int32_t D = t.natural.n_days, day
    for day in range(D + 1):
        t.starts[day] = t.starts[D + 1 + day] = day * t.n_words
    for day in range(D):
        t.starts[2 * D + 2 + day] = day
    t.natural.win_start, t.natural.loss_start, t.natural.day_order = t.starts, t.starts + D + 1, t.starts + 2 * D + 2
    t.table = t.natural


cdef void release(Turn *t) noexcept nogil:
    cdef int32_t level
    for level in range(MAX_SIZE + 1):
        if t.frames[level].handed_down != t.frames[level].passing:
            free(t.frames[level].handed_down)
        free(t.frames[level].passing)
        free(t.frames[level].state)
    free(t.all_candidates)
    free(t.block)
    free(t.union_words)
    free(t.moves)
    free(t.masks)
    free(t.starts)
    free(t.hits)
    free(t.pp)
    free(t.projection)


use_simd(os.environ.get("MP2_SIMD") or simd_available()[-1])
