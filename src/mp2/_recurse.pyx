# cython: language_level=3, freethreading_compatible=True
"""The search kernel: depth-first recursion over groups of variations, on bitsets, without the GIL.

Top-down, in three tiers: `Kernel.run` checks and allocates with the GIL; `run_turn` and what it calls are the recursion,
without it; `_scan.h` holds the innermost loops over candidates, `_score.pxd` the score of one group, `_top.pxd` the heap.

How the recursion of the specification is walked:

- A *frame* per level holds the group of that size: its consensus, and the candidates that may still join. Children are
  visited in order of variation number, so a cursor (the next number to visit at each level) says all about a position.
- Visits that return at once cost nothing but a scan: one pass over a frame's candidates finds those that survive, and the
  others are counted by subtracting variation numbers. On a consistent panel hits can only fall as a group grows, so the
  survivors alone are handed down as the children's candidates (the tail lists of Eclat); on an inconsistent one
  hits may rise again, so only candidates with too few buys are dropped and the floor is looked at anew.
- The last three levels of a consistent panel, where nearly all groups are, are walked in blocks of 64 candidates. The group
  above them is the *base*; below it come a second member v, a third x and the candidates y:

      base (max_size - 3 members) -> v: pair_step goes through its x -> x: visit_children decides all its y at once

  The rows of the base's candidates are squeezed onto the tickers it buys. A *row of counts* per v holds, for every later
  candidate y, a bit whether B v y passes and bounds of its hits and buys. The rows of v and x bound the counts of B v x y
  from below (`_scan.h` has the formulas), so that most y are known to pass, or known to be above the cap, uncounted.
  With max_size 3 the starter is base and pair in one. Rows are counted when they are first needed and kept as far as memory
  reaches; a row that is not kept is counted for its own v only, and x then gives one bound instead of three.
- Candidates with equal rows below the base lead to equal subtrees. What the first of them found is remembered (`Memo`) and
  told again for the others, in the order in which they would have been visited.
- Every `CHECK_WORDS` words of work the stop flag, the wall and the deadline are looked at. On a busy machine a thread is put
  aside for longer than that; what that took once it may take again, so the wall counts as reached that much before (at most
  `max_early_ns`): a sleeping thread is woken on time, a working one waits for its share. A turn that ends there leaves
  its cursor and counters in the starter's record and can be taken up by any thread. The deadline ends a turn only after it
  has got on, so that the shortest turn makes progress. Where setting up takes long, a turn without the time for it *walks*
  on from the cursor, candidate by candidate and without tables: slower, but on time.
"""

import os

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

from mp2.errors import InputError
from mp2.groups.rules import COUNTS, PRUNINGS

from mp2._score cimport Constants, Days, Statistics, is_eligible, score_of
from mp2._top cimport MAX_SIZE, Entry, Heap, offer, sortable

cdef extern from "_portable.h" nogil:
    int64_t mp2_now_ns()
    int64_t mp2_load(int64_t *cell)
    void mp2_store(int64_t *cell, int64_t value)
    int64_t mp2_add(int64_t *cell, int64_t value)
    void mp2_raise(int64_t *cell, int64_t value)
    enum:
        MP2_CHECKED

cdef extern from "_scan.h" nogil:
    struct mp2_panel:
        const uint64_t *rows
        const uint64_t *win_rows
        int64_t row_words
        int32_t first
        int32_t n_days
        int32_t n_words
        int32_t day_step
        int32_t word_step
        int32_t floor
        int32_t cap
    struct mp2_base:
        const uint64_t *rows
        const uint64_t *columns
        const uint8_t *upper
        const uint8_t *need
        const uint8_t *shift
        int32_t n_blocks
        int32_t n_days
        int32_t n_lanes
        int32_t n_win_chunks
        int32_t n_loss_chunks
        int32_t floor
        int32_t n_tests
        int32_t bounded
        int32_t capped
    struct mp2_pair:
        const uint64_t *words
        const uint64_t *tails
        const uint8_t *counts
        const uint8_t *low
        const uint8_t *limit
    struct mp2_triple:
        const mp2_pair *pair
        const uint64_t *row
        const uint64_t *passing_x
        const uint64_t *within
        const uint64_t *surely
        const uint64_t *above
        uint64_t *keep_passed
        uint64_t *keep_above
        const uint8_t *counts_x
        const uint8_t *limit_x
        uint8_t *need_v
        uint8_t *need_x
        uint64_t *wins
        int32_t x
        int32_t first
        int32_t end
        int32_t cap_first
    struct mp2_loops:
        const char *name
        int32_t (*pass_floor)(const mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *) noexcept nogil
        int32_t (*pass_any)(const mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *) noexcept nogil
        int32_t (*within_cap)(const mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *) noexcept nogil
        void (*pass_mixed)(
            const mp2_panel *, const uint64_t *, const int32_t *, int32_t, int32_t *, int32_t *, int32_t *, int32_t *
        ) noexcept nogil
        uint64_t (*count_block)(const mp2_base *, const uint64_t *, int32_t, uint64_t, int32_t, uint8_t *) noexcept nogil
        void (*turn_row)(const mp2_base *, const uint8_t *, int32_t, uint8_t *) noexcept nogil
        int32_t (*open_triple)(const mp2_base *, const mp2_triple *, uint64_t *) noexcept nogil
        int64_t (*settle_hits)(const mp2_base *, const mp2_triple *, uint64_t *, uint64_t *, int64_t *) noexcept nogil
        int32_t (*maybe_within_cap)(const mp2_base *, const mp2_triple *, uint64_t *) noexcept nogil
        void (*count_days)(const mp2_base *, const uint64_t *, const uint64_t *, int32_t *, int32_t *) noexcept nogil
    enum:
        MP2_MAX_LANES
    int32_t mp2_count(uint64_t word)
    int32_t mp2_lowest_bit(uint64_t word)
    void mp2_compress_moves(uint64_t mask, uint64_t *moves)
    void mp2_project(
        const uint64_t *, const uint64_t *, const uint64_t *, int32_t, int32_t, const int32_t *, int32_t, uint64_t *
    )
    void mp2_transpose(uint64_t *words)
    const mp2_loops *mp2_find_loops(const char *name)

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
CHECK_WORDS = 65536
cdef int64_t check_words = CHECK_WORDS
# A leaf block of the general loops is at most this many candidates, so that scoring a whole block of eligible groups stays
# short as well.
cdef int32_t MAX_BLOCK = 1024
# Memory of a running starter beside its lists, unless the kernel is given another: half of it for rows of counts, a quarter
# for squeezed rows, a quarter for masks. Bases whose rows do not fit are searched by the general loops.
TURN_BYTES = 48 << 20
# Eligible groups remembered for equal candidates; more than this are found again.
MAX_LOG = 1 << 13
cdef int64_t max_log = MAX_LOG
# Tables that take fewer words of work than this are set up whatever time is left: a millisecond at most.
MIN_LATE_WORDS = 500_000
cdef int64_t min_late_words = MIN_LATE_WORDS
# How many earlier candidates are tried for one that contains, or is contained in, a candidate's tickers.
cdef int32_t MAX_LOOK_BACK = 200
# Counters are 64-bit within a starter; a turn that comes near the end of their range fails instead of wrapping.
cdef int64_t MAX_ATTEMPTS = <int64_t>1 << 62


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


cdef struct Frame:
    # The group of one size on the current path, and its candidates. Below a usable base only member, next, scanned, fresh and
    # `at` of a pair are kept, and member and next of a triple.
    int32_t member               # the variation that made this group out of the one above
    int32_t next                 # the next variation number to visit
    int32_t n_candidates
    int32_t n_passing
    int32_t n_handed_down
    int32_t at                   # index of the next survivor: in `passing`, in `candidates` (leaf), in the base's list (pair)
    int32_t scanned
    int32_t fresh                # entered in this turn: whatever it holds was found by this turn
    const int32_t *candidates    # a tail of the list the frame above hands down
    int32_t *passing             # candidates that survive the visit, ascending
    int32_t *handed_down         # candidates of the next level: `passing` itself where only survivors are handed down
    uint64_t *state              # consensus words: win | loss, or consensus | won on an inconsistent panel


cdef struct Buffer:
    # Memory kept from one base to the next, cache lines aligned.
    void *block
    uint8_t *bytes
    int64_t capacity


cdef struct Memo:
    # What the subtree of a candidate found, to be told again for an equal one.
    int64_t stamp                # of an x: the pair it belongs to; of a v: 1; 0: nothing is remembered
    int64_t attempts
    int64_t tested[2]            # of the last two sizes
    int64_t log_from             # its eligible groups in the log
    int64_t log_to


cdef struct Logged:
    Entry entry
    int32_t size


cdef struct Base:
    # The group three below the largest, and what all groups below it share; see the head of this file.
    mp2_base c
    int32_t tried                # for the frame at its level
    int32_t usable               # 0: the general loops take over
    int32_t n                    # candidates
    int32_t n_row_words
    int32_t n_row_bytes          # of a block in a row of counts
    const int32_t *candidates    # variation numbers
    int32_t *after               # [n]: index of the first candidate of a later algorithm
    int32_t *first_equal         # [n]: index of the first candidate with the same row, itself included
    int32_t *has_equal           # [n]: another one has the same row
    int32_t *wider               # [n]: an earlier candidate of the same algorithm whose tickers contain its own, or -1
    int32_t *narrower            # [n]: one whose tickers it contains, or -1
    uint64_t *passed             # [n][n_blocks]: what passed with the pair and an x; NULL: not kept
    uint64_t *above              # [n][n_blocks]: what was found to be above the cap with the pair and an x
    int64_t *passed_stamp        # [n]: the pair for which `passed` holds
    int64_t *above_stamp         # [n]: and `above`
    uint64_t *group              # its consensus in the layout of a row
    uint64_t *rows
    uint8_t *limit_of            # [n][limit_stride]: need + the bytes of `c.upper`, candidate by candidate
    int32_t limit_stride         # 2 D, padded to 16
    uint64_t **row               # [n]: a row of counts: n_blocks words of bits, then the counts; NULL: not kept
    uint8_t *ready               # [n]: it has been counted
    uint64_t *scratch_row        # of a v that is not kept
    Memo *memo_v                 # [n]
    Memo *memo_x                 # [n]
    int64_t stamp                # raised for every base and pair
    uint64_t *words              # scratch: a consensus in the layout of a row
    uint64_t *left               # scratch: candidates of a triple, [n_blocks] and slack
    uint64_t *doubt              # scratch: [2 n_blocks]
    uint64_t *ones               # [n_blocks]: all bits, for masks that are not there
    uint64_t *zeros              # [n_blocks]: and none
    int32_t *lane_of             # [D]
    uint8_t *need                # [2 D], like the next one
    uint8_t *shift
    int32_t *lane_hits           # [MP2_MAX_LANES], like the next one
    int32_t *lane_buys
    Buffer rows_buffer, count_buffer, index_buffer, table_buffer


