# cython: language_level=3, freethreading_compatible=True
"""The search kernel: depth-first recursion over groups of variations, on bitsets, without the GIL.

Read top-down. First come the documented classes, then what allocates and fills a turn with the
GIL, then the driver of the recursion without it. Its parts are in `_kernel/`:

    state   the structs of a turn by role, statuses, the arena     simd         instruction sets
    score   statistics, eligibility and score of one group         loops_panel  general loops
    heap    the best groups of one size                            loops_block  candidates by 64
    ideas   the best ideas of one size                             loops_decide last members
    path    frames, general loops, evaluation, the clock           platform     clock and atomics
    base    a group whose candidates are projected
    block   pairs and triples below a base                         bytes        64 compared at once

One example, worked through: 8 tickers (0..7), 2 days, at least 2 hits a day, groups of up to 4.
Tickers 0-3 win on day 1 and 1-4 on day 2. The starter s and one variation each of three later
algorithms buy

         day 1            day 2
    s    0 1 2 3 4 5      1 2 3 4 6
    v    0 1 2 4 7        1 2 4 5
    x    0 1 2 3 5        1 2 3 4
    y    0 1 2 6          1 2 4 6

1. `begin` visits s (attempts = 1). Its state is what it buys, winners apart from losers: 0123 | 45
   on day 1, 1234 | 6 on day 2. Candidates are all variations of later algorithms.
2. `scan` looks at each candidate's row once. s v has the winners 012 and 124, so it survives; a
   candidate with fewer than 2 on any day would not. On a consistent panel hits only fall as a group
   grows, so the survivors are the *tail candidates* of the next level (the tail lists of Eclat).
3. The last three levels, where nearly all groups are, lie below a *base* (here s itself) and are
   walked in blocks of 64 candidates. `open_base` projects the rows onto the tickers that s buys:
   the bits of v become 0111 | 01 on day 1 (of 0123 | 45) and 1011 | 0 on day 2 (of 1234 | 6).
4. `open_pair` makes s v a pair and counts what it loses with every later candidate: a row of the
   *support table*. s v has 3 hits a day and loses none of them with x, and none with y.
5. `pair_step` visits the x of the pair, and `visit_children` decides all y of an x at once:
   s v x has one hit a day more than the floor and y takes none, so s v x y passes uncounted. On
   day 2 s v x has 3 buys. With a cap of 2 a y would have to take one of them; this one takes none
   of the buys of s v, so s v x y need not be scored.
6. Visits that returned at once were never made: `count_up_to` counts them by subtracting numbers.

Which path walks a group:

    consistent   base fits   limit inside   walked by
    no           -           -              `inner_step` and `leaf_step`, on the panel's rows
    yes          no          -              the same (also for more than 256 days, and max_size 2)
    yes          yes         no             `inner_step` above the base, then `pair_step`
    yes          yes         yes            `triple_step`, which visits the y of an x piece by piece

Every `check_words` words of work the kernel looks at the stop flag, the wall and the deadline. The
first two end a turn anywhere. The deadline ends it once it has made an attempt, so that the
shortest turn makes progress. A turn that ends leaves its cursor and counters in the starter's
record, and any thread can resume it.
"""

import os
from dataclasses import fields

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from mp2.errors import InputError
from mp2.groups.logarithms import logs_of_mean_buys
from mp2.groups.rules import COUNTS, PRUNINGS, Rules

from mp2._kernel.base cimport open_base
from mp2._kernel.block cimport open_pair, pair_step, triple_step
from mp2._kernel.heap cimport MAX_SIZE, N_BINS, Entry, Heap, Idea, offer
from mp2._kernel.ideas cimport fold, key_of, offer_idea
from mp2._kernel.path cimport (
    begin, check, count_days, count_up_to, evaluate, leaf_step, place_lists, push, scan,
    spend,
)
from mp2._kernel.score cimport (
    Days, ScoreRules, Statistics, add_score, compare_days, is_eligible, sum_days,
)
from mp2._kernel.state cimport *

EXHAUSTED = TURN_EXHAUSTED
LIMIT = TURN_AT_LIMIT
WALL = TURN_AT_WALL
STOPPED = TURN_STOPPED
WORK_LIMIT = TURN_AT_WORK_LIMIT

