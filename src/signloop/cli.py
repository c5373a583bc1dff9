"""The `signloop` command: every subcommand reads its arguments, finds the project, calls one function and prints its report."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from signloop.core.errors import ConfigError, DataError
from signloop.core.files import read_json, write_csv, write_json
from signloop.stages import _edge
from signloop.stages._edge import find_project, guarded, progress, read_params, set_up_logging

if TYPE_CHECKING:
    from signloop.studies.cycles import Bench

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="One person verifies in minutes what two models labelled; every verified label trains the next models.",
)
bring = typer.Typer(no_args_is_help=True, help="Bring labels that you already have; everything is checked before anything is written.")
give = typer.Typer(no_args_is_help=True, help="Write labels for other tools.")
publish = typer.Typer(no_args_is_help=True, help="Turn a person's work into a verified round.")
measure = typer.Typer(no_args_is_help=True, help="Measure the whole system on data beside the project.")
app.add_typer(bring, name="import")
app.add_typer(measure, name="bench")
app.add_typer(give, name="export")
app.add_typer(publish, name="publish")
out = Console(soft_wrap=True, highlight=False)
Json = Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file too.")]
Model = Annotated[str, typer.Option(help="A bundle's folder, or models:/signloop-labeller@champion.")]


@app.command()
def params(
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides: detector=fcos_resnet50_fpn detector.lr=1e-4")] = None,
) -> None:
    """Compose conf/ into params.yaml and record the overrides in it, for instance: signloop params +experiment=roads."""
    composed = _edge.write_params(find_project(), overrides or [])
    out.print(f"params.yaml written, overrides: {' '.join(composed.overrides) or 'none'}", markup=False)


@app.command()
def demo(
    seeded: Annotated[int, typer.Option(min=1, help="Recordings that arrive with verified labels.")] = 48,
    unlabelled: Annotated[int, typer.Option(min=1, help="Recordings without labels; one of them has no sign.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of everything drawn.")] = 0,
    remove: Annotated[bool, typer.Option("--remove", help="Take everything out that the demo made.")] = False,
    test: Annotated[
        Path | None, typer.Option(help="Draw fresh recordings with their truth into this folder instead, to score models on.")
    ] = None,
    signs: Annotated[int, typer.Option(min=1, help="With --test: at least so many physical signs.")] = 300,
) -> None:
    """Draw recordings of a road world with exact truth, for a first run with nothing at hand."""
    from signloop.demo import write

    project = find_project()
    if remove or test is None:  # a test set has nothing to do with the rounds
        _edge.require_rounds(project)
    if remove:
        gone = write.remove(project.root)
        if any((project.data / "verified").glob("round_*")):
            _dvc_add(project)
        else:
            (project.data / "verified.dvc").unlink(missing_ok=True)
        out.print(f"{len(gone)} files and folders removed", markup=False)
        return
    settings = read_params(project)
    if test is not None:
        size, seconds = write.estimate(math.ceil(signs / write.SIGNS_PER_RECORDING))
        out.print(f"drawing recordings with {signs} signs: about {size / 1e6:.0f} MB and {seconds:.0f} s", markup=False)
        drawn = write.draw_test(test, signs=signs, seed=seed, progress=lambda done, total: progress("signs", done, total))
        out.print(f"recordings and truth drawn: {drawn}", markup=False)
        return
    size, seconds = write.estimate(seeded + unlabelled)
    out.print(f"drawing {seeded + unlabelled} recordings: about {size / 1e6:.0f} MB and {seconds:.0f} s", markup=False)
    report = write.draw(
        project.root,
        settings.taxonomy,
        settings.data,
        seeded=seeded,
        unlabelled=unlabelled,
        seed=seed,
        progress=lambda done, total: progress("drawn", done, total),
    )
    _dvc_add(project)
    out.print(str(report), markup=False)


@bring.command("coco")
def import_coco(
    images: Annotated[Path, typer.Argument(help="Folder of the images.")],
    labels: Annotated[Path, typer.Argument(help="COCO file; category names must be names of the taxonomy.")],
    name: Annotated[str, typer.Option(help="Name of the new recording of stills.")] = "imported",
) -> None:
    """Import images, of which every sign has its box, as a recording of independent stills, each with a split of its own, and a round."""
    from signloop.review.imports import import_coco as act

    project = find_project()
    _edge.require_rounds(project)
    settings = read_params(project)
    report = act(
        images,
        labels,
        project.data / "recordings",
        project.data / "verified",
        settings.taxonomy,
        settings.data,
        name,
        progress,
        lambda text: out.print(text, markup=False),
    )
    _dvc_add(project)
    out.print(str(report), markup=False)


@bring.command("crops")
def import_crops(
    index: Annotated[
        Path,
        typer.Argument(
            help="CSV with path, class_id, track_id (class_name, frame_no, width, height); crops show data.import_margin around."
        ),
    ],
    name: Annotated[str, typer.Option(help="Label of the round.")] = "crops",
) -> None:
    """Import labelled crops; they train the classifier only."""
    from signloop.review.imports import import_crops as act

    project = find_project()
    _edge.require_rounds(project)
    settings = read_params(project)
    report = act(index, project.data / "verified", settings.taxonomy, settings.data, name, progress)
    _dvc_add(project)
    out.print(str(report), markup=False)


@give.command("coco")
def export_coco(
    folder: Annotated[Path, typer.Option("--out", help="A new folder for images and annotations.json.")],
    labels: Annotated[str, typer.Option(help="proposals: for a person to correct; final: what was verified.")] = "proposals",
    recording: Annotated[
        list[str] | None, typer.Option(help="With proposals: only these recordings, by name; default: all that wait for the person.")
    ] = None,
) -> None:
    """Write the proposals as COCO, to be corrected in any tool and brought back by `signloop publish coco`."""
    from signloop.review import export

    project = find_project()
    settings = read_params(project)
    data = project.data
    if labels == "final":
        if recording:
            raise ConfigError("--recording goes with the proposals only", where="--labels final")
        report = export.export_final(data / "verified", data / "prelabels", data / "frames", folder, settings.taxonomy)
    elif labels == "proposals":
        report = export.export_coco(_snapshot(project, recording), data / "frames", folder, settings.taxonomy)
    else:
        raise ConfigError("unknown labels", where="--labels", expected="proposals or final", found=labels)
    out.print(str(report), markup=False)


@publish.command("review")
def publish_decisions() -> None:
    """Turn what was decided on the review page into a verified round; the page has a button for it too."""
    from signloop.review import questions
    from signloop.review.desk import Desk
    from signloop.review.publish import publish_review

    project = find_project()
    _edge.require_rounds(project)
    settings = read_params(project)
    desk = Desk(questions.newest(project.data / "review"), settings.taxonomy)
    try:
        report = publish_review(desk, project.data / "verified", settings.data)
    finally:
        desk.close()
    _dvc_add(project)
    out.print(str(report), markup=False)


def _waiting(project: _edge.Project, names: list[str] | None) -> list[str]:
    """Return the ids of recordings by name, or of those that wait in the queue."""
    from signloop.core import tables

    known = {
        row["name"]: row["recording_id"] for row in tables.read(project.data / "frames" / "recordings.parquet", "recordings").to_pylist()
    }
    if names:
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise DataError("unknown recordings", found=unknown, todo="`signloop status` counts them; names are those in data/recordings.")
        return [known[name] for name in names]
    queue = tables.read(project.data / "queue" / "queue.parquet", "queue").to_pylist()
    return sorted({str(row["recording_id"]) for row in queue})


def _snapshot(project: _edge.Project, names: list[str] | None) -> Path:
    from signloop.review import snapshot

    data = project.data
    waiting = _waiting(project, names)
    if not waiting:
        raise DataError("nothing waits for a person", todo="Put recordings into data/recordings and run `dvc repro`.")
    return snapshot.take(data / "prelabels", data / "frames", data / "review", waiting)


@publish.command("coco")
def publish_coco(
    labels: Annotated[Path, typer.Argument(help="The corrected COCO file.")],
    annotator: Annotated[str, typer.Option(help="Who corrected it.")] = os.environ.get("USER", "person"),
) -> None:
    """Turn a corrected export into a verified round: accepted, relabelled, moved, rejected, added."""
    from signloop.review.publish import publish_coco as act

    project = find_project()
    _edge.require_rounds(project)
    settings = read_params(project)
    report = act(labels, project.data / "review", project.data / "verified", settings.taxonomy, settings.data, annotator)
    _dvc_add(project)
    out.print(str(report), markup=False)


@app.command()
def review(
    name: Annotated[str, typer.Option(help="Your name; it stands beside each decision.")] = os.environ.get("USER", "person"),
    port: Annotated[int, typer.Option(min=1024, max=65535, help="On 127.0.0.1.")] = 8765,
    planted: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of planted mistakes, to measure how well one looks; at most 500.")
    ] = 0.03,
    repeats: Annotated[float, typer.Option(min=0, max=0.5, help="Share of signs that are asked twice; about 500 at most.")] = 0.02,
    share: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Let others log in by this host name, which a TLS proxy on this machine serves."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Open the page on which one person verifies what waits in the queue; goes on where it was left."""
    from signloop.review.serve import serve

    project = find_project()
    _edge.require_rounds(project)
    serve(
        project.data,
        project.recordings,
        read_params(project),
        name=name,
        port=port,
        planted=planted,
        repeats=repeats,
        share=share,
        after_publish=lambda: _dvc_add(project),
        say=lambda text: out.print(text, markup=False),
        open_browser=open_browser,
    )