cdef struct Pair:
    # The base with a second member v, or with max_size 3 the starter: its candidates are the x.
    mp2_pair c
    mp2_triple triple            # of the x that is looked at
    const uint64_t *passing      # bits of the candidates that pass with it
    int32_t v_idx                # in the base's list; -1 for the starter itself
    int32_t recording
    uint64_t *words
    uint8_t *low
    uint8_t *limit
    int64_t stamp
    int64_t attempts_before, log_from
    int64_t tested_before[2]


cdef struct Turn:
    # One turn of one starter: everything the recursion needs, as raw pointers.
    const Constants *rules
    const mp2_loops *loops
    StarterState *starter
    mp2_panel panel
    mp2_panel table              # what the general loops look at: the panel, or an inconsistent one's squeezed rows
    const uint64_t *wins         # [days, words] on a consistent panel
    const int32_t *next_algo     # [n_variations]: first variation number of the following algorithm
    int64_t *stop
    int64_t *deadline_ns
    int64_t *wall_ns
    int64_t *longest_pause_ns    # of any turn of this kernel between two looks at the clock
    int64_t *published_attempts
    int64_t max_attempts         # 0: no limit
    int64_t attempts_at_start
    int64_t credit               # words of work left before the next look at the clock
    int64_t looked_ns            # when it was looked at last; 0: not yet
    int64_t max_early_ns
    int64_t max_rows_bytes
    int64_t max_masks_bytes
    int64_t max_table_bytes
    int32_t n_variations
    int32_t n_part               # words of a row, and of either half of a state
    int32_t mixed                # the panel is inconsistent
    int32_t fast                 # tested[max_size] may be a lower bound
    int32_t use_tails            # candidates that fail with a subgroup are not looked at again
    int32_t use_equal            # equal candidates are searched once
    int32_t use_nested           # what passed with an x says something about narrower and wider ones
    int32_t use_hits_bound
    int32_t use_cap_bound
    int32_t base_depth           # size of the base; 0: the general loops do everything
    int32_t pair_depth
    int32_t rebuilding           # scans repeat work an earlier turn has done
    int32_t depth
    int32_t *all_candidates
    int32_t *block               # survivors of a leaf block
    int32_t *block_living
    int32_t *block_capped
    uint64_t *union_words        # [words of a day] scratch: tickers of the consensus of any day
    uint64_t *path_words         # [n_part] the consensus of the current path, in the panel's own layout
    int32_t path_ready           # `path_words` holds it
    Base base
    Pair pair
    Days days                    # of the group that is being evaluated
    Frame frames[MAX_SIZE + 1]   # frames[k] holds the group of size k
    Heap heaps[MAX_SIZE + 1]
    int32_t retained[MAX_SIZE + 1]
    Logged *log
    int64_t n_logged
    int32_t n_recording          # pairs and triples whose eligible groups go into the log
    int32_t log_overflowed


cdef int64_t n_threads_inside = 0
cdef int64_t most_words = 0
cdef int64_t n_threads_inside_peak = 0
cdef const mp2_loops *active_loops = NULL


# ---------------------------------------------------------------------------------------------------------------------
# Tier 1: what Python sees.


def now_ns():
    """The monotonic clock of kernel and scheduler, in nanoseconds; never compare it with another clock."""
    return mp2_now_ns()


def simd_available():
    """Names of the instruction sets this build and this machine can use, narrowest first."""
    return tuple(name for name in ("portable", "neon", "avx2", "avx512") if mp2_find_loops(name.encode()) != NULL)


def simd():
    """Name of the instruction set in use."""
    return active_loops.name.decode()


def use_simd(name):
    """Choose the instruction set of kernels run from now on. InputError when the machine does not have it."""
    global active_loops
    cdef const mp2_loops *found = mp2_find_loops(name.encode(errors="replace"))
    if found == NULL:
        raise InputError(f"MP2_SIMD={name!r} is not available here; choose one of {', '.join(simd_available())}")
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


def most_words_between_checks(reset=False):
    """Most words of work between two looks at stop flag and clock since the last reset, in any thread."""
    cdef int64_t most = mp2_load(&most_words)
    if reset:
        mp2_store(&most_words, 0)
    return most


def limits(check_words_=None, max_log_=None, min_late_words_=None):
    """For tests: look at the clock every so many words, remember so many eligible groups for equal candidates, set up
    tables of fewer words than the last number although the deadline comes first.

    Returns what was set before.
    """
    global check_words, max_log, min_late_words
    before = check_words, max_log, min_late_words
    check_words = check_words if check_words_ is None else check_words_
    max_log = max_log if max_log_ is None else max_log_
    min_late_words = min_late_words if min_late_words_ is None else min_late_words_
    return before


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

    def restore(self, scores, members):
        """Take over groups as `ranked` gave them. ValueError when the shapes do not belong together; MemoryError."""
        cdef const double[::1] scores_view = np.ascontiguousarray(scores, dtype=np.float64)
        cdef const int32_t[:, ::1] members_view = np.ascontiguousarray(members, dtype=np.int32)
        cdef TopGroups other = TopGroups(self.heap.size, self.heap.top_k)
        cdef Entry entry
        cdef int64_t i
        cdef int k
        if members_view.shape[0] != scores_view.shape[0] or members_view.shape[1] != self.heap.size:
            raise ValueError(f"scores{scores.shape} and members{members.shape} are not groups of {self.heap.size}")
        memset(&entry, 0, sizeof(entry))
        for i in range(scores_view.shape[0]):
            entry.score = scores_view[i]
            for k in range(self.heap.size):
                entry.members[k] = members_view[i, k]
            offer(&other.heap, &entry)
        if other.heap.failed:
            raise MemoryError("no memory for the kept groups; lower --top")
        self.merge(other)

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
    - `algo_of` int32[V]: never falling; `day_weights` float64[D]; `rules`: see `mp2.groups.rules.Rules`;
    - `count`: one of `mp2.groups.rules.COUNTS`; `without`: names of `mp2.groups.rules.PRUNINGS`;
    - `turn_bytes`: what a running starter may take beside its lists of candidates, about; less is slower, never wrong;
    - `max_early_ns`: a turn may end so long before the wall, when it was put aside for as long before.

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
    cdef int64_t turn_bytes, max_early_ns, pause_ns
    cdef bint mixed, fast, use_tails, use_equal, use_nested, use_hits_bound, use_cap_bound

    def __init__(
        self, buys, wins, algo_of, day_weights, rules, *, count="exact", without=frozenset(), turn_bytes=TURN_BYTES, max_early_ns=0
    ):
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
        self.turn_bytes, self.max_early_ns, self.pause_ns = turn_bytes, max_early_ns, 0
        self.fast = count == "fast"
        self.use_tails, self.use_equal = "tail_masks" not in without, "aliases" not in without
        self.use_nested = "nested" not in without
        self.use_hits_bound, self.use_cap_bound = "hits_bound" not in without, "cap_bound" not in without
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

    def note_pause(self, int64_t pause_ns):
        """A thread of this search was put aside for so long: see `max_early_ns`."""
        mp2_raise(&self.pause_ns, pause_ns)

    @property
    def longest_pause_ns(self):
        return mp2_load(&self.pause_ns)

    def would_end(self, Control control not None):
        """Whether a turn would end before it begins, at a stop or the wall."""
        cdef int64_t at_ns = mp2_now_ns() + min(mp2_load(&self.pause_ns), self.max_early_ns)
        return mp2_load(&control._stop) != 0 or at_ns >= mp2_load(&control._wall_ns)

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
        early_ns(&turn, mp2_now_ns())                # waiting for the GIL is a pause as well
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
        turn.panel.rows = &self.buys[0, 0, 0]
        turn.panel.win_rows = turn.wins = NULL
        if self.mixed:
            turn.panel.win_rows = &self.mixed_wins[0, 0, 0]
        else:
            turn.wins = &self.wins[0, 0]
        turn.panel.n_days, turn.panel.n_words, turn.n_part = self.n_days, self.n_words, self.n_days * self.n_words
        turn.panel.row_words, turn.panel.first = turn.n_part, 0
        turn.panel.day_step, turn.panel.word_step = self.n_words, 1
        turn.panel.floor, turn.panel.cap = self.rules.min_daily_hits, self.rules.max_daily_buys
        turn.next_algo = &self.next_algo[0]
        turn.days.n, turn.days.weights = self.n_days, &self.day_weights[0]
        turn.stop, turn.deadline_ns = &control._stop, &control._deadline_ns
        turn.wall_ns, turn.published_attempts = &control._wall_ns, &control._attempts
        turn.longest_pause_ns, turn.max_early_ns, turn.looked_ns = &self.pause_ns, self.max_early_ns, 0
        turn.max_attempts, turn.credit = max_attempts, check_words
        turn.n_variations, turn.mixed = self.n_variations, self.mixed
        turn.fast, turn.use_tails, turn.use_equal = self.fast, self.use_tails, self.use_equal
        turn.use_nested = self.use_nested
        turn.max_rows_bytes = turn.max_masks_bytes = self.turn_bytes // 4
        turn.max_table_bytes = self.turn_bytes // 2
        turn.use_hits_bound, turn.use_cap_bound = self.use_hits_bound, self.use_cap_bound
        turn.base_depth = turn.pair_depth = 0
        if not self.mixed and self.rules.max_size >= 3 and self.n_days <= MP2_MAX_LANES:
            turn.base_depth, turn.pair_depth = max(1, self.rules.max_size - 3), self.rules.max_size - 2
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
    if status != GO_ON and status != AT_LIMIT:   # stopped before it began: the record stands as it is
        return status
    status = GO_ON if allocate(t) else NO_MEMORY
    while status == GO_ON:
        begin(t)
        status = walk(t) if lacks_time_for(t, set_up_words(t)) else search(t)
        if status == AT_LIMIT and t.starter.attempts == t.attempts_at_start:
            status = GO_ON                       # it has not got on yet: by now it lacks the time and walks
    release(t)
    return status