# Words of work between two looks at the clock: measured 0.1 ms late at p95, at any row width.
CHECK_WORDS = 65536
# Memory of a running starter beside its lists: half for support tables, a quarter for projected
# rows, at most as much for the same words side by side. Bases whose rows do not fit are searched by
# the general loops.
TURN_BYTES = 48 << 20
NO_MEMORY = "no memory to search a starter; lower --table-memory, --workers or --top"
ENTRY_BYTES = sizeof(Entry)
IDEA_BYTES = sizeof(Idea)

cdef StarterState _starter
cdef Statistics _statistics
cdef ScoreRules _rules
STARTER_DTYPE = np.asarray(<StarterState[:1]> &_starter).dtype
# As `Idea` has it, flat: Cython cannot derive the dtype of a struct in a struct.
IDEA_DTYPE = np.dtype(
    [("score", "f8"), ("members", "i4", (MAX_SIZE,)), ("key", "u8"), ("n_groups", "i8")]
)
STATISTICS_DTYPE = np.asarray(<Statistics[:1]> &_statistics).dtype


def _check_rules():
    """Compare the fields of `Rules` with the kernel's struct, which is filled by name."""
    elsewhere = {"retain_sizes", "top_k"}
    names = {spec.name for spec in fields(Rules)} - elsewhere
    names = {name for name in names if not name.startswith(("day_weight_", "pick_"))}
    differing = names ^ set(_rules)
    if differing:
        raise ImportError(f"Rules and ScoreRules differ: {sorted(differing)}; see CONTRIBUTING.md")


_check_rules()


def now_ns():
    """The monotonic clock that kernels and scheduler measure with, in nanoseconds."""
    return mp2_now_ns()


cdef const mp2_loops *active_loops


def simd():
    """Name of the instruction set that kernels use."""
    return active_loops.name.decode()


def simd_available():
    """Names of the instruction sets of this machine, narrowest first."""
    names = ("portable", "neon", "avx2", "avx512")
    return tuple([name for name in names if mp2_find_loops(name.encode()) != NULL])


def simd_missing(str name):
    """What the instruction set `name` needs and this machine lacks, as names of features."""
    cdef bytes loops = name.encode()
    cdef const char *feature = mp2_missing_feature(loops, 0)
    missing = []
    while feature != NULL:
        missing.append(feature.decode())
        feature = mp2_missing_feature(loops, <int32_t>len(missing))
    return tuple(missing)


def use_simd(str name):
    """Choose the instruction set of turns that start from now on; all give equal results.

    InputError when this machine lacks it.
    """
    global active_loops
    cdef const mp2_loops *loops = mp2_find_loops(name.encode())
    if loops == NULL:
        available = ", ".join(simd_available())
        raise InputError(f"MP2_SIMD={name}: not available on this machine; use one of {available}")
    active_loops = loops


def build_info():
    """`release`, or `checked` for a build with assertions and test hooks."""
    return "checked" if MP2_CHECKED else "release"


def most_words_between_checks(reset=False):
    """Test hook of checked builds: most words of work between two looks at the clock so far."""
    cdef int64_t most = mp2_load(&mp2_most_words)
    if reset:
        mp2_store(&mp2_most_words, 0)
    return most