@app.command("review-password")
def review_password() -> None:
    """Set the password with which others log in to `signloop review --share NAME`; only its salted hash is kept."""
    from signloop.review.password import set_password
    from signloop.review.serve import password_file

    path = password_file(find_project().data)
    set_password(path, typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    out.print(f"the password's hash is in {path}; the next `signloop review --share NAME` takes it", markup=False)


@app.command("simulate-review")
def simulate_review(
    truth: Annotated[Path, typer.Option(help="Truth of the recordings, in the format of data/demo-truth.json.")],
    error_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of decisions in which the person slips.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the slips.")] = 0,
    recording: Annotated[
        list[str] | None, typer.Option(help="Only these recordings, by name; default: all that wait and are in the truth.")
    ] = None,
    signs: Annotated[
        int | None, typer.Option(min=1, help="Answer only so many of the predicted signs, and search no frame for missed ones.")
    ] = None,
    order: Annotated[str | None, typer.Option(help="Of --signs: queue (the most useful first; the default) or random.")] = None,
) -> None:
    """Play the person from truth, with errors, and publish the round."""
    from signloop.core import tables
    from signloop.review import snapshot
    from signloop.review.simulate import first_signs
    from signloop.review.simulate import simulate_review as act

    if order is not None and signs is None:
        raise ConfigError("--order goes with --signs only")
    project = find_project()
    _edge.require_rounds(project)
    settings = read_params(project)
    shown = _snapshot(project, recording or _names_in(project, truth))
    chosen = None
    if signs is not None:
        queue = tables.read(project.data / "queue" / "queue.parquet", "queue")
        chosen = first_signs(queue, snapshot.load(shown).recordings, signs, order or "queue", seed)
    report = act(shown, truth, project.data / "verified", settings.taxonomy, settings.data, signs=chosen, error_rate=error_rate, seed=seed)
    _dvc_add(project)
    out.print(str(report), markup=False)


def _names_in(project: _edge.Project, truth: Path) -> list[str]:
    """Return the recordings that wait for a person and of which the truth is known."""
    from signloop.core import tables
    from signloop.measure.truth import read_truth

    waiting = set(_waiting(project, None))
    known = {video.file_name for video in read_truth(truth).videos}
    rows = tables.read(project.data / "frames" / "recordings.parquet", "recordings").to_pylist()
    found = [str(row["name"]) for row in rows if row["recording_id"] in waiting and row["name"] in known]
    if not found:
        raise DataError("no recording of this truth waits for a person", where=truth, todo="Run `dvc repro` first.")
    return found


def _dvc_add(project: _edge.Project) -> None:
    """Let DVC own the rounds; git keeps the pointer."""
    if not (project.root / ".dvc").is_dir():
        _edge.log.warning("this is no DVC repository: the rounds in data/verified are not under its care")
        return
    command = [sys.executable, "-m", "dvc", "add", "--quiet", "data/verified"]  # no PATH is needed for it
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(
            "the round is written, but DVC could not take it in", found=done.stderr.strip(), todo="Run `dvc add data/verified`."
        )


def _runtime(project: _edge.Project, model: str, settings: Any) -> Any:
    """Load a bundle from a folder or the registry."""
    from signloop.models.runtime import load_runtime

    folder = Path(model)
    if model.startswith("models:/"):
        from signloop.registry import store, versions

        store.prepare(project.mlflow_uri, project.artifact_root)
        version = versions.resolve(project.mlflow_uri, model)
        folder = project.root / ".dvc" / "tmp" / "models" / version.model_id
        if not folder.exists():
            versions.fetch(project.mlflow_uri, version.version, folder)
    return load_runtime(folder, settings.trainer.accelerator, settings.prelabel)


@app.command()
def score(
    model: Model = "models:/signloop-labeller@champion",
    images: Annotated[Path | None, typer.Option(help="Folder of stills.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of recordings.")] = None,
    crops: Annotated[Path | None, typer.Option(help="CSV of labelled crops.")] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="COCO file of --images or --recordings (as data/demo-truth.json); category ids are those of the classes."),
    ] = None,
    fps: Annotated[float | None, typer.Option(min=0.01, help="Frames a second, with --recordings; default: every frame.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="With --recordings: write what was scored to this file.")] = None,
    errors: Annotated[Path | None, typer.Option(help="With --recordings: draw the 40 longest errors into this PNG.")] = None,
    json_file: Json = None,
) -> None:
    """Score a model on labelled data that the pipeline never saw."""
    from signloop.studies import score as study

    project = find_project()
    settings = read_params(project)
    if sum(value is not None for value in (images, recordings, crops)) != 1:
        raise ConfigError("choose one of --images, --recordings and --crops")
    if recordings is None and (fps, predictions, errors) != (None, None, None):
        raise ConfigError("--fps, --predictions and --errors go with --recordings only")
    if crops is None and truth is None:
        raise ConfigError("--truth is missing", todo="Give the COCO file of the images or recordings.")
    runtime = _runtime(project, model, settings)
    if crops is not None:
        result = study.crops(runtime, crops, progress)
    elif images is not None:
        result = study.images(runtime, images, truth, progress)  # type: ignore[arg-type]
    else:
        files = {"predictions": predictions, "errors": errors}
        result = study.recordings(runtime, recordings, truth, settings.prelabel, fps, progress, **files)  # type: ignore[arg-type]
    if json_file is not None:
        write_json(json_file, result)
    _print_numbers(result)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Predictions that `signloop score --predictions` wrote.")],
    second: Annotated[Path, typer.Argument(help="Another model's, on the same recordings.")],
    truth: Annotated[Path, typer.Option(help="Truth of these recordings.")],
    json_file: Json = None,
) -> None:
    """Compare two models' predictions by a paired bootstrap over recordings: second minus first."""
    from signloop.measure.score import compare_recordings
    from signloop.measure.truth import read_truth

    result = compare_recordings(read_truth(truth), read_json(first), read_json(second))
    if json_file is not None:
        write_json(json_file, result)
    _print_numbers(result)