cdef int search(Turn *t) noexcept nogil:
    """Go on from the cursor until the end of the turn. A turn that ends before it has got on leaves the record as it is."""
    cdef int status = rebuild_path(t)
    if status != GO_ON:
        return status
    while status == GO_ON and t.depth > 0:
        status = step(t)
    return status if status == NO_MEMORY else leave(t, status)


cdef int walk(Turn *t) noexcept nogil:
    """Go on from the cursor without any table, until the end of the turn or until there is time to set them up."""
    cdef int status = GO_ON
    walk_path(t)
    while status == GO_ON and t.depth > 0 and lacks_time_for(t, set_up_words(t)):
        status = walk_step(t)
    return status if status == NO_MEMORY else leave(t, status)


cdef void begin(Turn *t) noexcept nogil:
    """Visit the starter alone, or set up its frame again."""
    cdef Frame *first = &t.frames[1]
    cdef int32_t v = t.starter.variation_idx, i
    cdef const uint64_t *row = row_of(t, v)
    cdef uint64_t any_buy = 0
    t.base.tried = t.base.usable = 0
    first.fresh = t.starter.attempts == 0
    if t.starter.attempts == 0:
        t.starter.attempts = 1
    for i in range(t.n_part):
        any_buy |= row[i]
        first.state[i] = row[i] if t.mixed else row[i] & t.wins[i]
        first.state[t.n_part + i] = win_row_of(t, v)[i] if t.mixed else row[i] & ~t.wins[i]
    t.table = t.panel
    t.depth = 1 if any_buy else 0
    first.member, first.next = v, t.next_algo[v]
    first.n_candidates = t.n_variations - first.next
    for i in range(first.n_candidates):
        t.all_candidates[i] = first.next + i
    first.candidates = t.all_candidates
    first.scanned = first.at = first.n_handed_down = 0


cdef int rebuild_path(Turn *t) noexcept nogil:
    """Bring the frames back to where an earlier turn left its cursor; nothing is counted.

    A last frame whose cursor has not moved may never have been scanned: `step` does it, as new work.
    """
    cdef Frame *frame
    cdef int32_t level, depth = t.starter.depth
    cdef int status
    t.rebuilding = 1
    for level in range(1, depth + 1):
        frame = &t.frames[level]
        frame.next = t.starter.cursor[level - 1]
        # The last frame had been scanned before if its cursor has moved; a leaf frame needs no scan of its own.
        if level == depth and (level == t.rules.max_size - 1 or frame.next == t.next_algo[frame.member]):
            break
        status = make_ready(t, level)
        if status != GO_ON:
            return status
        if level < depth:
            push(t, level, frame.next - 1)
            t.frames[level + 1].fresh = 0
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


cdef int step(Turn *t) noexcept nogil:
    """Get on at the current depth: by one child, one block of leaves, or a pair's children until the next check."""
    cdef Frame *frame = &t.frames[t.depth]
    cdef int status
    if t.depth == t.rules.max_size - 1:
        return triple_step(t) if t.base.usable else leaf_step(t)
    if not frame.scanned and frame.next < t.n_variations and t.starter.attempts == t.max_attempts:
        return AT_WORK_LIMIT
    status = make_ready(t, t.depth)
    if status != GO_ON:
        return status
    return pair_step(t) if t.base.usable and t.depth == t.pair_depth else inner_step(t)


cdef int make_ready(Turn *t, int32_t level) noexcept nogil:
    """Find the survivors of a frame above the leaves, and open the base when this is its level."""
    cdef Frame *frame = &t.frames[level]
    cdef int status = GO_ON
    if not frame.scanned:
        status = open_pair(t) if t.base.usable and level == t.pair_depth else scan(t, level)
        if status == GO_ON and t.mixed and level == 1:
            status = squeeze_mixed(t)
    if status == GO_ON and level == t.base_depth and not t.base.tried:
        status = open_base(t)
    return status


cdef int inner_step(Turn *t) noexcept nogil:
    """Visit the next child that survives, and step into it; or go back up."""
    cdef Frame *frame = &t.frames[t.depth]
    while frame.at < frame.n_passing and frame.passing[frame.at] < frame.next:
        frame.at += 1
    if frame.at == frame.n_passing:
        if not count_up_to(t, frame, t.n_variations):
            return AT_WORK_LIMIT
        t.depth -= 1
        return GO_ON
    return visit_child(t, frame, frame.passing[frame.at])


cdef int visit_child(Turn *t, Frame *frame, int32_t v) noexcept nogil:
    """Visit a child that survives, after those before it that do not, and step into it."""
    cdef Memo *memo
    cdef int32_t size = t.depth + 1
    if not count_up_to(t, frame, v + 1):
        return AT_WORK_LIMIT
    t.starter.tested[size] += 1
    if t.retained[size] and (t.mixed or t.loops.within_cap(&t.panel, frame.state, &v, 1, t.block)):
        count_days(t, frame, v)
        t.path_ready = 0
        if not evaluate(t, size, v):
            return NO_MEMORY
    memo = memo_of_v(t, v) if t.base.usable and t.depth == t.base_depth else NULL
    if memo != NULL:
        return spend(t, 16) if tell_again_v(t, memo, v) else NO_MEMORY
    push(t, t.depth, v)
    return spend(t, 2 * t.n_part + 16)


cdef void walk_path(Turn *t) noexcept nogil:
    """Bring the frames back to the cursor with their consensus alone, after `begin`."""
    cdef int32_t level
    t.rebuilding = t.base.usable = 0
    t.credit = check_words
    for level in range(1, t.starter.depth + 1):
        t.frames[level].next = t.starter.cursor[level - 1]
        if level < t.starter.depth:
            push(t, level, t.frames[level].next - 1)


cdef int walk_step(Turn *t) noexcept nogil:
    """Get on at the current depth by some candidates that were never scanned: to the next child that survives, if there is one."""
    cdef Frame *frame = &t.frames[t.depth]
    cdef int32_t *candidates = t.all_candidates + frame.next - t.next_algo[t.starter.variation_idx]
    cdef int32_t n = min(t.n_variations - frame.next, block_size(t), 64), n_new
    cdef int32_t n_found[3]
    if n == 0:
        t.depth -= 1
        return spend(t, 16)
    if t.depth == t.rules.max_size - 1:
        frame.candidates, frame.n_candidates, frame.at = candidates, t.n_variations - frame.next, 0
        return leaf_step(t)
    survivors(t, frame, candidates, n, t.block, t.block_living, n_found)
    n_new = t.block[0] - frame.next + 1 if n_found[0] else n
    t.starter.n_rows_scanned += n_new
    t.starter.n_rows_rescanned += n - n_new      # those behind the child will be looked at again
    t.credit -= n * t.table.row_words
    if n_found[0]:
        return visit_child(t, frame, t.block[0])
    return spend(t, 0) if count_up_to(t, frame, frame.next + n) else AT_WORK_LIMIT


cdef int leaf_step(Turn *t) noexcept nogil:
    """Visit a block of children of the last but one size: they have no children of their own."""
    cdef Frame *frame = &t.frames[t.depth]
    cdef int32_t size = t.depth + 1, n, n_scored = 0, i
    cdef int32_t n_found[3]
    while frame.at < frame.n_candidates and frame.candidates[frame.at] < frame.next:
        frame.at += 1
    n = min(frame.n_candidates - frame.at, block_size(t))
    n = within_limit(t, frame, n)
    if n > 0:
        survivors(t, frame, frame.candidates + frame.at, n, t.block, t.block_living, n_found)
        t.starter.n_rows_scanned += n
        t.starter.tested[size] += n_found[0]
        if t.retained[size]:
            n_scored = n_found[2]
            if not t.mixed:
                n_scored = t.loops.within_cap(&t.panel, frame.state, t.block, n_found[0], t.block_capped)
            t.path_ready = 0
            for i in range(n_scored):
                count_days(t, frame, t.block_capped[i])
                if not evaluate(t, size, t.block_capped[i]):
                    return NO_MEMORY
        frame.at += n
        count_up_to(t, frame, frame.candidates[frame.at - 1] + 1)
        if frame.at < frame.n_candidates:
            return spend(t, n * t.table.row_words + n_scored * scoring_words(t))
    if not count_up_to(t, frame, t.n_variations if frame.at == frame.n_candidates else frame.candidates[frame.at] + 1):
        return AT_WORK_LIMIT
    t.depth -= 1
    return spend(t, n * t.table.row_words + n_scored * scoring_words(t) + 16)


