"""What every stage and command does at its edge: find the project, read params.yaml, log, lock, turn errors into exit codes."""

import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from filelock import FileLock, Timeout
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from signloop.core.errors import ConfigError, DataError, SignloopError
from signloop.core.files import sha256_file, sha256_json, write_bytes
from signloop.core.params import Params, load, parse

log = logging.getLogger("signloop")
TERMINAL = Console(stderr=True, soft_wrap=True)
PLAIN_EVERY = 10  # without a terminal, progress is a line per tenth
RANKS = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")  # Lightning, a person, torchrun or Slurm number processes by these


@dataclass(frozen=True)
class Project:
    """Where things lie.

    Attributes:
        root: the folder with params.yaml.
        store_root: the checkout that owns the MLflow store and the recordings: another folder than `root` in a queued `dvc exp`.
    """

    root: Path
    store_root: Path

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.root / "data"

    @property
    def recordings(self) -> Path:
        """The recordings; a queued `dvc exp` has none of its own, as neither git nor DVC keeps them: it reads those of the checkout."""
        return self.store_root / "data" / "recordings"

    @property
    def mistakes(self) -> Path:
        """Crops of what the trained detector takes for objects; part of its training's output."""
        return self.data / "models" / "detector" / "mistakes"

    @property
    def mlflow_uri(self) -> str:
        """MLFLOW_TRACKING_URI, or sqlite beside the main checkout."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.store_root / 'mlflow.db'}"

    @property
    def artifact_root(self) -> Path | None:
        """Where a local store keeps files; None leaves it to the server."""
        return None if os.environ.get("MLFLOW_TRACKING_URI") else self.store_root / "mlruns"

    @property
    def is_experiment(self) -> bool:
        """Whether this is a `dvc exp run`: its candidates become challenger at most."""
        return bool(os.environ.get("DVC_EXP_NAME"))


def find_project(start: Path | None = None) -> Project:
    """Find the project around a folder.

    Raises:
        ConfigError: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "conf").is_dir():
            return Project(folder, Path(os.environ.get("DVC_ROOT") or folder))
    raise ConfigError("this is no Signloop project", where=here, expected="a folder with dvc.yaml and conf/", todo="Go to your checkout.")


def require_rounds(project: Project) -> None:
    """Refuse to go on where only the pointer to the verified rounds is: new rounds beside it would take its place.

    Raises:
        DataError: data/verified.dvc is there, and data/verified is not.
    """
    pointer = project.data / "verified.dvc"
    if pointer.exists() and not (project.data / "verified").exists():
        raise DataError(
            "the verified rounds are not here, only the pointer to them",
            where=pointer,
            todo="Run `dvc pull` or `dvc checkout`; to begin without them, delete data/verified.dvc.",
        )


