"""The search for groups of variations that agree.

Other packages use `search.search` with `settings.SearchSettings` and `rules.Rules`, the records of
`result`, the `checkpoint.Recorder` protocol, `export` for tables, and `space` and `memory` to
describe a search before it begins. `pool` runs the starters in threads, and `ledger` is the
arithmetic of their time.
"""