cdef int scan(Turn *t, int32_t level) noexcept nogil:
    """Find a frame's survivors, block by block. Stopped half-way, the frame stays unscanned and nothing was counted."""
    cdef Frame *frame = &t.frames[level]
    cdef int32_t at = 0, n
    cdef int32_t n_found[3]
    cdef int status
    frame.n_passing = frame.n_handed_down = 0
    while at < frame.n_candidates:
        n = min(frame.n_candidates - at, block_size(t))
        survivors(t, frame, frame.candidates + at, n, frame.passing + frame.n_passing, frame.handed_down + frame.n_handed_down, n_found)
        frame.n_passing += n_found[0]
        frame.n_handed_down += n_found[1]
        at += n
        status = spend(t, n * t.table.row_words)
        if status != GO_ON:
            t.starter.n_rows_rescanned += at
            return status
    if not t.use_tails and t.mixed:
        memcpy(frame.handed_down, frame.candidates, frame.n_candidates * sizeof(int32_t))
        frame.n_handed_down = frame.n_candidates
    elif not t.use_tails:
        frame.handed_down, frame.n_handed_down = <int32_t *>frame.candidates, frame.n_candidates
    frame.scanned, frame.at = 1, 0
    if t.rebuilding:
        t.starter.n_rows_rescanned += frame.n_candidates
    else:
        t.starter.n_rows_scanned += frame.n_candidates
    return GO_ON


cdef inline void survivors(
    Turn *t, Frame *frame, const int32_t *candidates, int32_t n, int32_t *passing, int32_t *living, int32_t *n_found
) noexcept nogil:
    """Candidates whose visit does not return at once, and those that may survive in a larger group; `n_found` counts them.

    On an inconsistent panel these may be more, and `block_capped` gets those that may be eligible, the third number.
    """
    if t.mixed:
        t.loops.pass_mixed(&t.table, frame.state, candidates, n, passing, living, t.block_capped, n_found)
        return
    if t.panel.floor > 0:
        n_found[0] = t.loops.pass_floor(&t.panel, frame.state, candidates, n, passing)
    else:
        n_found[0] = t.loops.pass_any(&t.panel, frame.state, candidates, n, passing)
    n_found[1] = n_found[0]


cdef void push(Turn *t, int32_t level, int32_t v) noexcept nogil:
    """Make the frame of the group one larger: the consensus with `v`, and the candidates of later algorithms."""
    cdef Frame *above = &t.frames[level]
    cdef Frame *frame = &t.frames[level + 1]
    cdef int32_t first
    frame.member, frame.next = v, t.next_algo[v]
    frame.scanned = frame.at = frame.n_handed_down = 0
    frame.fresh = 1
    t.depth = level + 1
    if t.base.usable and level >= t.base_depth:  # pairs and triples live in the base's own layout
        return
    if level < t.base_depth:
        t.base.tried = t.base.usable = 0
    join(t, above.state, v, frame.state)
    first = lower_bound(above.handed_down, above.n_handed_down, frame.next)
    frame.candidates = above.handed_down + first
    frame.n_candidates = above.n_handed_down - first


cdef void join(Turn *t, const uint64_t *state, int32_t v, uint64_t *out) noexcept nogil:
    cdef int64_t n = t.table.row_words, i
    cdef const uint64_t *row = t.table.rows + (v - t.table.first) * n
    for i in range(n):
        out[i] = state[i] & row[i]
    if t.mixed:
        row = t.table.win_rows + (v - t.table.first) * n
    for i in range(n):
        out[n + i] = state[n + i] | row[i] if t.mixed else state[n + i] & row[i]


cdef int squeeze_mixed(Turn *t) noexcept nogil:
    """Squeeze an inconsistent panel onto the starter's tickers; a no-op where that takes too much or gains nothing."""
    cdef Frame *frame = &t.frames[1]
    cdef mp2_panel table = t.panel
    cdef int32_t D = t.panel.n_days, W = t.panel.n_words, d, i, v, n_most = 0, first
    cdef int64_t n_words
    cdef uint64_t *rows
    cdef uint64_t *moves
    cdef int status = GO_ON
    for d in range(D):
        n_most = max(n_most, count_words(frame.state + d * W, W))
        t.base.lane_of[d] = d
    first = frame.handed_down[0] if frame.n_handed_down else t.n_variations
    table.n_words, table.day_step, table.word_step = (n_most + 63) // 64, 1, (D + 7) // 8 * 8
    table.row_words, table.first = <int64_t>table.n_words * table.word_step, first
    n_words = (t.n_variations - first + 1) * table.row_words
    if n_words * 2 * <int64_t>sizeof(uint64_t) > t.max_rows_bytes or table.row_words >= t.n_part:
        return GO_ON
    moves = moves_of(frame.state, t.n_part)
    if moves == NULL or not reserve(&t.base.rows_buffer, 2 * n_words * sizeof(uint64_t)):
        free(moves)
        return NO_MEMORY
    rows = <uint64_t *>t.base.rows_buffer.bytes
    for i in range(-1, frame.n_handed_down):     # the starter's own rows come first; those of nobody are never read
        v = frame.member if i < 0 else frame.handed_down[i]
        d = 0 if i < 0 else v - first + 1
        memset(rows + d * table.row_words, 0, table.row_words * sizeof(uint64_t))
        memset(rows + n_words + d * table.row_words, 0, table.row_words * sizeof(uint64_t))
        mp2_project(row_of(t, v), frame.state, moves, D, W, t.base.lane_of, table.word_step, rows + d * table.row_words)
        mp2_project(win_row_of(t, v), frame.state, moves, D, W, t.base.lane_of, table.word_step, rows + n_words + d * table.row_words)
        status = spend(t, 12 * <int64_t>t.n_part)
        if status != GO_ON:
            frame.scanned = 0
            break
    free(moves)
    if status == GO_ON:
        memcpy(frame.state, rows, table.row_words * sizeof(uint64_t))
        memcpy(frame.state + table.row_words, rows + n_words, table.row_words * sizeof(uint64_t))
        table.rows, table.win_rows = rows + table.row_words, rows + n_words + table.row_words
        t.table = table
    return status


# ---- the base: candidates squeezed onto the tickers it buys


cdef int open_base(Turn *t) noexcept nogil:
    """Set up the base of the current path. A no-op where its rows take too much. Stopped half-way, it starts anew."""
    cdef Base *b = &t.base
    cdef Frame *frame = &t.frames[t.base_depth]
    cdef int64_t n_row_bytes
    cdef int status
    b.n, b.candidates = frame.n_handed_down, frame.handed_down
    lay_out(t, frame)
    n_row_bytes = (64 * <int64_t>b.c.n_blocks + 3) * b.n_row_words * sizeof(uint64_t)
    if b.n == 0 or n_row_bytes > t.max_rows_bytes or (t.starter.attempts == t.attempts_at_start and lacks_time_for(t, base_words(t))):
        b.tried = 1
        return GO_ON
    if not reserve_base(t):
        return NO_MEMORY
    choose_shifts(t)
    status = project(t, frame)
    if status == GO_ON:
        status = make_columns(t)
    if status == GO_ON:
        status = count_base(t)
    if status == GO_ON:
        status = find_equal(t)
    if status == GO_ON:
        status = find_nested(t)
    if status != GO_ON:
        return status
    lay_out_table(t)
    t.n_logged = t.log_overflowed = t.n_recording = 0
    b.tried = b.usable = 1
    return open_pair(t) if t.base_depth == t.pair_depth else GO_ON


cdef int64_t base_words(Turn *t) noexcept nogil:
    """Work of setting up the base."""
    return <int64_t>t.base.n * (12 * <int64_t>t.n_part + 8 * <int64_t>t.base.n_row_words)


cdef void lay_out(Turn *t, Frame *frame) noexcept nogil:
    """Lanes (days by ascending number of winners: the fewest decide most) and chunks of the base's rows."""
    cdef Base *b = &t.base
    cdef int32_t D = t.panel.n_days, W = t.panel.n_words, d, k, most_wins = 0, most_losses = 0
    for d in range(D):
        b.lane_hits[d] = count_words(frame.state + d * W, W)
        b.lane_buys[d] = b.lane_hits[d] + count_words(frame.state + t.n_part + d * W, W)
        most_wins = max(most_wins, b.lane_hits[d])
        most_losses = max(most_losses, b.lane_buys[d] - b.lane_hits[d])
    for d in range(D):
        b.lane_of[d] = 0
        for k in range(D):
            b.lane_of[d] += b.lane_hits[k] < b.lane_hits[d] or (b.lane_hits[k] == b.lane_hits[d] and k < d)
    b.c.n_days, b.c.n_lanes = D, (D + 7) // 8 * 8
    b.c.n_win_chunks, b.c.n_loss_chunks = (most_wins + 63) // 64, (most_losses + 63) // 64
    b.n_row_words = (b.c.n_win_chunks + b.c.n_loss_chunks) * b.c.n_lanes
    b.n_row_bytes = 2 * D * 64
    b.c.n_blocks = (b.n + 63) // 64
    b.c.floor = t.panel.floor
    b.c.bounded, b.c.capped = t.use_hits_bound, t.use_cap_bound
    b.c.n_tests = D if t.panel.floor > 0 else 1


cdef void choose_shifts(Turn *t) noexcept nogil:
    """The smallest shift of each plane with which a count and what is needed fit a byte together; see `_scan.h`."""
    cdef Base *b = &t.base
    cdef int32_t D = t.panel.n_days, d, lane, shift
    cdef int64_t count, need, total = 0
    for d in range(D):
        total += b.lane_buys[d]
    for d in range(2 * D):
        lane = b.lane_of[d] if d < D else D + b.lane_of[d - D]
        if d < D:
            count = b.lane_hits[d] if t.panel.floor > 0 else total
            need = max(1, t.panel.floor)
        else:
            count = b.lane_buys[d - D]
            need = min(<int64_t>t.panel.cap, count) + 1
        shift = 0
        while shifted_up(count, shift) + shifted_up(need, shift) > 255:
            shift += 1
        b.shift[lane], b.need[lane] = shift, <uint8_t>shifted_up(need, shift)


