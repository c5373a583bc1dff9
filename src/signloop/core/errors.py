"""The errors that a user may see; each says what is wrong, where, what was expected and found, and what to do next."""


class SignloopError(Exception):
    """Base of all errors that are meant for the user and printed without a traceback.

    Args:
        what: what is wrong, one sentence without a full stop.
        where: file, row or key.
        expected: what would have been right.
        found: what was there.
        todo: what to do next, a command where there is one.
    """

    def __init__(self, what: str, *, where: object = None, expected: object = None, found: object = None, todo: str = "") -> None:
        self.what, self.where, self.expected, self.found, self.todo = what, where, expected, found, todo
        parts = [what if where is None else f"{what} ({where})"]
        if expected is not None:
            parts.append(f"expected {expected}")
        if found is not None:
            parts.append(f"found {found}")
        super().__init__("; ".join(parts) + (f". {todo}" if todo else ""))


class ConfigError(SignloopError):
    """params.yaml, conf/ or an override is wrong; nothing was run."""


class DataError(SignloopError):
    """A recording, a label, a table or an imported file is wrong; nothing was changed."""


class ModelError(SignloopError):
    """Weights or a bundle are missing, damaged or do not fit."""


class RegistryError(SignloopError):
    """The MLflow store cannot do what was asked."""
