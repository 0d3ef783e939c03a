"""Runs and scans in one SQLite file."""
