"""From prices to signals: indicators, algorithms, their grids, and a sheet of all buys.

Other packages use `compute_signals` and `SignalSheet` (`sheet`), `load_grids`, `grids_of` and
`Grids` (`grids`), `Algorithm` and `Parameter` (`algorithms`), `Indicator` and `Series`
(`indicators`), and `check` (`lookahead`).
"""
