"""Thin edges, one file per DVC stage: read, call, write; what they all do at their edge is in `_edge`."""

import sys

from signloop.stages import _edge

if sys.argv[:1] == ["-m"]:  # Python sets this while it imports the package of a stage that it was told to run
    sys.excepthook = _edge.last_resort
