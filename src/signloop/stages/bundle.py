"""Stage: both networks and data/truth in, data/candidate out: one bundle with calibration and hashes, whose runtime was checked."""

from dataclasses import asdict

import numpy as np

from signloop.core.params import Params
from signloop.models.bundle import note, pick_device, read_bundle, read_classifier, write_bundle
from signloop.models.datasets import crop_truths
from signloop.models.familiar import Observer, as_it_is, observe
from signloop.models.learn import view
from signloop.prelabel.calibrate import fit_familiarity, fit_temperature
from signloop.prelabel.parity import compare
from signloop.stages._edge import Project, log, progress, run_stage


def act(project: Project, params: Params) -> None:
    """Fit temperature and familiarity on validation crops and join both networks."""
    models, truth, out = (project.data / name for name in ("models", "truth", "candidate"))
    device = pick_device(params.trainer.accelerator)
    network, cfg, taxonomy = read_classifier(models / "classifier")
    crops = crop_truths([truth, project.mistakes], taxonomy, "val")
    temperature, familiarity = 1.0, None
    if len(crops):
        views = np.stack([view(crops, i, cfg.margin, cfg.size_px) for i in range(len(crops))])
        raw, distances = observe(as_it_is(Observer(network).to(device), device), views, len(taxonomy))
        temperature = fit_temperature(raw, crops.labels)
        familiarity = fit_familiarity(distances, crops.labels, crops.tracks, params.prelabel.strange)
    found = {} if familiarity is None else {"familiarity": asdict(familiarity)}
    calibration = {"temperature": round(temperature, 6), "crops": len(crops), **found}
    model_id = write_bundle(models / "detector", models / "classifier", calibration, out)
    log.info("bundle %s, temperature %.3f from %d validation crops", model_id, temperature, len(crops))
    note(out, compare(read_bundle(out), device, params.prelabel.backend, truth, log.info, progress))


if __name__ == "__main__":
    run_stage("bundle", act)
