"""Problems found row by row enter; one error that lists them leaves, so that a client mends a file once and not twenty times."""

from pathlib import Path

from signloop.core.errors import DataError

SHOWN = 20


class Problems:
    """A growing list of what is wrong in one file."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, row: str, what: str) -> None:
        """Note a problem.

        Args:
            row: as a person finds it: `annotations[17] (id 5)`, `line 12`.
            what: one clause.
        """
        self._lines.append(f"{row}: {what}")

    def raise_if_any(self, todo: str) -> None:
        """End here if anything is wrong.

        Raises:
            DataError: the first 20 problems and how many there are.
        """
        if self._lines:
            more = f"\n  ... and {len(self._lines) - SHOWN} more" if len(self._lines) > SHOWN else ""
            listed = "\n  ".join(self._lines[:SHOWN])
            count = f"{len(self._lines)} problem" + "s" * (len(self._lines) > 1)
            raise DataError(
                "the file cannot be taken, and nothing of it was", where=self._where, found=f"{count}:\n  {listed}{more}\n", todo=todo
            )


def is_plain(name: str) -> bool:
    """Say whether a name from outside may become a file's name: no folder, not hidden, printable, at most 200 bytes."""
    return (
        bool(name)
        and name.isprintable()
        and not name.startswith(".")
        and name == name.strip()
        and not set(name) & set('/\\:*?"<>|')
        and len(name.encode("utf-8", "replace")) <= 200
    )
