"""The job of every night: from new bars to picks in files, and the scores of earlier ones."""
