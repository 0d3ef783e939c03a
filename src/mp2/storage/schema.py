"""The tables of the store, in SQL, and how a file of an older version gets them."""

from __future__ import annotations

from collections.abc import Iterator

VERSION = 5
"""Version of the tables. 1: runs, starters, kept groups. 2: picks of later days and their outcomes. 3: visits, aliases.
4: scans, their outcomes and candidates; breakers. 5: where a run stands, to take it up again."""

OLDEST_READABLE = 1
"""Files of this version and later can be read without converting them; what they have no tables for is empty."""

PICKS_SINCE = 2
"""The version that brought `day_picks` and `outcome`."""

SCANS_SINCE = 4
"""The version that brought `scan`, `scan_outcome`, `scan_candidate` and `breaker`."""

STATES_SINCE = 5
"""The version that brought `run_state`, `starter_state` and `kept_state`."""

# A statement ends with a semicolon at the end of its line; no other line ends so. JSON is text without spaces.
_SCHEMA = """
-- What this file is. Its row `schema_version` is also PRAGMA user_version, which a dump would lose.
CREATE TABLE mp2_meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO mp2_meta VALUES ('schema_version', '0');

-- One search. The higher `run`, the later it began, whatever the clock said.
CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,        -- YYYYMMDD-HHMMSS-xxxx, UTC
    started_at TEXT NOT NULL,           -- ISO 8601, UTC; a label, not a clock
    source TEXT NOT NULL,               -- where the signals came from, as the user named it
    status TEXT NOT NULL CHECK (status IN ('running', 'failed', 'complete', 'stopped', 'wall', 'work_limit')),

    host TEXT NOT NULL,                 -- the process that searches
    pid INTEGER NOT NULL,
    process_start TEXT,                 -- its start in clock ticks since boot; NULL where the system does not tell

    input_fingerprint TEXT NOT NULL,    -- sha256 of the panel, hex
    rules TEXT NOT NULL,                -- JSON object
    budget_s REAL NOT NULL,
    workers INTEGER NOT NULL,

    -- NULL until the search ended. Counts without a bound are decimal text or in JSON. `by size` is a JSON object with
    -- the group size as key.
    elapsed_s REAL,
    overrun_s REAL,
    read_s REAL,
    store_s REAL,
    n_starters INTEGER,
    n_exhausted INTEGER,
    coverage REAL,                      -- 0..1
    n_branches INTEGER,
    n_branches_done INTEGER,
    tested_exact INTEGER,               -- 0 or 1
    attempts TEXT,
    max_attempts INTEGER,               -- NULL: no limit
    tested TEXT,                        -- by size
    eligible TEXT,                      -- by size
    score_mean TEXT,                    -- by size, null when nothing was eligible
    score_std TEXT,                     -- by size, null when nothing was eligible
    n_kept TEXT,                        -- by size: rows in kept_group, here so that a list of runs need not count them
    best_score TEXT,                    -- by size, null when nothing was kept
    picked_rank TEXT,                   -- by size, null when nothing was kept
    days TEXT,                          -- JSON array, as are all below
    day_weights TEXT,
    base_win_rates TEXT,                -- percent
    special TEXT,
    warnings TEXT
);

-- What became of one starter of a run.
CREATE TABLE starter (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    variation_idx INTEGER NOT NULL,     -- over all algorithms, from 0
    algo TEXT NOT NULL,
    variation TEXT NOT NULL,
    n_buys INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('exhausted', 'cut_off', 'not_started')),
    elapsed_s REAL NOT NULL,            -- running time
    limit_start_s REAL NOT NULL,        -- granted at its start
    limit_end_s REAL NOT NULL,          -- granted in all
    n_turns INTEGER NOT NULL,
    attempts TEXT NOT NULL,             -- decimal
    tested TEXT NOT NULL,               -- by size
    eligible TEXT NOT NULL,             -- by size
    retained TEXT NOT NULL,             -- by size
    n_branches INTEGER NOT NULL,
    n_branches_done INTEGER NOT NULL,
    cursor TEXT NOT NULL,               -- JSON array: next position at each level; empty: exhausted or not started
    PRIMARY KEY (run, variation_idx)
) WITHOUT ROWID;

-- One kept group of a run; rank 1 is the best of its size.
CREATE TABLE kept_group (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    size INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    members TEXT NOT NULL,              -- JSON array of [algo, variation, variation_idx], by variation_idx
    score REAL NOT NULL,
    pooled_pp REAL NOT NULL,
    weighted_pp REAL NOT NULL,
    median_pp REAL NOT NULL,
    second_worst_pp REAL NOT NULL,
    mad_pp REAL NOT NULL,
    iqr_pp REAL NOT NULL,
    cv_buys REAL NOT NULL,
    wilson_lb REAL NOT NULL,
    pp_slope REAL NOT NULL,
    repeat_factor REAL NOT NULL,
    PRIMARY KEY (run, size, rank)
) WITHOUT ROWID;

-- A kept group on one day.
CREATE TABLE group_day (
    run INTEGER NOT NULL,
    size INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    day_idx INTEGER NOT NULL,           -- from 0, in the order of the run's days
    day TEXT NOT NULL,
    buys INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    pp REAL NOT NULL,
    weight REAL NOT NULL,
    tickers TEXT NOT NULL,              -- JSON array: the consensus
    PRIMARY KEY (run, size, rank, day_idx),
    FOREIGN KEY (run, size, rank) REFERENCES kept_group ON DELETE CASCADE
) WITHOUT ROWID;
"""

