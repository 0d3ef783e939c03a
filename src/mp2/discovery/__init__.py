"""Scanners: many sources side by side, each with its own timeout and isolated from the others' failures."""