def _print_numbers(result: dict[str, Any]) -> None:
    from signloop.studies.score import table_rows

    table = Table("measure", "value", "95 % interval")
    for row in table_rows(result):
        table.add_row(*row)
    out.print(table, markup=False)


RoadData = Annotated[Path, typer.Option("--data", help="Folder with gtsdb_seed/, gtsrb/, drives/ and carnd/.")]


def _bench(project: _edge.Project, data: Path, folder: Path, overrides: Sequence[str] = ()) -> "Bench":
    from signloop.studies.cycles import Bench

    return Bench(
        project.root, data.resolve(), folder.resolve(), ["+experiment=roads", *overrides], lambda text: out.print(text, markup=False)
    )


@measure.command("roads")
def bench_roads(
    data: RoadData,
    folder: Annotated[Path, typer.Option("--out", help="Gets a folder per seed; what is finished there is not done again.")],
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Of the trainings; may be given again. Default: 0, 1 and 2.")] = None,
    cycles: Annotated[int, typer.Option(min=1, max=2, help="1: stop before the played person.")] = 2,
    override: Annotated[list[str] | None, typer.Option(help="One more Hydra override; may be given again.")] = None,
    json_file: Json = None,
    table_file: Annotated[Path | None, typer.Option("--csv", help="Write the numbers of each seed to this table too.")] = None,
) -> None:
    """Train on real stills and crops, play the person on drives, train again, and score all against the bars; hours."""
    from signloop.studies import bars, roads

    project = find_project()
    bench = _bench(project, data, folder, override or [])
    results = roads.run(bench, seed or [0, 1, 2], cycles, roads.Store(project.mlflow_uri, project.artifact_root), progress)
    if json_file is not None:
        write_json(json_file, {number: {name: asdict(found) for name, found in result.items()} for number, result in results.items()})
    if table_file is not None:
        write_csv(table_file, bars.COLUMNS, bars.rows_of_seeds(results, _edge.git_commit(project)))
    table = Table("measure", "median", "95 % interval", "least", "aim", "")
    for row in bars.table_rows(bars.medians(results)):
        table.add_row(*row)
    out.print(table, markup=False)