def describe(buys, hits, n_tickers, day_weights, rules):
    """Statistics and score of n groups over D days, by the code that scores groups in a search.

    `buys` and `hits` int[n, D] with `hits <= buys`, D >= 1; `n_tickers` int[n]: size of the union
    over days of a group's consensus; `day_weights` float64[D]. Returns STATISTICS_DTYPE[n] and the
    daily hit rates float64[n, D], percent.
    """
    cdef int32_t[:, ::1] buys_view = np.array(buys, dtype=np.int32, order="C")
    cdef int32_t[:, ::1] hits_view = np.array(hits, dtype=np.int32, order="C")
    cdef const int64_t[::1] n_tickers_view = np.ascontiguousarray(n_tickers, dtype=np.int64)
    cdef const double[::1] weights = np.ascontiguousarray(day_weights, dtype=np.float64)
    cdef Py_ssize_t n = buys_view.shape[0], n_days = buys_view.shape[1], i
    cdef ScoreRules constants = rules.to_dict()
    if n_days < 1 or not (n == hits_view.shape[0] == n_tickers_view.shape[0]
                          and n_days == hits_view.shape[1] == weights.shape[0]):
        raise ValueError("buys, hits, n_tickers and day_weights do not belong together")
    statistics = np.zeros(n, dtype=STATISTICS_DTYPE)
    pp = np.empty((n, n_days))
    cdef Statistics[::1] found = statistics
    cdef double[:, ::1] pp_view = pp
    cdef double[::1] ascending = np.empty(n_days)
    # Rounded up, so that most calls share a table.
    cdef int64_t most_buys = np.max(buys_view, initial=0) // 64 * 64 + 64
    cdef const double[::1] logs = logs_of_mean_buys(n_days, most_buys, constants.coverage_cap)
    cdef Days days
    for i in range(n):
        days = Days(n_days, &weights[0], &logs[0], logs.shape[0] - 1, &hits_view[i, 0],
                    &buys_view[i, 0], &pp_view[i, 0], &ascending[0])
        sum_days(&days, &found[i])
        compare_days(&constants, &days, &found[i])
        add_score(&constants, &days, n_tickers_view[i], &found[i])
        found[i].eligible = is_eligible(&constants, &found[i])
    return statistics, pp


cdef class Control:
    """Stop flag, deadline and wall of one running starter, shared by scheduler and kernel.

    Times are nanoseconds of `now_ns`. The flag and the deadline may be changed at any moment from
    any thread and are seen at the kernel's next check; the deadline only ever rises. `attempts` is
    what the kernel last published.
    """

    def __init__(self, int64_t deadline_ns, int64_t wall_ns):
        self._deadline_ns = deadline_ns
        self._wall_ns = wall_ns

    def stop(self):
        """Ask the kernel to return at its next check."""
        mp2_store(&self._stop, 1)

    def raise_deadline(self, int64_t deadline_ns):
        """Move the deadline later; an earlier one changes nothing."""
        mp2_raise(&self._deadline_ns, deadline_ns)

    def is_over(self):
        """Whether a turn would end before it begins: at a stop or the wall."""
        return self.stopped or mp2_now_ns() >= self._wall_ns

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


cdef class Kernel                               # what it is follows


