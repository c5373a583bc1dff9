"""Proposals and a person's verdicts on them enter, verified rounds leave; and the other ways in and out: imports, exports, questions."""