@measure.command("ablations")
def bench_ablations(
    data: RoadData,
    folder: Annotated[Path, typer.Option("--out", help="Gets a folder per training; what is finished there is not done again.")],
    seed: Annotated[int, typer.Option(min=0, help="Of all trainings.")] = 0,
    network: Annotated[
        list[str] | None, typer.Option(help="detector, classifier or open-set only; may be given again. Default: all.")
    ] = None,
    table_file: Annotated[Path | None, typer.Option("--csv", help="Write the table to this file too.")] = None,
) -> None:
    """Train on real stills and crops with and without each choice of experiment=roads, for little and equal time; hours."""
    from signloop.studies import ablations
    from signloop.studies.roads import Store

    project = find_project()
    bench = _bench(project, data, folder)
    choices = ablations.of_networks(network or list(ablations.LEARNT_AS))
    rows = ablations.run(bench, choices, seed, Store(project.mlflow_uri, project.artifact_root), progress)
    if table_file is not None:
        write_csv(table_file, ablations.COLUMNS, rows)
    table = Table("network", "choice", "measure", "value", "gain", "95 % interval", "minutes")
    for row in rows:
        gain, interval = (f"{row['gain']:+.3f}", f"{row['low']:+.3f} to {row['high']:+.3f}") if row["overrides"] else ("", "")
        table.add_row(row["network"], row["choice"], row["measure"], f"{row['value']:.3f}", gain, interval, f"{row['minutes']:.1f}")
    out.print(table, markup=False)


