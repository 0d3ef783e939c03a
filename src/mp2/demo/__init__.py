"""A synthetic market with a planted edge, for `mp2 demo`."""
