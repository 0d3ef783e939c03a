# cython: language_level=3, freethreading_compatible=True
"""The kernel of the test of replicates: the best score an exhaustive search finds under each of
many labellings, without the GIL.

A *replicate* is a set of labels: which ticker wins on which day. Labels change hits, never buys. So
groups are enumerated once, by their buys alone, and each distinct consensus is scored in all
replicates. Read top-down; the parts are in `_kernel/`:

    replicates_state   the structs        replicates_score   sets: hits, bounds, maxima
    replicates_walk    groups             replicates_loops   the innermost loops

One example, worked through: 8 tickers (0..7), one day, floor 2, at most 3 buys, groups of 2 to 4,
three replicates. The starter s and variations of three later algorithms buy

    s    0 1 2 3 4 5          winners in replicate 0    0 1 2
    v    0 1 2 4 7            winners in replicate 1    1 4 5
    x    0 1 2 3 5            winners in replicate 2    3 6 7
    x'   0 1 2 3 6 7
    y    0 1 2 6

1. `project` reduces all rows to what s buys: 012345, so v is 111010. `find_larger` looks for
   variations with at least 2 buys in common with s: v, x, x', y.
2. Below s, `walk` goes from the last candidate to the first and meets each with all later ones.
   s v = 0124 has larger groups with x and x': both leave 012, so x' is dropped: each group with x'
   equals one with x. 3 buys are within the limits: `offer_set` puts 012 among the sets to be
   scored, at size 3.
3. The candidates of s v are its mask: x and y. Those that may follow x have to follow x below s as
   well; that mask is known, because x comes after v.
4. s v x has larger groups of at least |s v x| + |s v y| - |s v| = 2 buys, so they may be within the
   limits (`drop_larger`). `is_new_group`: 012 was not seen before, as a group of 3. `find_larger`
   finds s v x y = 012 again, at size 4.
5. `flush` drops a set that was already scored at its size, by its fingerprint. `score_set` adds up
   the rows of labels of the tickers 0, 1, 2: 100, 110 and 100, one bit a replicate. The hits are
   3 1 0, in planes: ones 110, twos 100. Replicate 0 reaches the floor; a bound decides on scoring.

Why this is exact although groups are skipped:

- A dropped candidate has the consensus of an *earlier one of its algorithm*, so the same variations
  may follow. That one may be dropped for a still earlier one; the chain ends in one that is a
  representative in every group it passes through.
- A group is skipped when one of equal consensus, size and last algorithm was looked into: what it
  leads to has been found. The table is emptied when a starter is interrupted.
- Sets are compared by fingerprints of 64 bits with keys that are fixed but random. A look-up takes
  one set for another with odds of at most 2^-63, so 10^9 look-ups go wrong with odds of 1.1e-10.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

import numpy as np

from mp2 import _recurse
from mp2.data import bitset
from mp2.data.arrays import aligned
from mp2.data.panel import first_alike
from mp2.groups.kept import day_weights
from mp2.groups.logarithms import logs_of_mean_buys

from mp2._kernel.replicates_state cimport *
from mp2._kernel.replicates_walk cimport walk_starter
from mp2._kernel.score cimport ScoreRules
from mp2._kernel.state cimport TURN_EXHAUSTED, mp2_find_loops, reserve, take
from mp2._recurse cimport Control

# Fingerprints, of all workers together.
SEEN_BYTES = 32 << 20


cdef class ReplicateSearch:
    """The groups of a panel and labels to test them with, ready for any number of workers.

    With D days, T tickers and B replicates:

    - `panel`: a consistent `SignalPanel`; its wins are not used;
    - `labels` uint64[D, T + 1, n_label_words]: bit r of `labels[d, t]` (bit r % 64 of word r // 64)
      says that ticker t wins on day d in replicate r; `labels[d, T]` is empty; `n_label_words` is a
      multiple of 8 and at least B / 64; read-only arrays welcome;
    - `n_workers`: how many share the memory for tables;
    - `check_words`: words of work between two looks at the clock.

    ValueError when shapes disagree.
    """

    cdef readonly int64_t n_replicates
    cdef ScoreRules rules
    cdef Family family
    cdef list arrays
    cdef object alias_of, exhausted, retain_sizes
    cdef int64_t n_slots

    def __init__(
        self, panel, rules, labels, int64_t n_replicates, *, int n_workers=4,
        int64_t check_words=_recurse.CHECK_WORDS,
    ):
        shape = (len(panel.days), len(panel.tickers) + 1)
        if not panel.consistent:
            raise ValueError("replicates need a consistent panel")
        if labels.dtype != np.uint64 or labels.ndim != 3 or labels.shape[:2] != shape:
            raise ValueError(f"labels are {labels.dtype}{labels.shape}, not uint64{shape}, words")
        if labels.shape[2] % BLOCK_WORDS or not 1 <= n_replicates <= 64 * labels.shape[2]:
            raise ValueError(f"{n_replicates} replicates do not fit {labels.shape[2]} words")
        self.arrays = []
        self.n_replicates = n_replicates
        self.rules = rules.to_dict()
        self.retain_sizes = rules.retain_sizes
        self.family.check_words = check_words
        self.family.labels = <const uint64_t *>self._keep(labels, np.uint64)
        self.family.n_label_words = labels.shape[2]
        # By first alias: groups by size of its exhausted class.
        self.exhausted = {}
        self.n_slots = 1 << (SEEN_BYTES // (8 * max(1, n_workers))).bit_length() - 1
        self._describe_panel(panel)
        self._describe_bound(panel, rules)

    cdef void *_keep(self, values, dtype) except NULL:
        """Return where values are, as a C array that lives as long as this object."""
        array = aligned(np.ascontiguousarray(values, dtype))
        self.arrays.append(array)
        return <void *><size_t>array.ctypes.data

    cdef _describe_panel(self, panel):
        cdef Family *family = &self.family
        cdef mp2_panel *own = &family.panel
        cdef int32_t size
        n_members, n_days, n_words = panel.buys.shape
        rows = np.zeros((n_members, (n_days * n_words + 7) // 8 * 8), np.uint64)
        rows[:, :n_days * n_words] = panel.buys.reshape(n_members, -1)
        own.rows = <const uint64_t *>self._keep(rows, np.uint64)
        own.n_days = n_days
        own.n_words = n_words
        own.row_words = rows.shape[1]
        own.floor = self.rules.min_daily_hits
        own.cap = self.rules.max_daily_buys
        family.n_tickers = len(panel.tickers)
        family.n_planes = max(3, int(family.n_tickers).bit_length())
        family.n_set_planes = max(3, int(min(own.cap, family.n_tickers)).bit_length())
        family.n_lanes = (n_days + 7) // 8 * 8
        family.max_chunks = max(1, (int(bitset.count(panel.buys).max()) + 63) // 64)
        family.lanes = <const int32_t *>self._keep(np.arange(n_days), np.int32)
        family.rules = &self.rules
        family.max_size = max(self.retain_sizes)
        for size in range(MAX_SIZE + 1):
            family.row_of_size[size] = -1
        for size in self.retain_sizes:
            family.row_of_size[size] = self.retain_sizes.index(size)
        # Random, but the same in every process: a result may not depend on chance.
        keys = np.random.Philox(key=20240105).random_raw(2 * own.row_words + 40)
        family.keys = <const uint64_t *>self._keep(keys, np.uint64)
        self.alias_of = first_alike(panel)
        algo_of = panel.algo_of
        after = np.searchsorted(algo_of, algo_of, side="right")
        family.n_members = n_members
        family.n_words = bitset.n_words(n_members)
        everyone = bitset.pack(np.ones(n_members, np.bool_))
        family.everyone = <const uint64_t *>self._keep(everyone, np.uint64)
        family.algo_of = <const int32_t *>self._keep(algo_of, np.int32)
        family.after = <const int32_t *>self._keep(after, np.int32)

    cdef _describe_bound(self, panel, rules):
        """See `replicates_score.pxd`."""
        cdef Family *family = &self.family
        cdef int32_t D = family.panel.n_days
        weights = np.asarray(day_weights(panel.base_win_rates, rules))
        # By a float: C cuts the half off, and the bound of an even number of days would not hold.
        distance = np.arange(D) - (D - 1) / 2.0
        median = max(0.0, rules.median_pp_weight)
        second = max(0.0, rules.second_worst_pp_weight)
        slopes = (rules.weighted_pp_weight * weights + median) / D
        slopes += second / max(1, D - 1)
        if D > 1:
            slopes += rules.rising_weight * distance / (distance**2).sum()
            family.second_worst_share = second / (D - 1)
        family.slopes = <const double *>self._keep(slopes, np.float64)
        family.day_weights = <const double *>self._keep(weights, np.float64)
        logs = logs_of_mean_buys(D, family.n_tickers, rules.coverage_cap)
        family.logs = <const double *>self._keep(logs, np.float64)
        family.last_log = len(logs) - 1
        family.win_rates = <const double *>self._keep(panel.base_win_rates + 1.0, np.float64)
        family.bounded = (
            rules.mad_weight >= median and rules.iqr_weight >= 0
            and rules.rising_weight <= rules.falling_weight
            and rules.wilson_weight >= 0 and rules.wilson_z >= 0
        )
        # More than all terms of a score together, for what rounding does to a bound.
        constants = 100 + sum(abs(value) for value in self.rules.values())
        family.slack = 1e-12 * constants * (constants + D + family.n_tickers) ** 2
        # A hit is worth at most some 8 units.
        gain = 100 * (np.abs(slopes).max() + abs(rules.wilson_weight) / D)
        family.n_units = 8 * max(1, rules.min_daily_hits) / max(1e-6, gain)
        family.n_sums = min(32, family.n_set_planes + (8 * D).bit_length() + 2)
        # cv_buys**2 <= D / (D - 1) * (most - least)**2 / (4 most least) (Bhatia and Davis 2000).
        least, most = family.panel.floor, min(family.panel.cap, family.n_tickers)
        limit = 4.0 * least * most * max(0.0, rules.max_cv_buys) ** 2 * (D - 1)
        family.steady = 0 < D * (most - least) ** 2 < limit * (1 - 1e-9)

    def worker(self):
        """Return a new `ReplicateWorker`."""
        return ReplicateWorker(self)

    def lower(self, int64_t n_replicates):
        """Use the first `n_replicates` only, in every `run` that begins from now on."""
        self.n_replicates = n_replicates


cdef class ReplicateWorker:
    """Maxima of the groups that one thread has met; not for use by two threads at once.

    - `n_groups` int64[n_retained_sizes]: groups within the limits on buys, of exhausted starters;
    - `n_groups_exact`: nothing was skipped, so `n_groups` is exact; else it is a lower bound;
    - `enumeration_ns`, `scoring_ns`: time in `run`; only the second grows with the replicates.
    """

    cdef ReplicateSearch search
    cdef Walk walk
    cdef object _maxima, _levels, _valid, _tables
    cdef readonly object n_groups
    cdef readonly int64_t enumeration_ns, scoring_ns

    def __init__(self, ReplicateSearch search not None):
        cdef Walk *t = &self.walk
        self.search = search
        t.family = &search.family
        t.exact = 1
        n_blocks = (search.n_replicates + BLOCK - 1) // BLOCK
        n_sizes = len(search.retain_sizes)
        self._maxima = np.full((n_sizes, n_blocks * BLOCK), -np.inf)
        self._levels = np.zeros(n_sizes * n_blocks * search.family.n_sums * BLOCK_WORDS, np.uint64)
        self._valid = np.zeros(n_blocks * BLOCK_WORDS, np.uint64)
        self._tables = np.zeros(search.n_slots + N_REPRESENTATIVES, np.uint64)
        self.n_groups = np.zeros(n_sizes, np.int64)
        t.maxima = <double *><size_t>self._maxima.ctypes.data
        t.levels_of_maxima = <uint64_t *><size_t>self._levels.ctypes.data
        t.valid = <uint64_t *><size_t>self._valid.ctypes.data
        t.seen = <uint64_t *><size_t>self._tables.ctypes.data
        t.representatives = t.seen + search.n_slots
        t.max_blocks = n_blocks
        t.n_slots = search.n_slots
        place_lists(t)
        if reserve(&t.lists) != GO_ON:
            raise MemoryError("no memory to test replicates; lower --workers")
        place_lists(t)

    def __dealloc__(self):
        free(self.walk.lists.memory)

    @property
    def maxima(self):
        """float64[size, replicate in use]: the best score, -inf without an eligible group."""
        return self._maxima[:, :self.search.n_replicates].copy()

    @property
    def n_groups_exact(self):
        return bool(self.walk.exact)

    @property
    def counts(self):
        """What was done, for benchmarks: counters by name."""
        t = self.walk
        return {"groups": t.n_visited, "sets": t.n_sets, "evaluated": t.n_evaluated,
                "dead_of_first": t.n_dead, "bytes": t.lists.capacity}

    def run(self, int32_t starter, Control control not None):
        """Meet every replicate with all groups that begin with a variation.

        Returns EXHAUSTED when that is done and the maxima are merged; WALL or STOPPED when
        `control` ended it before. Then some of its scores are in the maxima, and it may be run
        again, by any worker. The GIL is released throughout.
        """
        cdef Walk *t = &self.walk
        cdef Status status
        cdef int32_t member
        cdef int64_t started_ns
        if not 0 <= starter < len(self.search.alias_of):
            raise ValueError(f"starter {starter} does not belong to this panel")
        member = self.search.alias_of[starter]
        known = self.search.exhausted.get(member)
        if known is not None:
            self.n_groups += known
            return _recurse.EXHAUSTED
        self._begin(control)
        with nogil:
            started_ns = mp2_now_ns()
            status = walk_starter(t, member)
            self.scoring_ns += t.scoring_ns
            self.enumeration_ns += mp2_now_ns() - started_ns - t.scoring_ns
        if status == TURN_EXHAUSTED:
            known = [t.n_groups[<int>size] for size in self.search.retain_sizes]
            self.search.exhausted[member] = known
            self.n_groups += known
        else:
            # What the tables know may not have been scored.
            self._tables[:] = 0
        return <int>status

    cdef _begin(self, Control control):
        cdef Walk *t = &self.walk
        cdef int64_t n_replicates = self.search.n_replicates
        t.loops = mp2_find_loops(_recurse.simd().encode())
        t.stop = &control._stop
        t.wall_ns = &control._wall_ns
        t.credit = t.family.check_words
        t.pending.n = t.scoring_ns = 0
        memset(t.n_groups, 0, sizeof(t.n_groups))
        t.n_blocks = (n_replicates + BLOCK - 1) // BLOCK
        self._valid[:] = bitset.pack(np.arange(t.max_blocks * BLOCK) < n_replicates)


cdef void place_lists(Walk *t) noexcept nogil:
    """Lay out what a worker needs for all starters; see `Arena`."""
    cdef const Family *family = t.family
    cdef Arena *lists = &t.lists
    cdef Scoring *s = &t.scoring
    cdef Level *level
    cdef int64_t n = family.panel.row_words * sizeof(uint64_t), D = family.panel.n_days
    cdef int64_t mask = family.n_words * sizeof(uint64_t), n_masks
    cdef int64_t node_row = family.n_lanes * family.max_chunks * sizeof(uint64_t)
    cdef int32_t size
    t.node.n_days = <int32_t>D
    t.node.n_lanes = family.n_lanes
    t.node.floor = family.panel.floor
    t.node.cap = family.panel.cap
    t.node.rows = <uint64_t *>take(lists, family.n_members * node_row)
    t.moves = <uint64_t *>take(lists, 6 * n)
    t.within = <uint64_t *>take(lists, mask)
    t.n_buys = <int32_t *>take(lists, D * sizeof(int32_t))
    t.counts = <uint8_t *>take(lists, 64 * D * family.n_words)
    for size in range(family.max_size):
        level = &t.levels[size]
        level.words = <uint64_t *>take(lists, node_row)
        level.consensus = <uint64_t *>take(lists, n)
        # The last level, and the starter's, need one mask at a time.
        n_masks = family.n_members if 0 < size < family.max_size - 2 else 1
        level.masks = <uint64_t *>take(lists, n_masks * mask)
        level.prints = <mp2_print *>take(lists, family.n_members * sizeof(mp2_print))
    t.pending.words = <uint64_t *>take(lists, N_PENDING * n)
    s.tickers = <int32_t *>take(lists, D * (family.n_tickers + 8) * sizeof(int32_t))
    s.planes = <uint64_t *>take(lists, D * family.n_planes * BLOCK_WORDS * sizeof(uint64_t))
    s.codes = <int32_t *>take(lists, D * sizeof(int32_t))
    s.days.n = <int32_t>D
    s.days.weights = family.day_weights
    s.days.logs = family.logs
    s.days.last_log = family.last_log
    s.days.hits = <int32_t *>take(lists, D * sizeof(int32_t))
    s.days.buys = <int32_t *>take(lists, D * sizeof(int32_t))
    s.days.pp = <double *>take(lists, D * sizeof(double))
    s.days.sorted_pp = <double *>take(lists, D * sizeof(double))
