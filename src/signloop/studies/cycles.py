"""A checkout and labelled data enter; projects that went through one and two cycles as a user would lead them leave, each step once."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from signloop.core.errors import ConfigError, DataError
from signloop.core.files import atomic_folder, read_json, sha256_file, sha256_json, write_json

SLIPS = 0.02  # share of decisions in which the played person errs
NEEDED = ("gtsdb_seed/annotations.json", "gtsrb/index.csv", "drives/truth.json", "carnd/annotations.json")
FILMS = ("drives", "carnd")
SIGNLOOP = (sys.executable, "-c", "from signloop.cli import main; main()")
REPRO = (sys.executable, "-m", "dvc", "repro")
UNSET = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME")  # each project has a store of its own


@dataclass(frozen=True)
class Bench:
    """Where a bench reads and writes.

    Attributes:
        checkout: the project whose committed state is measured.
        data: with gtsdb_seed/, gtsrb/, drives/ and carnd/.
        out: gets a folder per seed.
        overrides: of the parameters, for instance `+experiment=roads`.
        say: told what begins.
    """

    checkout: Path
    data: Path
    out: Path
    overrides: Sequence[str]
    say: Callable[[str], None]

    @property
    def drives(self) -> Path:
        """Folder of the recordings and their truth."""
        return self.data / "drives"


def claim(bench: Bench) -> str:
    """Let `out` hold results of one commit, one set of overrides and one set of data only; returns the commit.

    Raises:
        ConfigError: it holds those of something else, or the checkout has changes, which would be measured under the commit's name.
        DataError: the data is incomplete.
    """
    missing = [name for name in NEEDED if not (bench.data / name).exists()]
    missing += [f"{folder}/*.mp4" for folder in FILMS if not any((bench.data / folder).glob("*.mp4"))]
    if missing:
        raise DataError("the data of the benchmark is incomplete", where=bench.data, expected=list(NEEDED), found=f"no {missing}")
    commit = _output(["git", "rev-parse", "HEAD"], bench.checkout)
    changed = _output(["git", "status", "--porcelain", "--untracked-files=no"], bench.checkout)
    if changed:
        raise ConfigError("the checkout has changes", where=bench.checkout, found=changed, todo="Commit them, or run in a clean clone.")
    now = {"commit": commit, "overrides": list(bench.overrides), "data": _fingerprint(bench.data)}
    path = bench.out / "bench.json"
    if not path.exists():
        write_json(path, now)
    elif read_json(path) != now:
        raise ConfigError(
            "this folder holds a benchmark of something else",
            where=bench.out,
            expected=now,
            found=read_json(path),
            todo="Choose a new --out.",
        )
    return commit


def _fingerprint(data: Path) -> str:
    """Hash the labels, and names and sizes of what they speak of."""
    labels = [sha256_file(data / name) for name in NEEDED]
    folders = sorted({name.split("/")[0] for name in NEEDED})
    files = [(str(p.relative_to(data)), p.stat().st_size) for folder in folders for p in sorted((data / folder).rglob("*")) if p.is_file()]
    return sha256_json([labels, files])


def assembled(bench: Bench, project: Path, seed: int) -> Path:
    """Import stills and crops in a new clone and make data/truth of them; returns the clone.

    Raises:
        DataError: a command failed.
    """
    _clone(bench, project)
    _import(bench, project, seed)
    _once(bench, project, "assemble", *REPRO, "assemble")
    return project


def first_cycle(bench: Bench, project: Path, seed: int) -> float | None:
    """Import, train and pre-label in a new clone.

    Returns:
        The minutes that it took; None if a step was cut and begun again.

    Raises:
        DataError: a command failed.
    """
    _clone(bench, project)
    recordings = project / "data" / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    for video in sorted(bench.drives.glob("*.mp4")):
        copy = recordings / video.name
        if not copy.exists() or copy.stat().st_size != video.stat().st_size:  # none, or one that was cut
            shutil.copyfile(video, copy)
    seconds = [*_import(bench, project, seed), _once(bench, project, "first", *REPRO)]
    known = [value for value in seconds if value is not None]
    return sum(known) / 60 if len(known) == len(seconds) else None


def _clone(bench: Bench, project: Path) -> None:
    if not project.exists():
        with atomic_folder(project) as new:
            _output(["git", "clone", "--quiet", str(bench.checkout), str(new)], bench.checkout)


def _import(bench: Bench, project: Path, seed: int) -> list[float | None]:
    """Set the parameters, import stills and crops; returns the seconds of each step."""
    stills = bench.data / "gtsdb_seed"
    return [
        _once(bench, project, "params", *SIGNLOOP, "params", *bench.overrides, f"seed={seed}"),
        _once(bench, project, "stills", *SIGNLOOP, "import", "coco", str(stills / "images"), str(stills / "annotations.json")),
        _once(bench, project, "crops", *SIGNLOOP, "import", "crops", str(bench.data / "gtsrb" / "index.csv")),
    ]


def second_cycle(bench: Bench, first: Path, project: Path, names: Sequence[str]) -> None:
    """Go on in a copy of `first`: play the person on some recordings, and train again.

    Raises:
        DataError: a command failed.
    """
    _copy(first, project)
    _play(bench, project, names)
    _once(bench, project, "second", *REPRO)


def after_answers(bench: Bench, first: Path, project: Path, names: Sequence[str], answers: Sequence[str]) -> None:
    """Make the next bundle in a copy of `first`, after the person answered some signs of some recordings only.

    Args:
        bench: where the data is.
        first: a project after its first cycle.
        project: the copy.
        names: of the recordings that are reviewed.
        answers: options of `simulate-review` that say which signs are answered.

    Raises:
        DataError: a command failed.
    """
    _copy(first, project)
    _play(bench, project, names, *answers)
    _once(bench, project, "bundle", *REPRO, "bundle")


def _copy(first: Path, project: Path) -> None:
    if not project.exists():
        with atomic_folder(project) as new:
            shutil.copytree(first, new, symlinks=True, dirs_exist_ok=True)


def _play(bench: Bench, project: Path, names: Sequence[str], *more: str) -> None:
    chosen = [word for name in names for word in ("--recording", name)]
    truth = ("--truth", str(bench.drives / "truth.json"))
    _once(bench, project, "person", *SIGNLOOP, "simulate-review", *truth, "--error-rate", str(SLIPS), *more, *chosen)


def _once(bench: Bench, project: Path, name: str, *command: str) -> float | None:
    """Run a command with the project's own code, unless it was done before; returns its seconds, None if it was cut once."""
    stamp = project / ".dvc" / "tmp" / "bench" / f"{name}.json"
    kept = read_json(stamp) if stamp.exists() else None
    if kept is not None and kept["is_done"]:
        return None if kept["seconds"] is None else float(kept["seconds"])
    write_json(stamp, {"is_done": False, "seconds": None})
    bench.say(f"{project.parent.name}/{project.name}: {name}")
    own = {"PYTHONPATH": str(project / "src"), "DVC_SITE_CACHE_DIR": str(project / ".dvc" / "tmp" / "site")}
    inherited = {key: value for key, value in os.environ.items() if key not in UNSET}
    start = time.monotonic()
    code = subprocess.run(command, cwd=project, env={**inherited, **own}, check=False).returncode
    if code:
        raise DataError(
            f"the step {name!r} of the benchmark failed", where=project, found=f"exit code {code}", todo="Mend it, and run again."
        )
    seconds = time.monotonic() - start if kept is None else None
    write_json(stamp, {"is_done": True, "seconds": seconds})
    return seconds


def _output(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError("git cannot be used", where=folder, found=done.stderr.strip())
    return done.stdout.strip()
