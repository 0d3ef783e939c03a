# cython: language_level=3
"""The structs of the test of replicates: what all workers share, and what one of them has."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from mp2._kernel.heap cimport MAX_SIZE
from mp2._kernel.score cimport Days, ScoreRules
from mp2._kernel.state cimport (
    GO_ON, MP2_PREFETCH, TURN_AT_WALL, TURN_STOPPED, Arena, Status, count_words, mp2_load,
    mp2_loops, mp2_lowest_bit, mp2_node, mp2_now_ns, mp2_panel, mp2_print, next_bit,
)


cdef enum:
    BLOCK = 512                  # replicates that are counted at once
    BLOCK_WORDS = 8
    N_PENDING = 64               # sets found, but not yet looked up and scored
    N_REPRESENTATIVES = 1024     # places for the candidates of one algorithm
    N_MEASURED = 1024            # groups whose duplicates are counted before any is skipped


cdef struct Family:
    # The groups that are tested, and the labels; nothing in it changes.
    mp2_panel panel              # rows of whole vectors; floor and cap are limits on buys here
    const ScoreRules *rules
    const double *day_weights
    const double *logs           # see `Days`
    int64_t last_log
    int32_t n_members            # variations
    int32_t n_words              # of a set of them
    const uint64_t *everyone     # that set
    const int32_t *algo_of       # [n_members], like the next one
    const int32_t *after         # the first of a later algorithm
    int32_t max_size, n_tickers
    int32_t row_of_size[MAX_SIZE + 1]    # of the maxima; -1: not retained
    int32_t n_lanes              # days of a node, whole vectors
    int32_t max_chunks           # of a node
    const int32_t *lanes         # [n_days]
    int32_t n_planes             # of the count of a day
    int32_t n_set_planes         # of a set within the limits
    const uint64_t *labels
    int64_t n_label_words
    int64_t check_words
    const uint64_t *keys         # of fingerprints
    const double *win_rates      # of a day, in all replicates
    int32_t bounded              # see `replicates_score.pxd`, also for the next five
    const double *slopes         # [n_days]
    double second_worst_share
    double slack
    double n_units               # of the bound, in a score of 1
    int32_t n_sums               # planes of its sums
    int32_t steady               # `max_cv_buys` excludes no group within the other limits


cdef struct Level:
    # A group, and the candidates that may join it.
    uint64_t *words              # its consensus in the layout of the node
    uint64_t *consensus          # in the panel's
    const uint64_t *candidates   # bits
    uint64_t *masks              # of candidates
    mp2_print *prints            # of the group with each candidate


cdef struct Pending:
    uint64_t *words              # [N_PENDING][row_words]
    mp2_print prints[N_PENDING]
    int32_t sizes[N_PENDING]
    int32_t n


cdef struct Scoring:
    # The set that is scored, and scratch.
    int32_t *tickers             # [n_days][n_tickers + 8]
    uint64_t *planes             # [n_days][n_planes][BLOCK_WORDS]
    int32_t *codes               # [n_days]: rise of the bound for one more hit, in units
    uint64_t start               # of the sums
    bint bounded
    int64_t n_buys
    int64_t n_tickers            # of any day; 0: not counted yet, as is the bound
    int32_t n_planes             # that are in use
    int32_t first_day            # that is counted
    int32_t n_listed             # days
    Days days


cdef struct Walk:
    # One worker.
    const Family *family
    const mp2_loops *loops
    int64_t *stop
    int64_t *wall_ns
    int64_t credit
    int64_t scoring_ns
    int64_t n_groups[MAX_SIZE + 1]
    int64_t n_visited            # groups looked up
    int64_t n_sets               # scored
    int64_t n_evaluated          # (set, replicate) that met the score
    int32_t n_measured, n_dead   # groups of the last level counted, and without a hit
    int32_t exact                # nothing was skipped
    mp2_node node                # what candidates buy, projected onto what the starter buys
    uint64_t *moves              # of the projection
    uint64_t *within             # candidates within the limits
    int32_t *n_buys              # by day, of the group of the last level
    uint8_t *counts              # of it with each candidate, see `count_lanes`
    uint64_t n_salts             # of representatives: one a group and algorithm
    uint64_t *representatives    # [N_REPRESENTATIVES]
    uint64_t *seen               # fingerprints of groups looked into and sets scored, [n_slots]
    uint64_t n_slots
    double *maxima               # [n_sizes][max_blocks][BLOCK]
    uint64_t *levels_of_maxima   # [n_sizes][max_blocks][n_sums][BLOCK_WORDS]
    uint64_t *valid              # [max_blocks][BLOCK_WORDS]
    int32_t max_blocks
    int32_t n_blocks             # in use
    Level levels[MAX_SIZE + 1]
    Pending pending
    Scoring scoring
    Arena lists


cdef inline Status spend(Walk *t, int64_t words) noexcept nogil:
    """Account for some words of work; look at the clock when the credit is used up."""
    t.credit -= words
    return GO_ON if t.credit > 0 else check(t)


cdef inline Status check(Walk *t) noexcept nogil:
    """Look at the stop flag and the wall."""
    t.credit = t.family.check_words
    if mp2_load(t.stop):
        return TURN_STOPPED
    return TURN_AT_WALL if mp2_now_ns() >= mp2_load(t.wall_ns) else GO_ON


cdef inline bint is_known(
    uint64_t *table, uint64_t n_slots, const mp2_print *found, uint64_t salt
) noexcept nogil:
    """Whether a table has a fingerprint with this salt; now it has, as one of two in their place.

    It forgets, which costs time only.
    """
    cdef uint64_t at = found.slot & (n_slots - 1)
    cdef uint64_t key = found.key + salt * <uint64_t>0x9e3779b97f4a7c15
    cdef bint known
    if table[at] == key:
        return True
    known = table[at ^ 1] == key
    table[at ^ 1] = table[at]
    table[at] = key
    return known
