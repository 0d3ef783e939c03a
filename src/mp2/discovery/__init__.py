"""Scanners: many sources side by side, isolated from each other's failures."""