_PICKS = """
-- What the kept groups of a run pick on a later day; picked again, the day is replaced.
CREATE TABLE day_picks (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    day TEXT NOT NULL,                  -- ISO date
    assumed INTEGER NOT NULL,           -- 0 or 1: no bar of the day was known
    picks TEXT NOT NULL,                -- by size: {rank, members, tickers, fallback_from}, or null without a pick
    votes TEXT NOT NULL,                -- JSON array of {ticker, n_groups, best_rank, size, members}
    warnings TEXT NOT NULL,             -- JSON array
    PRIMARY KEY (run, day)
) WITHOUT ROWID;

-- What came of them, once the day had bars. Rates, returns and differences are percent.
CREATE TABLE outcome (
    run INTEGER NOT NULL,
    day TEXT NOT NULL,
    session TEXT NOT NULL,              -- ISO date whose bars were scored: the day, or the next one after a holiday
    n_universe INTEGER NOT NULL,        -- tickers with a valid bar
    universe_hit_rate_pp REAL,          -- NULL without any
    universe_return_pp REAL,            -- NULL without any
    sizes TEXT NOT NULL,                -- by size: a score, or null without a pick
    votes TEXT NOT NULL,                -- a score
    note TEXT,
    PRIMARY KEY (run, day),
    FOREIGN KEY (run, day) REFERENCES day_picks ON DELETE CASCADE
) WITHOUT ROWID;
"""

_VISITS = """
-- Groups whose tickers were counted one by one, decimal. NULL in runs from before it was counted.
ALTER TABLE run ADD COLUMN n_visited TEXT;
-- JSON array of classes of identical variations, each an array of [algo, variation, variation_idx]. NULL as above.
ALTER TABLE run ADD COLUMN aliases TEXT;
"""

