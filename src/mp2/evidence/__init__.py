"""Is it luck? The statistics that compare a result with chance."""
