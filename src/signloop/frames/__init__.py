"""Recordings in, frames out: what reads videos and folders of images, which instants are kept, and the stage that stores them."""