cdef inline int64_t shifted_up(int64_t count, int32_t shift) noexcept nogil:
    return (count + ((<int64_t>1 << shift) - 1)) >> shift


cdef int project(Turn *t, Frame *frame) noexcept nogil:
    cdef Base *b = &t.base
    cdef uint64_t *moves = moves_of(frame.state, 2 * <int64_t>t.n_part)
    cdef int32_t i
    cdef int status = GO_ON
    if moves == NULL:
        return NO_MEMORY
    memset(b.rows + <int64_t>b.n * b.n_row_words, 0, (64 * b.c.n_blocks - b.n) * b.n_row_words * sizeof(uint64_t))
    for i in range(-1, b.n):                     # the group itself comes first, into the row before its candidates'
        memset(b.rows + <int64_t>i * b.n_row_words, 0, b.n_row_words * sizeof(uint64_t))
        squeeze(t, frame, moves, row_of(t, frame.member if i < 0 else b.candidates[i]), b.rows + <int64_t>i * b.n_row_words)
        status = spend(t, 12 * <int64_t>t.n_part)
        if status != GO_ON:
            break
    free(moves)
    return status


cdef uint64_t *moves_of(const uint64_t *mask, int64_t n_words) noexcept nogil:
    """The moves that compress each word of a mask, to be freed; NULL: no memory."""
    cdef uint64_t *moves = <uint64_t *>malloc(6 * n_words * sizeof(uint64_t))
    cdef int64_t i
    for i in range(n_words if moves != NULL else 0):
        mp2_compress_moves(mask[i], moves + 6 * i)
    return moves


cdef void squeeze(Turn *t, Frame *frame, const uint64_t *moves, const uint64_t *row, uint64_t *out) noexcept nogil:
    cdef Base *b = &t.base
    cdef int32_t D = t.panel.n_days, W = t.panel.n_words
    mp2_project(row, frame.state, moves, D, W, b.lane_of, b.c.n_lanes, out)
    out += b.c.n_win_chunks * b.c.n_lanes
    mp2_project(row, frame.state + t.n_part, moves + 6 * t.n_part, D, W, b.lane_of, b.c.n_lanes, out)


cdef int make_columns(Turn *t) noexcept nogil:
    """Transpose the winners of lane 0: one bit a candidate for every ticker."""
    cdef Base *b = &t.base
    cdef int32_t chunk, w, k
    cdef uint64_t square[64]
    cdef uint64_t *columns = <uint64_t *>b.c.columns
    cdef int status
    for chunk in range(b.c.n_win_chunks if columns != NULL else 0):
        for w in range(b.c.n_blocks):
            for k in range(64):
                square[k] = b.rows[(<int64_t>w * 64 + k) * b.n_row_words + chunk * b.c.n_lanes]
            mp2_transpose(square)
            for k in range(64):
                columns[(<int64_t>chunk * 64 + k) * b.c.n_blocks + w] = square[k]
            status = spend(t, 512)
            if status != GO_ON:
                return status
    return GO_ON


cdef int count_base(Turn *t) noexcept nogil:
    """The counts of the base with each candidate, rounded up, and the limits that come of them."""
    cdef Base *b = &t.base
    cdef int32_t D = t.panel.n_days, w, i, p, total = 0, count
    cdef uint8_t *upper = <uint8_t *>b.c.upper
    cdef int status
    for w in range(b.c.n_blocks):
        t.loops.count_block(&b.c, b.group, w, ~<uint64_t>0, 1, upper + <int64_t>w * b.n_row_bytes)
        status = spend(t, 64 * <int64_t>b.n_row_words)
        if status != GO_ON:
            return status
    memset(b.limit_of, 0, (<int64_t>b.n + 1) * b.limit_stride)
    for i in range(b.n):
        for p in range(2 * D):
            b.limit_of[<int64_t>i * b.limit_stride + p] = b.need[p] + upper[(i >> 6) * b.n_row_bytes + p * 64 + (i & 63)]
    if t.pair_depth == t.base_depth:
        t.loops.count_days(&b.c, b.group, b.group, b.lane_hits, b.lane_buys)
        for p in range(D):
            total += b.lane_buys[p]
        if b.c.floor == 0:
            b.lane_hits[0] = total
        for p in range(2 * D):
            count = b.lane_hits[p] if p < D else b.lane_buys[p - D]
            t.pair.limit[p] = <uint8_t>(b.need[p] + shifted_up(count, b.shift[p]))
    return GO_ON


cdef int find_equal(Turn *t) noexcept nogil:
    """Candidates of one algorithm with the same row below the base: `first_equal` names the first of them."""
    cdef Base *b = &t.base
    cdef int32_t i, j, slot, n_slots = hash_slots(b.n)
    cdef int32_t *slots = b.has_equal + b.n
    cdef int status
    memset(slots, 0, n_slots * sizeof(int32_t))
    for i in range(b.n):
        b.after[i] = b.after[i - 1] if i > 0 and b.candidates[i] < t.next_algo[b.candidates[i - 1]] else lower_bound(
            b.candidates, b.n, t.next_algo[b.candidates[i]]
        )
        b.first_equal[i], b.has_equal[i] = i, 0
        b.memo_v[i].stamp = b.memo_x[i].stamp = 0
        if not t.use_equal:
            continue
        slot = <int32_t>(hash_row(b.rows + <int64_t>i * b.n_row_words, b.n_row_words) & <uint64_t>(n_slots - 1))
        while slots[slot]:
            j = slots[slot] - 1
            if b.after[j] == b.after[i] and contains(b, i, j) and contains(b, j, i):
                b.first_equal[i], b.has_equal[j] = j, 1
                break
            slot = (slot + 1) & (n_slots - 1)
        if not slots[slot]:
            slots[slot] = i + 1
        status = spend(t, 4 * b.n_row_words)
        if status != GO_ON:
            return status
    return GO_ON


