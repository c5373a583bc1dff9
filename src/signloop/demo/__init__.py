"""A drawn road world: recordings with exact truth, for a first run with nothing at hand."""