def compose(conf: Path, overrides: list[str]) -> dict[str, Any]:
    """Compose conf/ with Hydra.

    Returns:
        Plain nested values, with the overrides recorded under "overrides".

    Raises:
        ConfigError: conf/ or an override is wrong, or a value does not fit the models.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            config = OmegaConf.to_container(hydra_compose("config", overrides=overrides), resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the parameters cannot be composed",
            where=" ".join(overrides) or conf,
            found=str(error).strip(),
            todo="`signloop params --help` shows how an override is written.",
        ) from error
    value: dict[str, Any] = {**config, "overrides": overrides}  # type: ignore[dict-item]
    parse(value, " ".join(overrides) or conf)
    return value


def dump(value: dict[str, Any]) -> bytes:
    """Render params.yaml."""
    head = "# Made by `signloop params` from conf/; edit conf/ or give overrides, never this file.\n"
    return (head + yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)).encode()


def write_params(project: Project, overrides: list[str]) -> Params:
    """Compose conf/ and write params.yaml."""
    value = compose(project.root / "conf", overrides)
    write_bytes(project.root / "params.yaml", dump(value))
    return parse(value, "params.yaml")


def read_params(project: Project) -> Params:
    """Read params.yaml and say so if conf/ has moved on; a `dvc exp` composes with overrides of its own, which is not stale."""
    params = load(project.root / "params.yaml")
    if not project.is_experiment and is_stale(project, params):
        command = " ".join(["signloop params", *params.overrides])
        log.warning("params.yaml is stale: conf/ has changed since it was made. Run `%s`.", command)
    return params


def is_stale(project: Project, params: Params) -> bool:
    """Tell whether params.yaml differs from composing conf/ with its own recorded overrides."""
    try:
        fresh = parse(compose(project.root / "conf", list(params.overrides)), "conf")
    except ConfigError as error:
        log.warning("%s", error)
        return True
    return fresh != params


@contextmanager
def lock(project: Project, name: str) -> Iterator[None]:
    """Hold a lock that dies with the process: a stage may outlive a killed `dvc`.

    Raises:
        ConfigError: another process holds it.
    """
    folder = project.root / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"signloop-{name}.lock", timeout=0):
            yield
    except Timeout:
        raise ConfigError(f"stage {name} is running already", where=project.root, todo="Wait for it, or end that process.") from None


class _Meter:
    """How far long work is: a bar on a terminal; elsewhere a line whenever another tenth is done."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._total, self._done, self._begun = 0, 0, (0.0, 0)

    def show(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if TERMINAL.is_terminal:
            self._draw(what, done, total)
        elif total:
            begins = total != self._total or done < self._done
            if begins:
                self._begun = (time.monotonic(), done)
            if begins or done * PLAIN_EVERY // total > self._done * PLAIN_EVERY // total:
                log.info("%s %d of %d%s", what, done, total, self._left(done, total))
            self._total, self._done = total, done

    def stop(self) -> None:
        """Take the bar away, whose cursor is hidden, also when the work ended before its total."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _left(self, done: int, total: int) -> str:
        """Say how long the rest will take, at the rate so far."""
        since, first = self._begun
        seconds = (time.monotonic() - since) * (total - done) / max(1, done - first)
        return f", about {seconds / 60:.0f} min left" if seconds >= 60 else ""

    def _draw(self, what: str, done: int, total: int) -> None:
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=TERMINAL)
            self._task = self._bar.add_task(what, total=total)
            self._bar.start()
        self._bar.update(self._task, description=escape(what), completed=done, total=total)
        if done >= total:
            self.stop()


_METER = _Meter()


def progress(what: str, done: int, total: int) -> None:
    """Show how far long work is; done = total ends it."""
    _METER.show(what, done, total)


def set_up_logging() -> None:
    """Log to the standard error, in colour on a terminal; silence what others print about themselves."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    handler: logging.Handler = logging.StreamHandler()  # in a file or pipe: plain lines
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    if TERMINAL.is_terminal:
        handler = RichHandler(console=TERMINAL, show_path=False, show_level=False, markup=False, log_time_format="%H:%M:%S")
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.INFO)
    for noisy in ("pytorch_lightning", "lightning_fabric", "mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning|torch|mlflow|timm|torchvision")


def code_hash(*packages: str) -> str:
    """Return a hash of the source of some packages: what a finished result depends on beside its data."""
    source = Path(__file__).parents[1]
    files = sorted(path for package in packages for path in (source / package).rglob("*.py"))
    return sha256_json([[str(path.relative_to(source)), sha256_file(path)] for path in files])


def git_commit(project: Project) -> str:
    """Return the commit of the checkout, with "+" behind it if files differ; "unknown" outside git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project.root, capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], cwd=project.root, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def says_missing_library(error: BaseException) -> bool:
    """Say which package to install if an import failed for want of a system library; returns whether that was so."""
    if not isinstance(error, ImportError) or ".so" not in str(error):
        return False
    text = f"signloop: a system library is missing ({error}). On Debian or Ubuntu: apt-get install libgl1 libglib2.0-0"
    TERMINAL.print(text, style="bold red", markup=False, highlight=False)
    return True


def last_resort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Be `sys.excepthook` of a stage, whose imports fail before `guarded` can catch them."""
    if not says_missing_library(error):
        sys.__excepthook__(kind, error, trace)


def guarded(act: Callable[[], None]) -> int:
    """Run an act; a known error is printed without a traceback. Returns the exit code: 0, 1 for a known error, 130 when interrupted."""
    try:
        act()
    except SignloopError as error:
        TERMINAL.print(f"signloop: {error}", style="bold red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        TERMINAL.print("signloop: interrupted", style="bold red", markup=False)
        return 130
    except OSError as error:
        TERMINAL.print(f"signloop: the system refused: {error}", style="bold red", markup=False, highlight=False)
        return 1
    except ImportError as error:
        if not says_missing_library(error):
            raise
        return 1
    finally:
        _METER.stop()
    return 0


def is_helper() -> bool:
    """Whether this process only helps the first of several that do one work together."""
    return any(os.environ.get(name, "0") != "0" for name in RANKS)


def run_stage(name: str, act: Callable[[Project, Params], None], assist: Callable[[Project, Params], None] | None = None) -> None:
    """Run one stage: logging, project, params, lock, exit code. Called by each stage file when DVC starts it.

    Args:
        name: of its lock.
        act: the stage.
        assist: what a helper does instead, of a stage that several processes may work on: the first one holds the lock and speaks.
    """
    set_up_logging()

    def whole() -> None:
        project = find_project()
        if assist is not None and is_helper():
            logging.disable(logging.WARNING)
            assist(project, read_params(project))
        else:
            with lock(project, name):
                act(project, read_params(project))

    sys.exit(guarded(whole))