cdef class TopGroups:
    """The `top_k` best groups of one size; ties go to the lexicographically smaller group.

    With `ideas_of`, the kernel of the panel, the `top_k` best ideas: the best group of each idea,
    which is what groups with the same consensus and the same hits on all days have in common.

    Not for use by two threads at once.
    """

    cdef Heap heap
    cdef int size
    cdef Kernel ideas_of

    def __init__(self, int size, int64_t top_k, Kernel ideas_of=None):
        if not 2 <= size <= MAX_SIZE or top_k < 1:
            raise ValueError(
                f"size must be 2..{MAX_SIZE} and top_k at least 1, not {size} and {top_k}"
            )
        self.size = size
        self.ideas_of = ideas_of
        self.heap.top_k = top_k
        self.heap.keeps_ideas = ideas_of is not None
        self.heap.least = self.heap.dropped = -INFINITY

    def __dealloc__(self):
        free(self.heap.entries)
        free(self.heap.ideas)

    def __len__(self):
        self._fold()
        return self.heap.n

    @property
    def n_bytes(self):
        """Bytes of memory taken."""
        return self.heap.capacity * (IDEA_BYTES if self.heap.keeps_ideas else ENTRY_BYTES)

    @property
    def threshold(self):
        """The least score with which a group may still be kept; it only rises."""
        self._fold()
        if self.heap.n == self.heap.top_k and not self.heap.keeps_ideas:
            self.raise_threshold(self.heap.entries[0].score)
        return self.heap.least

    def raise_threshold(self, double score):
        """Keep no groups below `score` that searches meet from now on; a lower one changes nothing.

        They are counted, but memory and time are saved where `top_k` of at least that score are
        kept elsewhere.
        """
        self.heap.least = max(self.heap.least, score)

    cdef _offer(self, const Entry *entry):
        if not offer(&self.heap, entry):
            raise MemoryError("no memory for the kept groups; lower --top")

    cdef _offer_idea(self, const Idea *idea):
        if not offer_idea(&self.ideas_of.signals.panel, self.size, &self.heap, idea):
            raise MemoryError("no memory for the kept ideas; lower --top")

    cdef _fold(self):
        if self.heap.keeps_ideas:
            fold(&self.ideas_of.signals.panel, self.size, &self.heap)

    def merge(self, TopGroups other):
        """Add what `other` kept. MemoryError: some of it is added."""
        cdef int64_t i
        for i in range(other.heap.n):
            if self.heap.keeps_ideas:
                self._offer_idea(&other.heap.ideas[i])
            else:
                self._offer(&other.heap.entries[i])
        self.heap.dropped = max(self.heap.dropped, other.heap.dropped)
        self.add_scores(other.n_scores())

    def n_scores(self):
        """Counts int64[N_BINS] of the scores of all eligible groups, by `mp2.groups.histogram`."""
        return np.asarray(<int64_t[:N_BINS]> self.heap.n_scores).copy()

    def add_scores(self, counts):
        """Add counts as `n_scores` gives them."""
        cdef const int64_t[::1] added = np.ascontiguousarray(counts, dtype=np.int64)
        cdef Py_ssize_t i
        if added.shape[0] != N_BINS:
            raise ValueError(f"counts{counts.shape} are not those of {N_BINS} bins")
        for i in range(N_BINS):
            self.heap.n_scores[i] += added[i]

    def restore(self, scores, members, n_groups=()):
        """Add groups as `ranked` gave them, and what `n_groups` gave with them.

        ValueError when the shapes do not belong together.
        """
        cdef const double[::1] scores_view = np.ascontiguousarray(scores, dtype=np.float64)
        cdef const int32_t[:, ::1] members_view = np.ascontiguousarray(members, dtype=np.int32)
        cdef const int64_t[::1] counts = np.ascontiguousarray(n_groups, dtype=np.int64)
        cdef Entry entry
        cdef Idea idea
        cdef Py_ssize_t i
        if members_view.shape[0] != len(scores) or members_view.shape[1] != self.size:
            raise ValueError(
                f"scores{scores.shape} and members{members.shape} are not groups of {self.size}"
            )
        if self.heap.keeps_ideas and counts.shape[0] != len(scores):
            raise ValueError(f"{counts.shape[0]} n_groups are not those of {len(scores)} ideas")
        memset(&entry, 0, sizeof(entry))
        for i in range(scores_view.shape[0]):
            entry.score = scores_view[i]
            memcpy(entry.members, &members_view[i, 0], self.size * sizeof(int32_t))
            if not self.heap.keeps_ideas:
                self._offer(&entry)
                continue
            idea.best = entry
            idea.key = key_of(&self.ideas_of.signals.panel, self.size, &entry)
            idea.n_groups = counts[i]
            self._offer_idea(&idea)
            if idea.n_groups == 0:
                self.heap.dropped = max(self.heap.dropped, entry.score)

    def with_first(self, int32_t variation_idx):
        """Return the same groups with another first member, as an alias of it finds them."""
        cdef TopGroups other = TopGroups(self.size, self.heap.top_k, self.ideas_of)
        cdef Entry entry
        cdef Idea idea
        cdef int64_t i
        for i in range(self.heap.n):
            if self.heap.keeps_ideas:
                idea = self.heap.ideas[i]
                idea.best.members[0] = variation_idx
                other._offer_idea(&idea)
            else:
                entry = self.heap.entries[i]
                entry.members[0] = variation_idx
                other._offer(&entry)
        other.heap.dropped = self.heap.dropped
        other.add_scores(self.n_scores())
        return other

    def best(self):
        """The highest score kept, or None."""
        return self._entries()["score"].max() if self.heap.n else None

    def ranked(self):
        """Scores float64[n] and variation numbers int32[n, size], best first."""
        entries = self._entries()
        scores = entries["score"]
        members = entries["members"][:, :self.size]
        order = np.lexsort((*members.T[::-1], -scores))
        return scores[order], members[order]

    def n_groups(self):
        """How many eligible groups each idea has, int64[n], best first; empty without ideas.

        0 where that is not known: others with the score of the last idea were not kept.
        """
        if not self.heap.keeps_ideas:
            return np.zeros(0, np.int64)
        # Folded ideas are in this order.
        ideas = self._ideas()
        return np.where(ideas["score"] > self.heap.dropped, ideas["n_groups"], 0)

    cdef _entries(self):
        """A copy of the heap, or of the ideas, with the fields of `Entry`."""
        cdef Entry none
        if self.heap.keeps_ideas:
            return self._ideas()
        if self.heap.n == 0:
            return np.asarray(<Entry[:1]> &none)[:0]
        return np.asarray(<Entry[:self.heap.n]> self.heap.entries).copy()

    cdef _ideas(self):
        """A copy of the folded ideas as an array of IDEA_DTYPE."""
        self._fold()
        if self.heap.n == 0:
            return np.zeros(0, IDEA_DTYPE)
        octets = <uint8_t[:self.heap.n * IDEA_BYTES]> <uint8_t *>self.heap.ideas
        return np.asarray(octets).copy().view(IDEA_DTYPE)


