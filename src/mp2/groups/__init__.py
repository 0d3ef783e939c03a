"""The search for groups of variations that agree: rules, pool of starters, ledger of time, result."""
