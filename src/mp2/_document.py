"""The version that all JSON documents of the commands carry."""

SCHEMA_VERSION = 1
"""Rises when a key of a document is removed or changes its meaning."""
