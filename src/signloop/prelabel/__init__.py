"""Frames and a model in, proposals out: every physical sign once, with its boxes and one class. Imports nothing."""