_SCANS = """
-- One run of scanners. The higher `scan`, the later it began, whatever the clock said.
CREATE TABLE scan (
    scan INTEGER PRIMARY KEY,
    scan_id TEXT NOT NULL UNIQUE,       -- YYYYMMDD-HHMMSS-xxxx, UTC
    started_at TEXT NOT NULL,           -- ISO 8601, UTC; a label, not a clock
    day TEXT NOT NULL,                  -- ISO date that was scanned for
    status TEXT NOT NULL CHECK (status IN ('running', 'failed', 'complete', 'partial', 'stopped')),

    host TEXT NOT NULL,                 -- the process that scans
    pid INTEGER NOT NULL,
    process_start TEXT,                 -- its start in clock ticks since boot; NULL where the system does not tell

    config_fingerprint TEXT NOT NULL,   -- sha256 of the table [discovery], hex
    scanners TEXT NOT NULL,             -- JSON array of names: the registration order, which is that of merging
    mode TEXT,                          -- NULL until the first outcome, as is workers
    workers INTEGER,
    elapsed_s REAL,                     -- NULL until the scan ended, as is all below
    warnings TEXT                       -- JSON array
);

-- How one scanner of a scan ended, and all it named; there before anybody was told. The merged candidates are made of these.
CREATE TABLE scan_outcome (
    scan INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    scanner TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    status TEXT NOT NULL,
    seconds REAL NOT NULL,              -- since its own start
    attempts INTEGER NOT NULL,
    n_candidates INTEGER NOT NULL,
    n_dropped INTEGER NOT NULL,
    error_code TEXT,                    -- NULL without an error, as is its message
    error_message TEXT,
    ended_s REAL NOT NULL,              -- since the start of the scan
    logs TEXT NOT NULL,                 -- JSON array of lines
    PRIMARY KEY (scan, scanner)
) WITHOUT ROWID;

-- A candidate that counts, as its scanner named it.
CREATE TABLE scan_candidate (
    scan INTEGER NOT NULL,
    scanner TEXT NOT NULL,
    candidate_idx INTEGER NOT NULL,     -- in the order yielded, from 0
    ticker TEXT NOT NULL,
    priority TEXT NOT NULL,
    context TEXT NOT NULL,
    data TEXT NOT NULL,                 -- JSON
    PRIMARY KEY (scan, scanner, candidate_idx),
    FOREIGN KEY (scan, scanner) REFERENCES scan_outcome ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX scan_candidate_by_ticker ON scan_candidate (ticker);

-- The circuit breaker of a scanner; closed ones that have not failed lately have no row.
CREATE TABLE breaker (
    scanner TEXT PRIMARY KEY,
    phase TEXT NOT NULL,
    n_failures INTEGER NOT NULL,        -- in a row
    since REAL NOT NULL,                -- seconds since the epoch
    cool_down_s REAL NOT NULL
) WITHOUT ROWID;
"""

_STATES = """
-- JSON object: the command that searched, and its options, to take the run up again. NULL: from before it was kept.
ALTER TABLE run ADD COLUMN request TEXT;
-- Status of the last session that ended: that of the result while a later session runs, or when it died. NULL: none has.
ALTER TABLE run ADD COLUMN ended_as TEXT;
UPDATE run SET ended_as = status WHERE status NOT IN ('running', 'failed');
-- ISO 8601, UTC: when the state of a running search was written last. NULL: not yet.
ALTER TABLE run ADD COLUMN heartbeat_at TEXT;

-- Where a run stands that is not complete; written again and again while it runs.
CREATE TABLE run_state (
    run INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE,
    layout TEXT NOT NULL,               -- of the records below; those of another build cannot be used
    elapsed_ns INTEGER NOT NULL,        -- of the sessions before
    budget_ns INTEGER NOT NULL,
    n_taken_over INTEGER NOT NULL       -- starters that were not searched, because an identical one had been
);

-- Every starter that has begun.
CREATE TABLE starter_state (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    variation_idx INTEGER NOT NULL,
    record BLOB NOT NULL,               -- the kernel's record: counters, cursor, whether it is exhausted
    times BLOB NOT NULL,                -- used, granted at its start and in all, turns
    PRIMARY KEY (run, variation_idx)
) WITHOUT ROWID;

-- The groups kept so far, best first, of these starters and no others.
CREATE TABLE kept_state (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    size INTEGER NOT NULL,
    scores BLOB NOT NULL,               -- float64
    members BLOB NOT NULL,              -- int32, `size` a group
    PRIMARY KEY (run, size)
) WITHOUT ROWID;
"""

MIGRATIONS: dict[int, str] = {1: _SCHEMA, 2: _PICKS, 3: _VISITS, 4: _SCANS, 5: _STATES}
"""Version -> the statements that bring a file from the version before to it; a new file is at version 0."""


def steps(version: int) -> Iterator[str]:
    """The statements that bring a file of a version to `VERSION`, one at a time, for one transaction."""
    for step in range(version + 1, VERSION + 1):
        yield from MIGRATIONS[step].split(";\n")
        yield f"UPDATE mp2_meta SET value = '{step}' WHERE name = 'schema_version'"
        yield f"PRAGMA user_version = {step}"
