"""Signloop: recordings in, verified labels and better models out."""
