"""Stage: data/truth and the registry in, data/start/<network> out: the champion's weights, if a training shall go on from them.

It runs when there are new labels, and what it finds is kept with them: a training that is repeated on the same labels with other
parameters starts where the first one did, whichever model is champion by then.
"""

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.frames.truth import data_hash, learnt_objects
from signloop.registry import store, versions
from signloop.stages._edge import Project, log, run_stage

BUILT_BY = {  # parameters of two networks whose weights fit each other
    "detector": ("network", "backbone", "frozen_blocks", "channels", "head_convs", "quality"),
    "classifier": ("backbone", "frozen_blocks"),
}


def act(project: Project, params: Params, name: str) -> None:
    """Leave what one network goes on from, and say why."""
    out = project.data / "start" / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=project.data) as scratch:
        bundle = None if params.train.start == "pretrained" else find(project, name, Path(scratch))
        reason = objection(project, params, name, bundle)
        model_id = None if bundle is None or reason else read_json(bundle / "bundle.json")["model_id"]
        if bundle is not None and model_id is not None:
            shutil.copyfile(bundle / f"{name}.safetensors", out / f"{name}.safetensors")
    write_json(out / "start.json", {"model_id": model_id})
    log.info("the %s starts from %s", name, f"the champion, {model_id}" if model_id else f"pretrained weights: {reason}")


def find(project: Project, name: str, scratch: Path) -> Path | None:
    """Fetch the champion's bundle into `scratch`; if it has learnt from these very labels, that of the model it went on from."""
    store.prepare(project.mlflow_uri, project.artifact_root)
    model, now = versions.champion(project.mlflow_uri), data_hash(project.data / "truth")
    while model is not None:
        bundle = versions.fetch(project.mlflow_uri, model.version, scratch / str(model.version))
        if model.tags.get("data_hash") != now:
            return bundle
        before = read_json(bundle / f"{name}.json").get("start")
        model = versions.by_model_id(project.mlflow_uri, before) if before else None
    return None


def objection(project: Project, params: Params, name: str, bundle: Path | None) -> str | None:
    """Say why a network cannot go on from a bundle; None if it can."""
    if params.train.start == "pretrained":
        return "train.start asks for them"
    if bundle is None:
        return "there is no champion of other labels than these"
    card: dict[str, Any] = read_json(bundle / f"{name}.json")
    mine = getattr(params, name).model_dump(mode="json")
    other = [key for key in BUILT_BY[name] if card["params"].get(key) != mine[key]]
    if other:
        return f"the champion was built with other {', '.join(f'{name}.{key}' for key in other)}"
    if name == "classifier" and [one["id"] for one in card["taxonomy"]["classes"]] != list(params.taxonomy.ids):
        return "the champion has other classes"
    objects = learnt_objects(project.data / "truth", name)
    known = objects & set(card.get("learnt", "").split())
    if 2 * len(known) < len(objects):
        return f"the champion has learnt from {len(known)} of the {len(objects)} objects that are labelled now, less than half"
    return None


if __name__ == "__main__":
    run_stage(f"start-{sys.argv[1]}", partial(act, name=sys.argv[1]))