@measure.command("curve")
def bench_curve(
    data: RoadData,
    folder: Annotated[Path, typer.Option("--out", help="As of `signloop bench roads`, whose first cycle is then used, or another one.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the trainings and of the random order.")] = 0,
    table_file: Annotated[Path | None, typer.Option("--csv", help="Write the table to this file too.")] = None,
) -> None:
    """Go on with some and all signs of half the drives verified, by the queue and at random, and score the other half; hours."""
    from signloop.studies import curve
    from signloop.studies.roads import Store

    project = find_project()
    bench = _bench(project, data, folder)
    rows = curve.run(bench, seed, Store(project.mlflow_uri, project.artifact_root), progress)
    if table_file is not None:
        write_csv(table_file, curve.COLUMNS, rows)
    table = Table("signs verified", "order", "AP50", "rightly named", "errors", "difference", "95 % interval")
    for row in rows:
        interval = "" if row["low"] is None else f"{row['low']:+.0f} to {row['high']:+.0f}"
        shares = (f"{row[name]:.3f}" for name in ("ap50", "right_signs"))
        table.add_row(str(row["signs"]), row["order"], *shares, f"{row['errors']:.0f}", f"{row['difference']:+.0f}", interval)
    out.print(table, markup=False)


@measure.command("trackers")
def bench_trackers(
    recordings: Annotated[Path, typer.Option(help="Folder of recordings.")],
    truth: Annotated[Path, typer.Option(help="Their truth.json.")],
    predictions: Annotated[list[Path], typer.Option(help="From `signloop score --predictions`; may be given again for other rates.")],
) -> None:
    """Compare Signloop's tracker with those of the `trackers` package on the same boxes: pip install -e '.[bench]'."""
    from signloop.measure.truth import read_truth
    from signloop.studies import trackers

    settings, known = read_params(find_project()), read_truth(truth)
    table, said = Table("frames a second", "tracker", *trackers.MEASURES), []
    for path in predictions:
        found = read_json(path)
        for one in trackers.compare(recordings, known, found, settings.prelabel, progress):
            table.add_row(f"{found['fps']:g}", one.tracker, *(f"{one.scores[name]:.3f}" for name in trackers.MEASURES))
            said.append(f"{one.tracker} at {found['fps']:g} frames a second: {one.settings}")
    out.print(table, markup=False)
    for line in said:
        out.print(line, markup=False)