cdef class Kernel:
    """A panel and rules, ready to be searched by any number of threads; nothing in it changes.

    With V variations, D days and W words a day:

    - `buys` uint64[V, D, W]: bitsets of the tickers each variation buys;
    - `wins` uint64[D, W] (consistent) or uint64[V, D, W] (inconsistent; a subset of `buys`);
    - `algo_of` int32[V]: never falling; `day_weights` float64[D]; `rules`: see `Rules`;
    - `count`: one of `COUNTS`; `without`: names of `PRUNINGS` to leave out;
    - `turn_bytes`: about what a running starter may take beside its lists; less is slower;
    - `check_words`: words of work between two looks at the clock.

    All arrays C-contiguous, read-only ones welcome. ValueError when shapes disagree or a name is
    unknown.
    """

    cdef const uint64_t[:, :, ::1] buys
    cdef const uint64_t[:, ::1] wins
    cdef const uint64_t[:, :, ::1] mixed_wins
    cdef const double[::1] day_weights
    cdef const double[::1] logs
    cdef int32_t[::1] next_algo
    cdef ScoreRules rules
    cdef Signals signals
    cdef Options options
    cdef object retain_sizes

    def __init__(
        self, buys, wins, algo_of, day_weights, rules, *, count="exact", without=frozenset(),
        int64_t turn_bytes=TURN_BYTES, int64_t check_words=CHECK_WORDS,
    ):
        if count not in COUNTS or not set(without) <= set(PRUNINGS):
            raise ValueError(
                f"count {count!r} without {sorted(without)}: choose from {COUNTS} and {PRUNINGS}"
            )
        if not (buys.ndim == 3 and wins.shape in (buys.shape, buys.shape[1:])
                and algo_of.shape == buys.shape[:1] and day_weights.shape == buys.shape[1:2]):
            raise ValueError(f"buys{buys.shape}, wins{wins.shape}, algo_of{algo_of.shape}, "
                             f"day_weights{day_weights.shape} do not belong together")
        if buys.shape[1] * buys.shape[2] >= 2**30 or buys.shape[0] >= 2**30:
            raise ValueError("more than 2^30 words a row or variations")
        self.buys = buys
        self.day_weights = day_weights
        self.logs = logs_of_mean_buys(buys.shape[1], 64 * buys.shape[2], rules.coverage_cap)
        self.next_algo = np.searchsorted(algo_of, algo_of, side="right").astype(np.int32)
        self.rules = rules.to_dict()
        self.retain_sizes = rules.retain_sizes
        self._describe_signals(wins)
        self.options.fast = count == "fast"
        self.options.use_tails = "tail_masks" not in without
        self.options.use_hits_bound = "hits_bound" not in without
        self.options.use_cap_bound = "cap_bound" not in without
        self.options.max_row_bytes = turn_bytes // 4
        self.options.max_support_bytes = turn_bytes // 2
        self.options.check_words = check_words
        for size in self.retain_sizes:
            self.options.retained[<int>size] = 1
        if wins.ndim == 2 and rules.max_size >= 3 and buys.shape[1] <= MP2_MAX_LANES:
            self.options.base_depth = max(1, rules.max_size - 3)
            self.options.pair_depth = rules.max_size - 2

    cdef _describe_signals(self, wins):
        cdef mp2_panel *panel = &self.signals.panel
        if wins.ndim == 2:
            self.wins = wins
            panel.wins = &self.wins[0, 0]
        else:
            self.mixed_wins = wins
            panel.win_rows = &self.mixed_wins[0, 0, 0]
        self.signals.n_variations = self.buys.shape[0]
        self.signals.next_algo = &self.next_algo[0]
        panel.rows = &self.buys[0, 0, 0]
        panel.n_days = self.buys.shape[1]
        panel.n_words = self.buys.shape[2]
        panel.row_words = panel.n_days * panel.n_words
        panel.floor = self.rules.min_daily_hits
        panel.cap = self.rules.max_daily_buys

    def run(self, starter, Control control not None, dict heaps, int64_t max_attempts=0):
        """Search one starter until it is exhausted or `control` ends the turn; call it to resume.

        `starter` is one record of dtype STARTER_DTYPE as an array of shape (1,), all zero except
        for `variation_idx` before the first turn; it is updated in place and must not be given to
        two threads. `heaps` maps each retained size to the `TopGroups` that receive this turn's
        groups. `max_attempts` stops the starter at exactly that many attempts over all its turns
        (0: no limit). Returns EXHAUSTED, LIMIT, WALL, STOPPED or WORK_LIMIT. The GIL is released
        throughout. Raises MemoryError (the turn's counters are not to be used then) and
        OverflowError.
        """
        cdef Turn turn
        cdef Status status
        if starter.dtype != STARTER_DTYPE or starter.shape != (1,):
            raise ValueError("starter must be one record of dtype STARTER_DTYPE")
        # As bytes: to compare the fields of the record takes as long as a search of few groups.
        cdef uint8_t[::1] record = starter.view(np.uint8)
        cdef StarterState *state = <StarterState *>&record[0]
        if not (0 <= state.variation_idx < self.signals.n_variations
                and 0 <= state.depth < self.rules.max_size):
            raise ValueError(
                f"starter {state.variation_idx} at depth {state.depth} "
                "does not belong to this panel"
            )
        if max_attempts < 0 or 0 < max_attempts < state.attempts:
            raise ValueError(
                f"max_attempts {max_attempts} is less than "
                f"the {state.attempts} attempts already made"
            )
        self._fill(&turn, state, control, heaps)
        turn.options.max_attempts = max_attempts
        with nogil:
            status = run_turn(&turn)
        free(turn.lists.memory)
        free(turn.tables.memory)
        if status == TURN_NO_MEMORY:
            raise MemoryError(NO_MEMORY)
        if status == TURN_OVERFLOW:
            raise OverflowError("a starter's attempts leave their range; set max_attempts")
        return <int>status

    # -----------------------------------------------------------------------------------------
    # Tier 2: a turn is allocated and filled with the GIL.

    cdef _fill(self, Turn *turn, StarterState *state, Control control, dict heaps):
        """Everything the recursion needs, as raw pointers. MemoryError."""
        cdef TopGroups groups
        memset(turn, 0, sizeof(turn[0]))
        turn.rules = &self.rules
        turn.loops = active_loops
        turn.starter = state
        turn.options = self.options
        turn.signals = self.signals
        turn.clock = Clock(&control._stop, &control._deadline_ns, &control._wall_ns,
                           &control._attempts, state.attempts, self.options.check_words)
        turn.scratch.days.n = self.signals.panel.n_days
        turn.scratch.days.weights = &self.day_weights[0]
        turn.scratch.days.logs = &self.logs[0]
        turn.scratch.days.last_log = self.logs.shape[0] - 1
        for size in self.retain_sizes:
            groups = heaps[size]
            turn.heaps[<int>size] = &groups.heap
        place_lists(turn)
        if reserve(&turn.lists) != GO_ON:
            raise MemoryError(NO_MEMORY)
        place_lists(turn)


