"""Runs and scans in one SQLite file.

For use from outside: `runs.Store` reads and writes, `recorder` stores a search while it runs,
`request` records what a run was asked to do, `scan_recorder` stores a scan while it runs, its
scanners' breakers included.
"""