cdef int find_nested(Turn *t) noexcept nogil:
    """Per candidate the earlier one of its algorithm with the fewest tickers that contains it, and the largest it contains."""
    cdef Base *b = &t.base
    cdef int32_t i, j, n_words = b.n_row_words
    cdef int32_t *sizes = b.has_equal + b.n      # scratch
    cdef int status
    for i in range(b.n):
        b.wider[i] = b.narrower[i] = -1
        b.passed_stamp[i] = b.above_stamp[i] = 0
        if not t.use_nested or b.passed == NULL:
            continue
        sizes[i] = count_words(b.rows + <int64_t>i * n_words, n_words)
        for j in range(i - 1, max(-1, i - 1 - MAX_LOOK_BACK), -1):
            if b.after[j] != b.after[i]:
                break
            if b.first_equal[j] != j:
                continue
            if sizes[j] >= sizes[i] and (b.wider[i] < 0 or sizes[j] < sizes[b.wider[i]]) and contains(b, j, i):
                b.wider[i] = j
            if sizes[j] <= sizes[i] and (b.narrower[i] < 0 or sizes[j] > sizes[b.narrower[i]]) and contains(b, i, j):
                b.narrower[i] = j
            status = spend(t, n_words // 4)
            if status != GO_ON:
                return status
    return GO_ON


cdef inline bint contains(Base *b, int32_t outer, int32_t inner) noexcept nogil:
    cdef const uint64_t *outer_row = b.rows + <int64_t>outer * b.n_row_words
    cdef const uint64_t *inner_row = b.rows + <int64_t>inner * b.n_row_words
    cdef int32_t k
    for k in range(b.n_row_words):
        if inner_row[k] & ~outer_row[k]:
            return False
    return True


cdef inline int32_t hash_slots(int32_t n) noexcept nogil:
    cdef int32_t n_slots = 16
    while n_slots < 2 * n:
        n_slots *= 2
    return n_slots


cdef inline uint64_t hash_row(const uint64_t *words, int32_t n) noexcept nogil:
    """FNV-1a over words, the upper half folded into the lower."""
    cdef uint64_t hashed = 0xcbf29ce484222325ULL
    cdef int32_t i
    for i in range(n):
        hashed = (hashed ^ words[i]) * 0x100000001b3ULL
        hashed ^= hashed >> 29
    return hashed ^ hashed >> 32


# ---- rows of counts


cdef inline uint8_t *counts_of(Base *b, uint64_t *row, int32_t first_block) noexcept nogil:
    """Where block 0 of a row's counts would be: only blocks from `first_block` on are there."""
    return <uint8_t *>row + row_head_bytes(b) - <int64_t>first_block * b.n_row_bytes


cdef inline int64_t row_head_bytes(Base *b) noexcept nogil:
    return (<int64_t>b.c.n_blocks * sizeof(uint64_t) + 63) // 64 * 64


cdef inline int64_t n_low_bytes(Base *b) noexcept nogil:
    return 64 * <int64_t>b.c.n_blocks * b.limit_stride


cdef void lay_out_table(Turn *t) noexcept nogil:
    """Give the candidates rows of their own, from the last one backwards, as long as there is room."""
    cdef Base *b = &t.base
    cdef int64_t used = row_head_bytes(b) + <int64_t>b.c.n_blocks * b.n_row_bytes, n_bytes
    cdef int32_t i
    b.scratch_row = <uint64_t *>b.table_buffer.bytes
    for i in range(b.n - 1, -1, -1):
        n_bytes = row_head_bytes(b) + <int64_t>(b.c.n_blocks - (b.after[i] >> 6)) * b.n_row_bytes
        b.row[i], b.ready[i] = NULL, 0
        if t.pair_depth > t.base_depth and used + n_bytes <= b.table_buffer.capacity:
            b.row[i] = <uint64_t *>(b.table_buffer.bytes + used)
            used += n_bytes


cdef int count_row(Turn *t, int32_t first, const uint64_t *words, const uint64_t *within, uint64_t *row) noexcept nogil:
    """Count the candidates from `first` on against the group `words`: their bits, and the counts of those that pass.

    Only those in `within` can pass; NULL: all.
    """
    cdef Base *b = &t.base
    cdef uint8_t *counts = counts_of(b, row, first >> 6)
    cdef int32_t w
    cdef int status
    memset(row, 0, b.c.n_blocks * sizeof(uint64_t))
    for w in range(first >> 6, b.c.n_blocks):
        row[w] = t.loops.count_block(&b.c, words, w, within[w] if within != NULL else ~<uint64_t>0, 0, counts + <int64_t>w * b.n_row_bytes)
        status = spend(t, 64 * <int64_t>b.n_row_words)
        if status != GO_ON:
            t.starter.n_rows_rescanned += w * 64 + 64 - first
            return status
    if first < b.n:
        row[first >> 6] &= ~<uint64_t>0 << (first & 63)
    if t.attempts_at_start > 0:                  # a row counted after a resume may have been counted before
        t.starter.n_rows_rescanned += b.n - first
    else:
        t.starter.n_rows_scanned += b.n - first
    return GO_ON


cdef int ready_row(Turn *t, int32_t i) noexcept nogil:
    """Count the row of candidate i, if it is kept and has not been counted yet."""
    cdef Base *b = &t.base
    cdef int status
    if b.row[i] == NULL or b.ready[i]:
        return GO_ON
    intersect(b, b.group, i, b.words)
    status = count_row(t, b.after[i], b.words, row_within(b, i), b.row[i])
    b.ready[i] = status == GO_ON
    return status


cdef inline const uint64_t *row_within(Base *b, int32_t i) noexcept nogil:
    """The bits of a wider candidate's row, if it is there."""
    cdef int32_t j = b.wider[i]
    return b.row[j] if j >= 0 and b.row[j] != NULL and b.ready[j] else NULL


cdef inline void intersect(Base *b, const uint64_t *words, int32_t i, uint64_t *out) noexcept nogil:
    cdef const uint64_t *row = b.rows + <int64_t>i * b.n_row_words
    cdef int32_t k
    for k in range(b.n_row_words):
        out[k] = words[k] & row[k]


# ---- pairs and triples


cdef int open_pair(Turn *t) noexcept nogil:
    """Set up the pair of the current path, whose second member is v; with max_size 3 the starter itself."""
    cdef Base *b = &t.base
    cdef Pair *p = &t.pair
    cdef Frame *frame = &t.frames[t.pair_depth]
    cdef uint64_t *row = b.scratch_row
    cdef int32_t first = 0
    cdef int status
    p.v_idx = -1
    if t.pair_depth == t.base_depth:
        memcpy(p.words, b.group, b.n_row_words * sizeof(uint64_t))
        status = count_row(t, 0, p.words, NULL, row)
    else:
        p.v_idx = lower_bound(b.candidates, b.n, frame.member)
        memcpy(p.limit, b.limit_of + <int64_t>p.v_idx * b.limit_stride, b.limit_stride)
        first = b.after[p.v_idx]
        intersect(b, b.group, p.v_idx, p.words)
        if b.row[p.v_idx] == NULL:
            status = count_row(t, first, p.words, row_within(b, p.v_idx), row)
        else:
            row = b.row[p.v_idx]
            status = ready_row(t, p.v_idx)
    if status != GO_ON:
        return status
    p.c.words, p.c.limit, p.c.counts = p.words, p.limit, counts_of(b, row, first >> 6)
    p.passing, p.c.tails = row, row if t.use_tails else b.ones
    p.c.low, p.triple.pair = p.low, &p.c
    t.loops.turn_row(&b.c, p.c.counts, first >> 6, p.low)
    t.credit -= n_low_bytes(b) // 8
    b.stamp += 1
    p.stamp = b.stamp
    p.recording = p.v_idx >= 0 and frame.fresh and b.has_equal[p.v_idx]
    p.log_from, p.attempts_before = t.n_logged, t.starter.attempts
    p.tested_before[0], p.tested_before[1] = t.starter.tested[t.rules.max_size - 1], t.starter.tested[t.rules.max_size]
    t.n_recording = p.recording
    frame.scanned = 1
    frame.at = lower_bound(b.candidates, b.n, frame.next)
    return GO_ON


cdef int pair_step(Turn *t) noexcept nogil:
    """Visit the children x of a pair, each with all its own children, until the next check."""
    cdef Base *b = &t.base
    cdef Frame *frame = &t.frames[t.depth]
    cdef Frame *triple = &t.frames[t.depth + 1]
    cdef int32_t j, size = t.depth + 1
    cdef int status
    while True:
        j = next_bit(t.pair.passing, frame.at, b.n)
        if j == b.n:
            return close_pair(t)
        status = ready_row(t, j)
        if status != GO_ON:
            return status
        if not count_up_to(t, frame, b.candidates[j] + 1):
            return AT_WORK_LIMIT
        frame.at = j + 1
        triple.member, triple.next = b.candidates[j], t.next_algo[b.candidates[j]]
        t.starter.tested[size] += 1
        if t.retained[size] and not evaluate_x(t, j):
            return NO_MEMORY
        if b.c.n_blocks - (b.after[j] >> 6) > blocks_at_once(t) or (
            t.max_attempts and t.max_attempts - t.starter.attempts < t.n_variations - triple.next
        ):
            t.depth += 1                         # `triple_step` goes on, piece by piece, as far as the limit lets it
            return GO_ON
        t.starter.attempts += t.n_variations - triple.next
        if not visit_children(t, j, b.after[j], b.n):
            return NO_MEMORY
        status = spend(t, 64)
        if status != GO_ON:
            return status


cdef int close_pair(Turn *t) noexcept nogil:
    """Go back up from a pair, and remember what it found if an equal one follows."""
    cdef Pair *p = &t.pair
    cdef Memo *memo
    if not count_up_to(t, &t.frames[t.depth], t.n_variations):
        return AT_WORK_LIMIT
    if p.recording and not t.log_overflowed:
        memo = &t.base.memo_v[p.v_idx]
        memo.stamp = 1
        memo.attempts = t.starter.attempts - p.attempts_before
        memo.tested[0] = t.starter.tested[t.rules.max_size - 1] - p.tested_before[0]
        memo.tested[1] = t.starter.tested[t.rules.max_size] - p.tested_before[1]
        memo.log_from, memo.log_to = p.log_from, t.n_logged
    else:
        t.n_logged, t.log_overflowed = p.log_from, 0
    t.n_recording = 0
    t.depth -= 1
    return spend(t, 16)


cdef int triple_step(Turn *t) noexcept nogil:
    """Visit some children of a triple that has too many to be visited at once, or more than the work limit allows."""
    cdef Base *b = &t.base
    cdef Frame *frame = &t.frames[t.depth]
    cdef int32_t j = lower_bound(b.candidates, b.n, frame.member), first, end, end_next
    cdef int64_t room = t.max_attempts - t.starter.attempts
    cdef int status = ready_row(t, j)
    if status != GO_ON:
        return status
    first = lower_bound(b.candidates, b.n, frame.next)
    end = min(b.n, ((first >> 6) + blocks_at_once(t)) * 64)
    end_next = t.n_variations if end == b.n else b.candidates[end]
    if t.max_attempts and room < end_next - frame.next:
        end = lower_bound(b.candidates, b.n, frame.next + <int32_t>room)
    if not visit_children(t, j, first, end):
        return NO_MEMORY
    if not count_up_to(t, frame, end_next):
        return AT_WORK_LIMIT
    if frame.next == t.n_variations:
        t.depth -= 1
    return spend(t, 64)


cdef inline int32_t blocks_at_once(Turn *t) noexcept nogil:
    """Blocks of candidates whose scores, if all were eligible, take no more than some checks' worth of work."""
    return <int32_t>max(1, 8 * check_words // (64 * (scoring_words(t) + t.base.n_row_words)))


cdef bint visit_children(Turn *t, int32_t j, int32_t first, int32_t end) noexcept nogil:
    """Visit the triple's children from candidate `first` to before `end`; its x is candidate j. False: no memory."""
    cdef Base *b = &t.base
    cdef Memo *memo = &b.memo_x[b.first_equal[j]]
    cdef bint whole = first == b.after[j] and end == b.n, remember = whole and b.has_equal[j], kept
    cdef int64_t tested_before = t.starter.tested[t.rules.max_size]
    if first >= end:
        return True
    if whole and b.first_equal[j] != j and memo.stamp == t.pair.stamp:
        t.starter.tested[t.rules.max_size] += memo.tested[1]
        return tell_again(t, memo, t.pair_depth, b.candidates[j])
    t.n_recording += remember
    memo.log_from = t.n_logged if remember else memo.log_from
    kept = decide_children(t, j, first, end)
    t.n_recording -= remember
    if remember and not t.log_overflowed:
        memo.stamp, memo.log_to = t.pair.stamp, t.n_logged
        memo.tested[1] = t.starter.tested[t.rules.max_size] - tested_before
    return kept


cdef bint decide_children(Turn *t, int32_t j, int32_t first, int32_t end) noexcept nogil:
    """Which of the candidates pass, which of those may be under the cap: then their score. False: no memory."""
    cdef Base *b = &t.base
    cdef mp2_triple *triple = &t.pair.triple
    cdef int32_t size = t.rules.max_size
    cdef bint kept = b.passed != NULL and first == b.after[j] and end == b.n
    cdef int64_t n_passing, n_counted = 0
    triple.x, triple.first, triple.end = j, first, end
    triple.row = b.rows + <int64_t>j * b.n_row_words
    triple.limit_x = b.limit_of + <int64_t>j * b.limit_stride
    triple.passing_x = b.row[j] if b.row[j] != NULL and t.use_tails else b.ones
    triple.counts_x = NULL if b.row[j] == NULL else counts_of(b, b.row[j], b.after[j] >> 6)
    triple.within = kept_for(t, b.passed, b.passed_stamp, b.wider[j], b.ones)
    triple.surely = kept_for(t, b.passed, b.passed_stamp, b.narrower[j], b.zeros)
    triple.above = kept_for(t, b.above, b.above_stamp, b.narrower[j], b.zeros)
    triple.cap_first = t.fast and t.retained[size]
    triple.keep_passed = triple.keep_above = NULL
    if kept and not t.fast:
        triple.keep_passed = b.passed + <int64_t>j * b.c.n_blocks
    if kept:
        triple.keep_above = b.above + <int64_t>j * b.c.n_blocks
    if not t.loops.open_triple(&b.c, triple, b.left):
        if kept and triple.cap_first:
            b.above_stamp[j] = t.pair.stamp
        return True
    t.credit -= (b.c.n_blocks - (first >> 6)) * <int64_t>(16 * b.c.n_days)
    if t.fast and not (t.retained[size] and narrow_to_cap(t, j)):
        return True
    n_passing = t.loops.settle_hits(&b.c, triple, b.left, b.doubt, &n_counted)
    t.starter.n_rows_scanned += n_counted
    t.starter.tested[size] += n_passing
    t.credit -= n_counted * b.n_row_words
    if triple.keep_passed != NULL:
        b.passed_stamp[j] = t.pair.stamp
    if n_passing == 0 or not t.retained[size] or not (t.fast or narrow_to_cap(t, j)):
        return True
    return evaluate_left(t, j)


cdef inline bint narrow_to_cap(Turn *t, int32_t j) noexcept nogil:
    """Leave the candidates that no bound puts above the cap; False if there are none."""
    if t.pair.triple.keep_above != NULL:
        t.base.above_stamp[j] = t.pair.stamp
    return t.loops.maybe_within_cap(&t.base.c, &t.pair.triple, t.base.left)


cdef inline const uint64_t *kept_for(
    Turn *t, const uint64_t *masks, const int64_t *stamps, int32_t j, const uint64_t *unknown
) noexcept nogil:
    """What was kept of this pair with candidate j as x."""
    return unknown if j < 0 or stamps[j] != t.pair.stamp else masks + <int64_t>j * t.base.c.n_blocks


cdef bint evaluate_left(Turn *t, int32_t j) noexcept nogil:
    """Evaluate what is left of a triple's candidates; its x is candidate j. False: no memory."""
    cdef Base *b = &t.base
    cdef int32_t w, i
    cdef uint64_t bits
    intersect(b, t.pair.words, j, b.words)
    t.path_ready = 0
    for w in range(t.pair.triple.first >> 6, b.c.n_blocks):
        bits = b.left[w]
        while bits:
            i = w * 64 + mp2_lowest_bit(bits)
            bits &= bits - 1
            count_lanes(t, b.words, b.rows + <int64_t>i * b.n_row_words)
            t.credit -= scoring_words(t) + b.n_row_words
            if not evaluate(t, t.rules.max_size, b.candidates[i]):
                return False
    return True


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


cdef bint evaluate_x(Turn *t, int32_t j) noexcept nogil:
    """Evaluate the triple itself, whose x is candidate j, unless a lower bound of its buys is above the cap."""
    cdef Base *b = &t.base
    cdef const uint8_t *low = t.pair.low + <int64_t>j * b.limit_stride
    cdef int32_t p
    for p in range(b.c.n_days, 2 * b.c.n_days):
        if b.c.capped and low[p] >= b.need[p]:
            return True
    intersect(b, t.pair.words, j, b.words)
    count_lanes(t, b.words, b.words)
    t.path_ready = 0
    return evaluate(t, t.rules.max_size - 1, b.candidates[j])


cdef void count_lanes(Turn *t, const uint64_t *words, const uint64_t *row) noexcept nogil:
    """Hits and buys of two rows' common tickers, in date order."""
    cdef Base *b = &t.base
    cdef int32_t d
    t.loops.count_days(&b.c, words, row, b.lane_hits, b.lane_buys)
    for d in range(t.days.n):
        t.days.hits[d], t.days.buys[d] = b.lane_hits[b.lane_of[d]], b.lane_buys[b.lane_of[d]]


# ---- equal candidates


cdef Memo *memo_of_v(Turn *t, int32_t v) noexcept nogil:
    """What the pair of an equal v found, if that is known whole and the work limit lets it be told again."""
    cdef Base *b = &t.base
    cdef int32_t i = lower_bound(b.candidates, b.n, v)
    cdef Memo *memo = &b.memo_v[b.first_equal[i]]
    if t.base_depth == t.pair_depth or b.first_equal[i] == i or memo.stamp == 0:
        return NULL
    return NULL if t.max_attempts and t.max_attempts - t.starter.attempts < memo.attempts else memo


cdef bint tell_again_v(Turn *t, const Memo *memo, int32_t v) noexcept nogil:
    t.starter.attempts += memo.attempts
    t.starter.tested[t.rules.max_size - 1] += memo.tested[0]
    t.starter.tested[t.rules.max_size] += memo.tested[1]
    return tell_again(t, memo, t.pair_depth - 1, v)


cdef bint tell_again(Turn *t, const Memo *memo, int32_t position, int32_t member) noexcept nogil:
    """Accept the remembered groups once more, in their order, with another member. False: no memory."""
    cdef int64_t i
    cdef Logged again
    cdef bint kept = True
    for i in range(memo.log_from, memo.log_to):
        again = t.log[i]
        again.entry.members[position] = member
        kept = accept(t, again.size, &again.entry) and kept
    t.credit -= 8 * (memo.log_to - memo.log_from)
    return kept


# ---- counting visits, looking at the clock


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
    """Look at the stop flag, the wall and, once the turn has got on or could walk, its deadline."""
    cdef int64_t now
    mp2_raise(&most_words, check_words - t.credit)
    t.credit = check_words
    mp2_store(t.published_attempts, t.starter.attempts - t.attempts_at_start)
    if mp2_load(t.stop):
        return AT_STOP
    now = mp2_now_ns()
    if now + early_ns(t, now) >= mp2_load(t.wall_ns):
        return AT_WALL
    if now >= mp2_load(t.deadline_ns) and (t.starter.attempts > t.attempts_at_start or set_up_words(t) >= min_late_words):
        return AT_LIMIT
    return OVERFLOWED if t.starter.attempts > MAX_ATTEMPTS else GO_ON


cdef inline int64_t early_ns(Turn *t, int64_t now) noexcept nogil:
    """How long before the wall to end, `now` being looked at the clock."""
    if t.looked_ns and now - t.looked_ns > mp2_load(t.longest_pause_ns):
        mp2_raise(t.longest_pause_ns, now - t.looked_ns)
    t.looked_ns = now
    return min(mp2_load(t.longest_pause_ns), t.max_early_ns)


cdef bint lacks_time_for(Turn *t, int64_t n_words) noexcept nogil:
    """Does the deadline come before so much work is done? Work of less than a millisecond is done in any case."""
    return n_words >= min_late_words and mp2_load(t.deadline_ns) - mp2_now_ns() < n_words  # measured: a nanosecond a word


cdef inline int64_t set_up_words(Turn *t) noexcept nogil:
    """Work of going through the candidates of a starter, and of squeezing those of an inconsistent panel."""
    return t.n_variations * <int64_t>t.n_part * (4 if t.mixed else 1)


cdef inline int32_t block_size(Turn *t) noexcept nogil:
    """Candidates of one block: neither scanning nor scoring all of them takes much longer than `CHECK_WORDS` of work."""
    return <int32_t>max(1, min(MAX_BLOCK, check_words // (t.n_part + scoring_words(t))))


cdef inline int64_t scoring_words(Turn *t) noexcept nogil:
    """Work of scoring one group, as words: its rows once more, and what grows with the number of days."""
    return t.n_part + 16 * <int64_t>t.panel.n_days


cdef inline const uint64_t *row_of(Turn *t, int32_t v) noexcept nogil:
    return t.panel.rows + <int64_t>v * t.n_part


cdef inline const uint64_t *win_row_of(Turn *t, int32_t v) noexcept nogil:
    return t.panel.win_rows + <int64_t>v * t.n_part


cdef inline int32_t count_words(const uint64_t *words, int32_t n) noexcept nogil:
    cdef int32_t i, total = 0
    for i in range(n):
        total += mp2_count(words[i])
    return total


cdef int32_t lower_bound(const int32_t *values, int32_t n, int32_t wanted) noexcept nogil:
    cdef int32_t low = 0, high = n, middle
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


# ---- one group: score, eligibility, retention


cdef bint evaluate(Turn *t, int32_t size, int32_t v) noexcept nogil:
    """Score the group of the current path and `v`, whose days are counted, and keep it if it is eligible. False: no memory."""
    cdef Statistics statistics
    cdef Entry entry
    cdef int32_t k
    if not is_eligible(t.rules, &t.days, &statistics):
        return True
    entry.score = score_of(t.rules, &statistics, n_tickers_of_any_day(t, size, v))
    for k in range(MAX_SIZE):
        entry.members[k] = t.frames[k + 1].member if k < size - 1 else (v if k == size - 1 else 0)
    return accept(t, size, &entry)


cdef bint accept(Turn *t, int32_t size, const Entry *entry) noexcept nogil:
    """Count an eligible group (Welford's mean and squared deviations), and keep it if it is good enough. False: no memory."""
    cdef StarterState *s = t.starter
    cdef double delta
    s.eligible[size] += 1
    delta = entry.score - s.score_mean[size]
    s.score_mean[size] += delta / <double>s.eligible[size]
    s.score_m2[size] += delta * (entry.score - s.score_mean[size])
    if t.n_recording > 0:
        remember(t, size, entry)
    offer(&t.heaps[size], entry)
    return not t.heaps[size].failed


cdef void remember(Turn *t, int32_t size, const Entry *entry) noexcept nogil:
    if t.log == NULL:
        t.log = <Logged *>malloc(max_log * sizeof(Logged))
    if t.log == NULL or t.n_logged >= max_log:
        t.log_overflowed = 1
        return
    t.log[t.n_logged].entry, t.log[t.n_logged].size = entry[0], size
    t.n_logged += 1


cdef void count_days(Turn *t, Frame *frame, int32_t v) noexcept nogil:
    """Hits and buys of the group of `frame` and `v` on every day, in the layout of the general loops."""
    cdef int64_t n = t.table.row_words, at = (v - t.table.first) * n
    cdef const uint64_t *row = t.table.rows + at
    cdef const uint64_t *second = frame.state + n
    cdef uint64_t both
    cdef int32_t d, w, i
    for d in range(t.panel.n_days):
        t.days.hits[d] = t.days.buys[d] = 0
        for w in range(t.table.n_words):
            i = d * t.table.day_step + w * t.table.word_step
            both = frame.state[i] & row[i]
            if t.mixed:
                t.days.hits[d] += mp2_count(both & (second[i] | t.table.win_rows[at + i]))
                t.days.buys[d] += mp2_count(both)
            else:
                t.days.hits[d] += mp2_count(both)
                t.days.buys[d] += mp2_count(both) + mp2_count(second[i] & row[i])


cdef int64_t n_tickers_of_any_day(Turn *t, int32_t size, int32_t v) noexcept nogil:
    """Size of the union over days of the consensus; days share tickers only in the panel's own layout."""
    cdef int32_t D = t.panel.n_days, W = t.panel.n_words, day, word, k
    cdef const uint64_t *row = row_of(t, v)
    cdef const uint64_t *member
    cdef int64_t total = 0
    if not t.path_ready:
        memcpy(t.path_words, row_of(t, t.frames[1].member), t.n_part * sizeof(uint64_t))
        for k in range(2, size):
            member = row_of(t, t.frames[k].member)
            for word in range(t.n_part):
                t.path_words[word] &= member[word]
        t.path_ready = 1
    memset(t.union_words, 0, W * sizeof(uint64_t))
    for day in range(D):
        for word in range(W):
            t.union_words[word] |= t.path_words[day * W + word] & row[day * W + word]
    for word in range(W):
        total += mp2_count(t.union_words[word])
    return total


# ---------------------------------------------------------------------------------------------------------------------
# Memory of one turn: taken at its start and grown for its bases, given back at its end.


cdef bint allocate(Turn *t) noexcept nogil:
    cdef int32_t D = t.panel.n_days, V = t.n_variations, level
    cdef bint whole
    memset(&t.base, 0, sizeof(Base))
    memset(&t.pair, 0, sizeof(Pair))
    t.rebuilding = t.depth = t.n_recording = t.log_overflowed = 0
    t.log, t.n_logged = NULL, 0
    t.all_candidates = <int32_t *>malloc((V + 1) * sizeof(int32_t))
    t.block = <int32_t *>malloc(3 * MAX_BLOCK * sizeof(int32_t))
    t.union_words = <uint64_t *>malloc((t.panel.n_words + t.n_part) * sizeof(uint64_t))
    t.days.hits = <int32_t *>malloc(2 * D * sizeof(int32_t))
    t.days.pp = <double *>malloc(2 * D * sizeof(double))
    t.base.lane_of = <int32_t *>malloc((D + 2 * MP2_MAX_LANES) * sizeof(int32_t))
    whole = not (
        t.all_candidates == NULL or t.block == NULL or t.union_words == NULL or t.days.hits == NULL or t.days.pp == NULL
        or t.base.lane_of == NULL
    )
    for level in range(MAX_SIZE + 1):
        t.frames[level].passing = t.frames[level].handed_down = NULL
        t.frames[level].state = NULL
    for level in range(1, t.rules.max_size):
        t.frames[level].state = <uint64_t *>malloc((2 * <int64_t>t.n_part + 1) * sizeof(uint64_t))
        t.frames[level].passing = <int32_t *>malloc((V + 1) * sizeof(int32_t))
        t.frames[level].handed_down = <int32_t *>malloc((V + 1) * sizeof(int32_t)) if t.mixed else t.frames[level].passing
        whole = whole and t.frames[level].state != NULL and t.frames[level].passing != NULL and t.frames[level].handed_down != NULL
    if whole:
        t.path_words = t.union_words + t.panel.n_words
        t.block_living, t.block_capped = t.block + MAX_BLOCK, t.block + 2 * MAX_BLOCK
        t.days.buys, t.days.sorted_pp = t.days.hits + D, t.days.pp + D
        t.base.lane_hits = t.base.lane_of + D
        t.base.lane_buys = t.base.lane_hits + MP2_MAX_LANES
    return whole


cdef bint reserve_base(Turn *t) noexcept nogil:
    """Memory for the base as it is laid out; the tables of rows of counts are as large as allowed and useful."""
    cdef Base *b = &t.base
    cdef int64_t n_rows = 64 * <int64_t>b.c.n_blocks, planes = 2 * b.c.n_days, n_columns = 0, n_table, n_wins
    cdef int64_t n_passed = <int64_t>b.n * b.c.n_blocks
    cdef uint8_t *at
    if 2 * n_passed * <int64_t>sizeof(uint64_t) > t.max_masks_bytes:
        n_passed = 0
    if 0 < b.c.floor <= 256:
        n_columns = 64 * <int64_t>b.c.n_win_chunks * b.c.n_blocks
    b.limit_stride = (2 * b.c.n_days + 15) // 16 * 16
    n_wins = <int64_t>b.c.n_win_chunks * b.c.n_lanes
    n_table = row_head_bytes(b) + <int64_t>b.c.n_blocks * b.n_row_bytes
    if t.pair_depth > t.base_depth:
        n_table += min(t.max_table_bytes, b.n * n_table)
    if not (
        reserve(&b.rows_buffer, ((n_rows + 3) * b.n_row_words + n_wins + 5 * <int64_t>b.c.n_blocks + 8 + n_columns + 8) * sizeof(uint64_t))
        and reserve(&b.count_buffer, n_rows * planes + n_low_bytes(b) + (<int64_t>b.n + 3) * b.limit_stride + 2 * planes)
        and reserve(&b.index_buffer, b.n * (2 * sizeof(Memo) + sizeof(uint64_t *) + 2 * sizeof(int64_t) + 5 * sizeof(int32_t) + 1)
                    + 2 * n_passed * sizeof(uint64_t) + hash_slots(b.n) * sizeof(int32_t))
        and reserve(&b.table_buffer, n_table)
    ):
        return False
    b.group = <uint64_t *>b.rows_buffer.bytes
    b.rows = b.group + b.n_row_words
    t.pair.words = b.rows + n_rows * b.n_row_words
    b.words = t.pair.words + b.n_row_words
    t.pair.triple.wins = b.words + b.n_row_words
    b.left = t.pair.triple.wins + n_wins
    b.doubt = b.left + b.c.n_blocks + 8
    b.ones, b.zeros = b.doubt + 2 * b.c.n_blocks, b.doubt + 3 * b.c.n_blocks
    memset(b.ones, 0xff, b.c.n_blocks * sizeof(uint64_t))
    memset(b.zeros, 0, b.c.n_blocks * sizeof(uint64_t))
    b.c.rows, b.c.columns = b.rows, b.zeros + b.c.n_blocks if n_columns else NULL
    at = b.count_buffer.bytes
    b.c.upper, t.pair.low = at, at + n_rows * planes
    b.limit_of = t.pair.low + n_low_bytes(b)
    t.pair.limit = b.limit_of + <int64_t>b.n * b.limit_stride
    t.pair.triple.need_v, t.pair.triple.need_x = t.pair.limit + b.limit_stride, t.pair.limit + 2 * b.limit_stride
    b.need = t.pair.limit + 3 * b.limit_stride
    b.shift = b.need + planes
    b.c.need, b.c.shift = b.need, b.shift
    b.memo_v = <Memo *>b.index_buffer.bytes
    b.memo_x = b.memo_v + b.n
    b.row = <uint64_t **>(b.memo_x + b.n)
    b.passed_stamp = <int64_t *>(b.row + b.n)
    b.above_stamp = b.passed_stamp + b.n
    b.passed = <uint64_t *>(b.above_stamp + b.n) if n_passed else NULL
    b.above = b.passed + n_passed
    b.after = <int32_t *>(b.above_stamp + b.n + 2 * n_passed)
    b.first_equal, b.wider, b.narrower = b.after + b.n, b.after + 2 * b.n, b.after + 3 * b.n
    b.has_equal = b.after + 4 * b.n              # followed by the slots of `find_equal`
    b.ready = <uint8_t *>(b.has_equal + b.n + hash_slots(b.n))
    return True


cdef bint reserve(Buffer *buffer, int64_t n_bytes) noexcept nogil:
    """Room for `n_bytes`, whose contents are undefined."""
    if n_bytes <= buffer.capacity:
        return True
    free(buffer.block)
    buffer.capacity = 0
    buffer.block = malloc(n_bytes + 64)
    if buffer.block == NULL:
        return False
    buffer.bytes = <uint8_t *>((<size_t>buffer.block + 63) & ~<size_t>63)
    buffer.capacity = n_bytes
    return True


cdef void release(Turn *t) noexcept nogil:
    cdef int32_t level
    for level in range(MAX_SIZE + 1):
        if t.mixed:
            free(t.frames[level].handed_down)
        free(t.frames[level].passing)
        free(t.frames[level].state)
    free(t.base.rows_buffer.block)
    free(t.base.count_buffer.block)
    free(t.base.index_buffer.block)
    free(t.base.table_buffer.block)
    free(t.base.lane_of)
    free(t.all_candidates)
    free(t.block)
    free(t.union_words)
    free(t.days.hits)
    free(t.days.pp)
    free(t.log)


use_simd(os.environ.get("MP2_SIMD") or simd_available()[-1])