# ---------------------------------------------------------------------------------------------
# Tier 3: the recursion, without the GIL.


cdef Status run_turn(Turn *t) noexcept nogil:
    """Go on from the cursor to the end of the turn. A turn that ends before it leaves no trace."""
    cdef Status status
    if t.starter.exhausted:
        return TURN_EXHAUSTED
    status = check(t)
    if status != GO_ON:
        return status
    begin(t)
    status = rebuild_path(t)
    if status != GO_ON:
        return status
    while status == GO_ON and t.path.depth > 0:
        status = step(t)
    if status == TURN_NO_MEMORY:
        return status
    return leave(t, status)


cdef Status rebuild_path(Turn *t) noexcept nogil:
    """Bring the frames back to where an earlier turn left its cursor; nothing is counted.

    A last frame whose cursor has not moved may never have been scanned: `step` does it, as new
    work. A leaf frame needs no scan of its own.
    """
    cdef Frame *frame
    cdef int32_t level, depth = t.starter.depth
    cdef Status status
    t.path.rebuilding = 1
    for level in range(1, depth + 1):
        frame = &t.path.frames[level]
        frame.next = t.starter.cursor[level - 1]
        if level == depth and frame.next == t.signals.next_algo[frame.member]:
            break
        if level == t.rules.max_size - 1:
            break
        status = make_ready(t, level)
        if status != GO_ON:
            return status
        if level < depth:
            push(t, level, frame.next - 1)
    t.path.rebuilding = 0
    return GO_ON


