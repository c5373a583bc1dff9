"""Crops and a classifier in; how far each crop is from what the classes look like out.

A network forces whatever it sees into the classes it was taught, and is often sure of it. So the classifier remembers where in its space of
embeddings the training crops of each class lie, and how they scatter around their mean: a crop that is far off shows an object of another
kind, whatever the logits say (Mahalanobis distance: Lee et al. 2018).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn

from signloop.models.classifier import Classifier, to_batch

Floats = NDArray[np.float64]
Look = Callable[[NDArray[np.uint8]], Sequence[Tensor]]
BATCH = 64  # crops in one call
FAR = 1000.0  # deviations: where a class is that has no crop
TINY = 1e-6  # least share of the mean variance that a direction has, for members that are all the same


@dataclass(frozen=True)
class Familiarity:
    """From when on a crop is no member of a class.

    Attributes:
        limit: distance at which a crop is as well an object of another kind.
        width: change of the distance, > 0, that multiplies the odds by e.
    """

    limit: float
    width: float

    def odds(self, distances: ArrayLike) -> NDArray[np.float32]:
        """Return the logarithm of the odds that crops at these distances are strange, of the same shape."""
        return np.asarray((np.asarray(distances, np.float64) - self.limit) / self.width, np.float32)


class Observer(nn.Module):
    """Looks at crops with a classifier as labelling does; a module of its own, as only one function of a module can be compiled."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map (crops, 3, size, size) in [0, 1] to logits, (crops, classes + 1), and distances to the classes, (crops, classes).

        A distance is the root of the mean square over the axes, in deviations of the crops of a class: about 1 for one of them.
        """
        net = self.classifier
        raw, embeddings = net.embed(crops)
        places = (embeddings - net.centre) @ net.axes
        return raw, (places[:, None] - net.means).square().mean(dim=2).sqrt()


def lay_out(embeddings: ArrayLike, labels: ArrayLike, classes: int, axes: int) -> tuple[Floats, Floats, Floats]:
    """Find where classes lie along the directions in which members of one class differ most.

    One covariance serves all classes, as most have few members, and is shrunk (Ledoit & Wolf 2004).

    Args:
        embeddings: of members of classes, (n, features), n > 0.
        labels: class of each, (n,), in [0, classes).
        classes: how many there are.
        axes: how many directions, at most as many as features.

    Returns:
        The mean embedding, (features,); directions, (features, axes), along which members of one class have a deviation of 1; and the mean
        of each class along them, (classes, axes), `FAR` away for one without members.
    """
    points, of = np.asarray(embeddings, np.float64), np.asarray(labels, np.int64)
    counts, sums = np.bincount(of, minlength=classes), np.zeros((classes, points.shape[1]))
    np.add.at(sums, of, points)
    middles, centre = sums / np.maximum(counts, 1)[:, None], points.mean(axis=0)
    values, vectors = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(points - middles[of]).covariance_)
    scaled = vectors[:, -axes:] / np.sqrt(np.maximum(values[-axes:], TINY * max(values.mean(), TINY)))
    return centre, scaled, np.where(counts[:, None] > 0, (middles - centre) @ scaled, FAR)


@torch.inference_mode()
def remember(network: Classifier, crops: NDArray[np.uint8], labels: ArrayLike, device: torch.device) -> None:
    """Let a network remember what its classes look like: `centre`, `axes` and `means` are set, as `lay_out` finds them.

    Args:
        network: in evaluation mode, on `device`.
        crops: uint8 (crops, size, size, 3), from `cut`.
        labels: position of the class of each crop, (crops,); other positions are left out. At least one crop is of a class.
        device: of the network.
    """
    classes, axes = network.means.shape
    truth = np.asarray(labels, np.int64)
    known = np.flatnonzero(truth < classes)
    parts = [network.embed(to_batch(crops[known[i : i + 256]]).to(device))[1].float().cpu().numpy() for i in range(0, len(known), 256)]
    found = lay_out(np.concatenate(parts), truth[known], classes, axes)
    for name, value in zip(("centre", "axes", "means"), found, strict=True):
        network.get_buffer(name).copy_(torch.from_numpy(value))


def as_it_is(observer: Observer, device: torch.device) -> Look:
    """Return an observer in evaluation mode, on its device, as what `observe` asks."""
    return lambda crops: observer(to_batch(crops).to(device))


@torch.inference_mode()
def observe(look: Look, crops: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits, (crops, classes + 1), and distances, (crops, classes), of uint8 (crops, size, size, 3); no crops give no rows.

    Args:
        look: an `Observer` `as_it_is`, or what it was compiled to; asked about at most `BATCH` crops at a time.
        crops: from `cut`.
        classes: how many there are.
    """
    seen = [look(crops[i : i + BATCH]) for i in range(0, len(crops), BATCH)]
    first = np.zeros((0, classes + 1), np.float32), np.zeros((0, classes), np.float32)
    parts = [first, *((raw.float().cpu().numpy(), distances.float().cpu().numpy()) for raw, distances in seen)]
    return np.concatenate([raw for raw, _ in parts]), np.concatenate([distances for _, distances in parts])
