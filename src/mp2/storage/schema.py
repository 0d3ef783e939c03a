"""The tables of the store in SQL, and the additive steps that later versions append.

A file with `APPLICATION_ID` has the tables of `SCHEMA` and, by `PRAGMA user_version`, the first of
the `STEPS`. Readers take columns by name and give a missing one its default, so an older file is
readable as it is; a writer adds what is missing when it opens the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mp2._document import Names

APPLICATION_ID = 0x6D703273  # "mp2s"

SCHEMA = """
-- One search. The higher `run`, the later it began: clocks may be set back.
CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,        -- YYYYMMDD-HHMMSS-xxxx, UTC
    started_at TEXT NOT NULL,           -- ISO 8601, UTC; a label, not a clock
    source TEXT NOT NULL,               -- where the input came from, as the user named it
    status TEXT NOT NULL CHECK (
        status IN ('running', 'failed', 'complete', 'stopped', 'wall', 'work_limit')
    ),
    ended_as TEXT,                      -- status of the last session that ended
    request TEXT NOT NULL CHECK (json_valid(request)),  -- what to do again when it is resumed

    host TEXT NOT NULL,                 -- the process that searches
    pid INTEGER NOT NULL CHECK (pid > 0),
    process_start TEXT,                 -- in clock ticks since boot; NULL where not reported
    heartbeat_at TEXT NOT NULL,         -- ISO 8601, UTC: when the process last wrote a state

    input_fingerprint TEXT NOT NULL,    -- sha256 of the panel, hex
    budget_s REAL NOT NULL,
    workers INTEGER NOT NULL,

    -- NULL until the search ended. Counts without an upper bound are decimal text, or numbers in
    -- JSON. "By size": a JSON object whose keys are group sizes.
    rules TEXT CHECK (json_valid(ifnull(rules, 0))),
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
    n_visited TEXT,
    max_attempts INTEGER,               -- NULL: no limit
    tested TEXT CHECK (json_valid(ifnull(tested, 0))),  -- by size
    eligible TEXT CHECK (json_valid(ifnull(eligible, 0))),  -- by size
    score_mean TEXT CHECK (json_valid(ifnull(score_mean, 0))),  -- by size, null without one
    score_std TEXT CHECK (json_valid(ifnull(score_std, 0))),  -- by size, null without one
    picked_rank TEXT CHECK (json_valid(ifnull(picked_rank, 0))),  -- by size, null without one
    n_kept TEXT CHECK (json_valid(ifnull(n_kept, 0))),  -- by size; saves a count of groups
    best_score TEXT CHECK (json_valid(ifnull(best_score, 0))),  -- by size, null without one
    days TEXT CHECK (json_valid(ifnull(days, 0))),  -- array of ISO dates
    day_weights TEXT CHECK (json_valid(ifnull(day_weights, 0))),
    base_win_rates TEXT CHECK (json_valid(ifnull(base_win_rates, 0))),  -- percent
    special TEXT CHECK (json_valid(ifnull(special, 0))),
    aliases TEXT CHECK (json_valid(ifnull(aliases, 0))),  -- arrays of identical variations
    warnings TEXT CHECK (json_valid(ifnull(warnings, 0)))
) STRICT;

-- How far the search got with one starter of an ended run.
CREATE TABLE starter (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    variation_idx INTEGER NOT NULL,     -- over all algorithms, from 0
    algo TEXT NOT NULL,
    variation TEXT NOT NULL,
    n_buys INTEGER NOT NULL,
    status TEXT NOT NULL,
    elapsed_s REAL NOT NULL,            -- running time
    limit_start_s REAL NOT NULL,        -- granted at its start
    limit_end_s REAL NOT NULL,          -- granted in total
    n_turns INTEGER NOT NULL,
    attempts TEXT NOT NULL,             -- decimal
    tested TEXT NOT NULL CHECK (json_valid(tested)),        -- by size
    eligible TEXT NOT NULL CHECK (json_valid(eligible)),    -- by size
    retained TEXT NOT NULL CHECK (json_valid(retained)),    -- by size
    n_branches INTEGER NOT NULL,
    n_branches_done INTEGER NOT NULL,
    cursor TEXT NOT NULL CHECK (json_valid(cursor)),        -- next position at each level
    PRIMARY KEY (run, variation_idx)
) STRICT, WITHOUT ROWID;

