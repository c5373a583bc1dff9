"""A bundle in, the fast callable that labels frames out: `detect`, `cut`, `classify`, each with the numbers of the bundle."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import openvino as ov
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from signloop.core.boxes import Boxes
from signloop.core.params import Backend, Detector, Precision, Prelabel
from signloop.core.taxonomy import Taxonomy
from signloop.models.bundle import Bundle, pick_device, read_bundle
from signloop.models.classifier import cut, probabilities
from signloop.models.detector import Find, detect, eager
from signloop.models.export import export_classifier, export_detector
from signloop.models.familiar import Look, Observer, as_it_is, observe

N = TypeVar("N", bound=nn.Module)
SIZES = 8  # most sizes of pictures for which a network is kept compiled
NEVER = -50.0  # logarithm of the odds of what does not happen


class CompiledNetwork:
    """A network compiled for this CPU: a batch in, from any thread, the tuple of its outputs out, float32.

    Each size of picture is compiled for itself, which makes a detector half as fast again as one that takes any size; compiling takes
    some tenths of a second, and the `SIZES` that were used last are kept.

    Args:
        onnx: from `models.export`.
        precision: "f32", or "bf16" for bfloat16 arithmetic.
        threads: that it takes; None: one for each core.
        any_number: batches are of different numbers, for which it is not compiled each time.
    """

    def __init__(self, onnx: bytes, precision: str, threads: int | None = None, *, any_number: bool = False) -> None:
        self._onnx, self._core, self._any_number = onnx, ov.Core(), any_number
        self._hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            self._hints["INFERENCE_NUM_THREADS"] = threads
        self._compiled: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock, self._mine = threading.Lock(), threading.local()

    def __call__(self, batch: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """Run it on uint8 (batch, H, W, 3)."""
        found = self._request(batch.shape).infer(np.ascontiguousarray(batch), share_inputs=True)
        return tuple(torch.from_numpy(np.array(found[i], np.float32)) for i in range(len(found)))

    def _request(self, shape: tuple[int, ...]) -> Any:
        """Return what runs batches of this shape in this thread; made anew each time, it would take a fifth of the time that it runs."""
        compiled, kept = self._for(shape), self._mine.__dict__
        if kept.get("compiled") is not compiled:
            kept |= {"compiled": compiled, "request": compiled.create_infer_request()}
        return kept["request"]

    def _for(self, shape: tuple[int, ...]) -> Any:
        key = (-1 if self._any_number else shape[0], *shape[1:])
        with self._lock:
            if key not in self._compiled:
                model = self._core.read_model(self._onnx)
                model.reshape(list(key))
                self._compiled[key] = self._core.compile_model(model, "CPU", self._hints)
            self._compiled.move_to_end(key)
            while len(self._compiled) > SIZES:
                self._compiled.popitem(last=False)
            return self._compiled[key]


class _Compiled:
    """A torchvision FCOS whose network runs in OpenVINO; what comes after it is torchvision's own."""

    def __init__(self, detector: Any, onnx: bytes, precision: str, threads: int | None) -> None:
        self._detector = detector
        self._run = CompiledNetwork(onnx, precision, threads)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[dict[str, Tensor]]:
        """Find objects in frames, as `detect` asks."""
        if len({image.shape for image in images}) > 1:
            return [self([image])[0] for image in images]
        height, width = images[0].shape[:2]
        out = dict(
            zip(
                ("cls_logits", "bbox_regression", "bbox_ctrness"),
                self._run(np.stack(images) if len(images) > 1 else images[0][None]),
                strict=True,
            )
        )
        strides = [stride for (stride,) in self._detector.anchor_generator.sizes]
        step = self._detector.transform.size_divisible
        padded = torch.empty(1, 1, *(-(-side // step) * step for side in (height, width)))
        grids = [torch.empty(1, 1, *(side // stride for side in padded.shape[-2:])) for stride in strides]
        frames = ImageList(padded, [(height, width)])
        (anchors,) = self._detector.anchor_generator(frames, grids)
        places = [grid.shape[-2] * grid.shape[-1] for grid in grids]
        levels = {name: list(torch.split(value, places, dim=1)) for name, value in out.items()}
        anchors = [list(torch.split(anchors, places))] * len(images)
        boxes: list[dict[str, Tensor]] = self._detector.postprocess_detections(levels, anchors, [(height, width)] * len(images))
        return boxes


def fast_detector(
    detector: nn.Module, params: Detector, device: torch.device, precision: str, threads: int | None = None, onnx: bytes | None = None
) -> Find:
    """Return what finds the same as a detector, faster: compiled by OpenVINO if it is an FCOS on a CPU, else itself on its device.

    Args:
        detector: from `build_detector`; put into evaluation mode.
        params: how it was built.
        device: where it shall run.
        precision: "f32" or "bf16", of what OpenVINO runs.
        threads: that OpenVINO takes; None: one for each core.
        onnx: from `export_detector`; None makes it.
    """
    if device.type == "cpu" and params.network == "fcos_lite":
        return _Compiled(detector.eval(), onnx or export_detector(detector), precision, threads)
    return eager(_moved(detector, device), device)


def _moved(network: N, device: torch.device) -> N:
    moved: N = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


class Runtime:
    """Both networks of a bundle on one device: OpenVINO on a CPU, PyTorch on a GPU and for the detectors that are no FCOS.

    Args:
        bundle: from `read_bundle`.
        device: where the networks run.
        precision: "f32", or "bf16" for bfloat16 arithmetic (about twice as fast where the processor has it); "auto" takes that there if
            the bundle may.
        threads: of the cores; None: all of them.
        backend: "pytorch" takes that also where OpenVINO is faster.

    Attributes:
        taxonomy: classes in the order of the columns of `classify`.
        model_id: of the bundle.
        streams: how many calls of `detect` run at the same time.
        backend: what runs the detector.
    """

    streams = 1

    def __init__(
        self, bundle: Bundle, device: torch.device, precision: Precision = "f32", threads: int | None = None, backend: Backend = "auto"
    ) -> None:
        self.bundle, self.device, self._threads = bundle, device, threads
        self.taxonomy: Taxonomy = bundle.taxonomy
        self.model_id: str = bundle.model_id
        self.reduced = precision == "bf16" or (precision == "auto" and bundle.may_reduce and has_bf16(device))
        word = "bf16" if self.reduced else "f32"
        if backend == "pytorch":
            self._find = eager(_moved(bundle.detector, device), device)
        else:
            self._find = fast_detector(bundle.detector, bundle.detector_params, device, word, threads, bundle.onnx.get("detector.onnx"))
        self._look: Look
        if isinstance(self._find, _Compiled):
            onnx = bundle.onnx.get("classifier.onnx") or export_classifier(bundle.classifier, bundle.classifier_params.size_px)
            self._look = CompiledNetwork(onnx, word, threads, any_number=True)
            self.backend = f"OpenVINO {word}"
        else:
            self._look = as_it_is(_moved(Observer(bundle.classifier), device), device)
            self.backend = f"PyTorch {word} on {device.type}"

    def __str__(self) -> str:
        return f"{self.model_id} runs in {self.backend}" + (f" with {self._threads} threads" if self._threads else "")

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """Find objects in uint8 (H, W, 3) RGB frames; per frame its boxes, best score first; no frames give an empty list."""
        with self._arithmetic():
            return detect(self._find, images, self.bundle.detector_params)

    def cut(self, image: NDArray[np.uint8], xyxy: ArrayLike) -> NDArray[np.uint8]:
        """Cut what the classifier sees of one box, uint8 (size, size, 3)."""
        params = self.bundle.classifier_params
        return cut(image, xyxy, params.margin, params.size_px)

    def observe(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits, (crops, classes + 1), and distances to the classes, (crops, classes), of crops from `cut`; none give no rows."""
        size = self.bundle.classifier_params.size_px
        stack = np.stack(crops) if len(crops) else np.zeros((0, size, size, 3), np.uint8)
        with self._arithmetic():
            return observe(self._look, stack, len(self.taxonomy))

    def classify(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what is to be thought of crops from `cut`.

        Calibrated probabilities, (crops, classes + 1), the last column for "not an object"; and, were a crop called a class, the logarithm
        of the odds that it shows an object of another kind, (crops, classes). A bundle without familiarity finds nothing strange.
        """
        raw, distances = self.observe(crops)
        familiarity = self.bundle.familiarity
        strange = np.full_like(distances, NEVER) if familiarity is None else familiarity.odds(distances)
        return probabilities(raw, self.bundle.temperature), strange

    def _arithmetic(self) -> torch.autocast:
        """Reduced precision for what PyTorch runs; OpenVINO has its own."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced and self.backend.startswith("PyTorch"))


def load_runtime(bundle: Path, accelerator: str, params: Prelabel, threads: int | None = None) -> Runtime:
    """Load a bundle and make it fast on this machine.

    Args:
        bundle: its folder.
        accelerator: as in `pick_device`.
        params: its `precision` and `backend` are used.
        threads: as in `Runtime`.

    Raises:
        ModelError: it is incomplete, damaged, or was written by another version.
        ConfigError: a GPU is asked for, and there is none.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    return Runtime(read_bundle(bundle), pick_device(accelerator), params.precision, threads, params.backend)


def has_bf16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 matrices in hardware; where it is emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
