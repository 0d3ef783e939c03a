"""What all JSON documents of the commands share."""

SCHEMA_VERSION = 1
"""Rises when a key of a document changes its meaning or goes."""