@measure.command("votes")
def bench_votes(
    recordings: Annotated[Path, typer.Option(help="Folder of recordings.")],
    truth: Annotated[Path, typer.Option(help="Their truth.json.")],
    predictions: Annotated[Path, typer.Option(help="From `signloop score --predictions`: the boxes that are followed.")],
    model: Model = "models:/signloop-labeller@champion",
) -> None:
    """Compare the vote that names a sign with simpler ways, on the same crops: last crop, best crop, majority."""
    from signloop.measure.truth import read_truth
    from signloop.studies import votes

    project = find_project()
    settings = read_params(project)
    runtime = _runtime(project, model, settings)
    table = Table("named by", "signs rightly named", "minus the vote", "95 % interval")
    for one in votes.compare(runtime, recordings, read_truth(truth), read_json(predictions), settings.prelabel, progress):
        gain = ("", "") if one.gain is None else (f"{one.gain.value:+.3f}", f"{one.gain.low:+.3f} to {one.gain.high:+.3f}")
        table.add_row(one.way, f"{one.accuracy:.3f}", *gain)
    out.print(table, markup=False)


@measure.command("speed")
def bench_speed(
    recordings: Annotated[Path, typer.Option(help="Folder of recordings.")],
    model: Model = "models:/signloop-labeller@champion",
    frames: Annotated[int, typer.Option(min=1, help="Take recordings until they have this many frames together.")] = 300,
    repeats: Annotated[int, typer.Option(min=1, help="Passes of each, alternating.")] = 3,
    json_file: Json = None,
) -> None:
    """Time pre-labelling and its steps, beside eager PyTorch in float32 with the network of a first attempt, in one run."""
    from signloop.frames.video import find_recordings
    from signloop.models.runtime import Runtime
    from signloop.studies import speed

    project = find_project()
    settings = read_params(project)
    runtime = _runtime(project, model, settings)
    chosen = speed.some(find_recordings(recordings, settings.extract.sequence_fps)[0], frames)
    simple = speed.prototype(runtime.bundle)
    runtimes = {runtime.backend: lambda: runtime, "eager PyTorch f32": lambda: Runtime(simple, runtime.device, backend="pytorch")}
    paces = speed.run(chosen, runtimes, settings.prelabel, repeats, progress)
    found = speed.report(paces, runtime.bundle.detector, chosen[0])
    table = Table("frames a second", *found["paces"])
    for row in speed.table_rows(found):
        table.add_row(*row)
    out.print(table, markup=False)
    out.print(speed.words(found), markup=False)
    if json_file is not None:
        write_json(json_file, found)


@app.command()
def label(
    film: Annotated[Path, typer.Argument(help="A video, or a folder of ordered frames.")],
    folder: Annotated[Path, typer.Option("--out", help="A new folder for the labels, the crops and the film.")],
    model: Model = "models:/signloop-labeller@champion",
) -> None:
    """Label a film: writes labels (Parquet and COCO), the crops by class, and the film with its labels drawn on it."""
    from signloop.prelabel.film import label_film

    project = find_project()
    settings = read_params(project)
    report = label_film(
        film,
        folder,
        _runtime(project, model, settings),
        settings.prelabel,
        settings.extract.sequence_fps,
        progress,
        lambda text: out.print(text, markup=False),
    )
    out.print(report, markup=False)


@app.command()
def status() -> None:
    """Say what is there, what waits for a person, and which command comes next."""
    from signloop.studies.status import describe

    project = find_project()
    settings = read_params(project)
    has_store = (project.store_root / "mlflow.db").exists() or project.artifact_root is None
    for line in describe(project.data, project.mlflow_uri if has_store else None, settings.queue):
        out.print(line, markup=False)


def main() -> None:
    """Run the command; errors that we know are one line and exit code 1."""
    set_up_logging()
    sys.exit(guarded(lambda: app(prog_name="signloop")))