-- One kept group of a run; rank 1 is the best of its size. With a rowid: without one, SQLite gives
-- every row of more than a quarter of a page an overflow page of its own.
CREATE TABLE kept_group (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    size INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    score REAL NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),    -- the group as in the JSON document of a search
    PRIMARY KEY (run, size, rank)
) STRICT;

-- What the kept groups of a run pick for a later day. A second pick for the day replaces the first.
CREATE TABLE day_picks (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    day TEXT NOT NULL,                  -- ISO date
    assumed INTEGER NOT NULL,           -- 0 or 1: no bar of the day was known
    picks TEXT NOT NULL CHECK (json_valid(picks)),      -- by size, null without a pick
    votes TEXT NOT NULL CHECK (json_valid(votes)),      -- array, most groups first
    warnings TEXT NOT NULL CHECK (json_valid(warnings)),
    PRIMARY KEY (run, day)
) STRICT, WITHOUT ROWID;

-- How the picks of a day did once its bars were known. Rates, returns and differences are percent.
CREATE TABLE outcome (
    run INTEGER NOT NULL,
    day TEXT NOT NULL,
    status TEXT NOT NULL,
    session TEXT NOT NULL,              -- ISO date whose bars were scored, after a holiday the next
    n_universe INTEGER NOT NULL,        -- tickers with a valid bar
    universe_hit_rate_pp REAL,          -- NULL without any
    universe_return_pp REAL,            -- NULL without any
    sizes TEXT NOT NULL CHECK (json_valid(sizes)),      -- by size: a score, null without a pick
    votes TEXT NOT NULL CHECK (json_valid(votes)),      -- a score
    note TEXT,
    PRIMARY KEY (run, day),
    FOREIGN KEY (run, day) REFERENCES day_picks ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Where a run stands that is not complete. Rewritten while it runs.
CREATE TABLE run_state (
    run INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE,
    layout TEXT NOT NULL CHECK (json_valid(layout)),    -- fields of the records, as in numpy
    elapsed_ns INTEGER NOT NULL,        -- of all sessions
    budget_ns INTEGER NOT NULL,         -- of all sessions
    n_taken_over INTEGER NOT NULL       -- starters that took the result of an identical one
) STRICT;

-- Every starter that has begun.
CREATE TABLE starter_state (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    variation_idx INTEGER NOT NULL,
    record BLOB NOT NULL,               -- the kernel's: counters, cursor, exhausted or not
    times BLOB NOT NULL,                -- used, granted at its start and in total, turns
    PRIMARY KEY (run, variation_idx)
) STRICT, WITHOUT ROWID;

-- The groups kept so far, best first, of these starters and no others.
CREATE TABLE kept_state (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    size INTEGER NOT NULL,
    scores BLOB NOT NULL,               -- float64
    members BLOB NOT NULL,              -- int32, `size` a group
    PRIMARY KEY (run, size)
) STRICT, WITHOUT ROWID;

-- One run of scanners. The higher `scan`, the later it began: clocks may be set back.
CREATE TABLE scan (
    scan INTEGER PRIMARY KEY,
    scan_id TEXT NOT NULL UNIQUE,       -- YYYYMMDD-HHMMSS-xxxx, UTC
    started_at TEXT NOT NULL,           -- ISO 8601, UTC; a label, not a clock
    day TEXT NOT NULL,                  -- ISO date that was scanned for
    status TEXT NOT NULL CHECK (status IN ('running', 'failed', 'complete', 'partial', 'stopped')),

    host TEXT NOT NULL,                 -- the process that scans
    pid INTEGER NOT NULL CHECK (pid > 0),
    process_start TEXT,                 -- in clock ticks since boot; NULL where not reported

    config_fingerprint TEXT NOT NULL,   -- sha256 of the table [discovery], hex
    scanners TEXT NOT NULL CHECK (json_valid(scanners)),    -- names in the order of merging
    mode TEXT,                          -- NULL until the first outcome, as is `workers`
    workers INTEGER,
    elapsed_s REAL,                     -- NULL until the scan ended, as are the warnings
    warnings TEXT CHECK (json_valid(ifnull(warnings, 0)))
) STRICT;

-- How one scanner of a scan ended. The merged candidates follow from these rows and the order of
-- the scanners.
CREATE TABLE scan_outcome (
    scan INTEGER NOT NULL REFERENCES scan ON DELETE CASCADE,
    scanner TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    status TEXT NOT NULL,
    seconds REAL NOT NULL,              -- since its own start
    attempts INTEGER NOT NULL,
    n_candidates INTEGER NOT NULL,
    n_dropped INTEGER NOT NULL,
    error TEXT CHECK (json_valid(ifnull(error, 0))),  -- {code, message}, NULL without an error
    ended_s REAL NOT NULL,              -- since the start of the scan
    logs TEXT NOT NULL CHECK (json_valid(logs)),    -- array of lines
    PRIMARY KEY (scan, scanner)
) STRICT, WITHOUT ROWID;

-- A valid candidate as its scanner named it.
CREATE TABLE scan_candidate (
    scan INTEGER NOT NULL,
    scanner TEXT NOT NULL,
    candidate_idx INTEGER NOT NULL,     -- in the order yielded, from 0
    ticker TEXT NOT NULL,
    priority TEXT NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    context TEXT NOT NULL,
    data TEXT NOT NULL CHECK (json_valid(data)),
    PRIMARY KEY (scan, scanner, candidate_idx),
    FOREIGN KEY (scan, scanner) REFERENCES scan_outcome ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX scan_candidate_by_ticker ON scan_candidate (ticker);

-- The circuit breaker of a scanner. A closed one without recent failures has no row.
CREATE TABLE breaker (
    scanner TEXT PRIMARY KEY,
    phase TEXT NOT NULL,
    n_failures INTEGER NOT NULL,        -- in a row
    since REAL NOT NULL,                -- seconds since the epoch
    cool_down_s REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

STEPS: Names = (
    # Whether the groups are better than luck; NULL when that was not tested.
    "ALTER TABLE run ADD significance TEXT CHECK (json_valid(ifnull(significance, 0)))",
    # By size: an array of ideas, best first; NULL in a result of an earlier version.
    "ALTER TABLE run ADD ideas TEXT CHECK (json_valid(ifnull(ideas, 0)))",
    # The rule of outcomes, `mp2.data.holding`; earlier versions had one.
    "ALTER TABLE run ADD hold TEXT NOT NULL DEFAULT 'open-close'",
    # ISO date on which it sells what is bought on the last day; NULL for that day itself.
    "ALTER TABLE run ADD last_exit TEXT",
    "ALTER TABLE day_picks ADD hold TEXT NOT NULL DEFAULT 'open-close'",
    "ALTER TABLE day_picks ADD cost_bps REAL NOT NULL DEFAULT 0",  # per side
    "ALTER TABLE outcome ADD hold TEXT NOT NULL DEFAULT 'open-close'",
    # A score of the different tickers of all sizes; NULL without a pick or in an earlier version.
    "ALTER TABLE outcome ADD all_sizes TEXT CHECK (json_valid(ifnull(all_sizes, 0)))",
    # One walk-forward. The higher `walk`, the later it began: clocks may be set back.
    """CREATE TABLE walk (
    walk INTEGER PRIMARY KEY,
    walk_id TEXT NOT NULL UNIQUE,       -- YYYYMMDD-HHMMSS-xxxx, UTC
    started_at TEXT NOT NULL,           -- ISO 8601, UTC; a label, not a clock
    source TEXT NOT NULL,               -- where the prices came from, as the user named it
    status TEXT NOT NULL CHECK (status IN ('running', 'failed', 'complete', 'stopped')),
    request TEXT NOT NULL CHECK (json_valid(request)),  -- what to do again when it is resumed

    host TEXT NOT NULL,                 -- the process that walks
    pid INTEGER NOT NULL CHECK (pid > 0),
    process_start TEXT,                 -- in clock ticks since boot; NULL where not reported
    heartbeat_at TEXT NOT NULL,         -- ISO 8601, UTC: when the process last wrote a week

    input_fingerprint TEXT NOT NULL,    -- sha256 of signals and prices of all days, hex
    n_weeks INTEGER NOT NULL,           -- that are wanted
    n_done INTEGER NOT NULL,            -- that are stored; NULL below while there is none
    first_day TEXT,                     -- ISO date, the first one judged
    last_day TEXT,                      -- ISO date, the last one judged
    total TEXT CHECK (json_valid(ifnull(total, 0))),        -- by series: its judgement
    warnings TEXT CHECK (json_valid(ifnull(warnings, 0)))
) STRICT""",
    # A finished week of a walk-forward, its picks and their scores.
    """CREATE TABLE walk_week (
    walk INTEGER NOT NULL REFERENCES walk ON DELETE CASCADE,
    week INTEGER NOT NULL,              -- from 0, oldest first
    body TEXT NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (walk, week)
) STRICT""",
    # What is left of the starters and groups of a run that was compacted. A table of its own, so
    # that a list of runs does not read the blobs.
    """CREATE TABLE compacted (
    run INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE,
    compacted_at TEXT NOT NULL,         -- ISO 8601, UTC
    n_ideas TEXT NOT NULL CHECK (json_valid(n_ideas)),  -- by size: how many there were
    starters BLOB NOT NULL,             -- zstd of a JSON array of the rows of `starter`
    kept_groups BLOB NOT NULL           -- likewise of `kept_group`, of the best ideas
) STRICT""",
    # By size: counts of the scores of all eligible groups by the bins of `mp2.groups.histogram`.
    "ALTER TABLE run ADD n_scores TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(n_scores))",
    # Where the last session stood at up to 600 moments: arrays of the fields of a sample, in order.
    "ALTER TABLE run ADD progress TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(progress))",
    "ALTER TABLE kept_state ADD counts BLOB NOT NULL DEFAULT x''",  # int64, of scores
    # Return in percent of each ticker picked or voted for, and those of all tickers at quantiles.
    "ALTER TABLE outcome ADD returns_pp TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(returns_pp))",
    """ALTER TABLE outcome ADD universe_quantiles_pp TEXT NOT NULL DEFAULT '[]'
    CHECK (json_valid(universe_quantiles_pp))""",
    "ALTER TABLE run ADD keep TEXT NOT NULL DEFAULT 'groups'",  # or 'ideas'
    # int64, of each idea kept, 0 where not known; empty where groups are kept.
    "ALTER TABLE kept_state ADD n_groups BLOB NOT NULL DEFAULT x''",
)
"""One statement a version, append only: `ALTER TABLE ... ADD` a column that may be NULL or has a
default, or `CREATE TABLE`. To a reader of an earlier file such a table is empty."""


def version() -> int:
    """The version of a file that has every step."""
    return 1 + len(STEPS)


def json_columns() -> frozenset[str]:
    """Columns that hold JSON, in every table that has a column of the name."""
    # The CHECK clauses are the one list of these columns.
    return frozenset(re.findall(r"json_valid\((?:ifnull\()?(\w+)", " ".join((SCHEMA, *STEPS))))


def statements(from_version: int) -> Iterator[str]:
    """The statements that bring a file to the current version; a new file has version 0."""
    if from_version == 0:
        # No comment ends in a semicolon, so each one at the end of a line ends a statement.
        yield from SCHEMA.split(";\n")
    yield from STEPS[max(0, from_version - 1) :]
    yield f"PRAGMA user_version = {version()}"
