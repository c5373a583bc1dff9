"""Frames and truth in, weights out, and weights turned into fast callables."""