cdef Status leave(Turn *t, Status status) noexcept nogil:
    """Write the cursor back. A position with no visit left is exhausted, however the turn ended."""
    cdef Path *path = &t.path
    cdef int32_t level
    while path.depth > 0 and path.frames[path.depth].next == t.signals.n_variations:
        path.depth -= 1
    for level in range(MAX_SIZE):
        t.starter.cursor[level] = path.frames[level + 1].next if level < path.depth else 0
    t.starter.depth = path.depth
    t.starter.exhausted = path.depth == 0
    mp2_store(t.clock.attempts, t.starter.attempts - t.clock.attempts_at_start)
    return TURN_EXHAUSTED if path.depth == 0 else status


cdef Status step(Turn *t) noexcept nogil:
    """Advance at the current depth: by a child, a block of leaves, or a pair up to a check."""
    cdef Frame *frame = &t.path.frames[t.path.depth]
    cdef bint has_children = frame.next < t.signals.n_variations
    cdef Status status
    if t.path.depth == t.rules.max_size - 1:
        return triple_step(t) if t.base.usable else leaf_step(t)
    if not frame.scanned and has_children and t.starter.attempts == t.options.max_attempts:
        return TURN_AT_WORK_LIMIT
    status = make_ready(t, t.path.depth)
    if status != GO_ON:
        return status
    if t.base.usable and t.path.depth == t.options.pair_depth:
        return pair_step(t)
    return inner_step(t)


cdef Status make_ready(Turn *t, int32_t level) noexcept nogil:
    """Find the survivors of a frame above the leaves, and open the base when this is its level."""
    cdef Status status = GO_ON
    if not t.path.frames[level].scanned:
        if t.base.usable and level == t.options.pair_depth:
            status = open_pair(t)
        else:
            status = scan(t, level)
    if status == GO_ON and level == t.options.base_depth and not t.base.tried:
        status = open_base(t)
        if status == GO_ON and t.base.usable and level == t.options.pair_depth:
            status = open_pair(t)
    return status


cdef Status inner_step(Turn *t) noexcept nogil:
    """Visit the next child that survives, and step into it; or go back up."""
    cdef Frame *frame = &t.path.frames[t.path.depth]
    cdef int32_t at = lower_bound(frame.passing, frame.n_passing, frame.next)
    cdef int32_t size = t.path.depth + 1, v
    cdef Status status
    if at == frame.n_passing:
        if not count_up_to(t, frame, t.signals.n_variations):
            return TURN_AT_WORK_LIMIT
        t.path.depth -= 1
        return GO_ON
    v = frame.passing[at]
    if not count_up_to(t, frame, v + 1):
        return TURN_AT_WORK_LIMIT
    t.starter.tested[size] += 1
    if t.options.retained[size]:
        count_days(t, frame, v)
        t.scratch.path_ready = 0
        status = evaluate(t, size, v)
        if status != GO_ON:
            return status
    push(t, t.path.depth, v)
    return spend(t, 2 * t.signals.panel.row_words + 16)


use_simd(os.environ.get("MP2_SIMD") or simd_available()[-1])
