"""Thin edges, one file per DVC stage: read, call, write."""
