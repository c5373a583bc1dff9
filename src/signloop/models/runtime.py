"""A bundle in, the fast callable that labels frames out: `detect`, `cut`, `classify`, each with the numbers of the bundle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from signloop.core.boxes import Boxes
from signloop.core.params import Detector, Precision
from signloop.core.taxonomy import Taxonomy
from signloop.models.bundle import Bundle
from signloop.models.classifier import cut, probabilities
from signloop.models.detector import detect
from signloop.models.familiar import Observer, observe

NEVER = -50.0  # logarithm of the odds of what does not happen
MIN_PX = 64  # the smallest picture that a network is compiled for


class _Costly(nn.Module):
    """The part of an anchor-free detector that costs: from a normalised batch to the outputs of its heads, level behind level."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (batch, 3, H, W) to class logits, box offsets and centreness, (batch, places, 1 or 4)."""
        out: dict[str, Tensor] = self.head(list(self.backbone(images).values()))
        return out["cls_logits"], out["bbox_regression"], out["bbox_ctrness"]


class _Compiled(nn.Module):
    """A torchvision FCOS whose backbone and heads run in OpenVINO; what comes before and after is torchvision's own."""

    def __init__(self, detector: Any, precision: str) -> None:
        super().__init__()
        self.detector = detector
        self.run = CompiledNetwork(_Costly(detector), precision)

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Find objects in pictures in [0, 1], (3, H, W) each, as the detector itself does."""
        sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
        batch, _ = self.detector.transform(images)
        names = ("cls_logits", "bbox_regression", "bbox_ctrness")
        out = dict(zip(names, self.run(batch.tensors), strict=True))
        height, width = batch.tensors.shape[-2:]
        grids = [torch.empty(1, 1, height // stride, width // stride) for (stride,) in self.detector.anchor_generator.sizes]
        anchors = self.detector.anchor_generator(batch, grids)
        places = [grid.shape[-2] * grid.shape[-1] for grid in grids]
        levels = {name: list(torch.split(value, places, dim=1)) for name, value in out.items()}
        found = self.detector.postprocess_detections(levels, [list(torch.split(a, places)) for a in anchors], batch.image_sizes)
        post: list[dict[str, Tensor]] = self.detector.transform.postprocess(found, batch.image_sizes, sizes)
        return post


def fast_detector(detector: nn.Module, params: Detector, device: torch.device, precision: str) -> nn.Module:
    """Return what finds the same as a detector, faster: compiled by OpenVINO if it is an FCOS on a CPU, else itself on its device.

    Args:
        detector: from `build_detector`; put into evaluation mode.
        params: how it was built.
        device: where it shall run.
        precision: "f32" or "bf16", of what OpenVINO runs.
    """
    if device.type == "cpu" and params.network == "fcos_lite":
        return _Compiled(detector.eval(), precision)
    moved: nn.Module = detector.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


class CompiledNetwork:
    """Compile a network for this CPU; called with a batch it returns the tuple of its outputs, float32.

    Args:
        network: in evaluation mode, on the CPU; a batch of any number and size in, one tensor or a tuple of them out.
        precision: "f32", or "bf16" for bfloat16 arithmetic.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        with torch.inference_mode():
            model = ov.convert_model(network.eval(), example_input=torch.zeros(1, 3, MIN_PX, MIN_PX))
        model.reshape([-1, 3, -1, -1])
        hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = ov.compile_model(model, "CPU", hints)

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Run it on a float32 batch, (batch, 3, H, W)."""
        found = self._compiled(np.ascontiguousarray(batch.numpy()))
        return tuple(torch.from_numpy(np.array(found[i], np.float32)) for i in range(len(found)))


class _CompiledObserver(nn.Module):
    """A classifier that looks at crops in OpenVINO."""

    def __init__(self, observer: Observer, precision: str) -> None:
        super().__init__()
        self.classifier = observer.classifier
        self.run = CompiledNetwork(observer, precision)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Map (crops, 3, size, size) in [0, 1] to logits and distances."""
        return self.run(crops)


class Runtime:
    """Both networks of a bundle on one device: OpenVINO on a CPU, PyTorch on a GPU and for the detectors that are no FCOS.

    Args:
        bundle: from `read_bundle`.
        device: where the networks run.
        precision: "f32", or "bf16" for bfloat16 arithmetic (about twice as fast where the processor has it); "auto" takes that there.

    Attributes:
        taxonomy: classes in the order of the columns of `classify`.
        model_id: of the bundle.
        backend: what runs the detector, for the log.
    """

    def __init__(self, bundle: Bundle, device: torch.device, precision: Precision = "f32") -> None:
        self.bundle, self.device = bundle, device
        self.taxonomy: Taxonomy = bundle.taxonomy
        self.model_id: str = bundle.model_id
        self.reduced = precision == "bf16" or (precision == "auto" and has_bf16(device))
        self.observer: nn.Module = Observer(bundle.classifier).eval()
        word = "bf16" if self.reduced else "f32"
        self.detector = fast_detector(bundle.detector, bundle.detector_params, device, word)
        if isinstance(self.detector, _Compiled):
            self.observer = _CompiledObserver(Observer(bundle.classifier).eval(), word)
            self.backend = f"OpenVINO {word}"
        else:
            self.observer.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.backend = f"PyTorch {word} on {device.type}"

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """Find objects in uint8 (H, W, 3) RGB frames; per frame its boxes, best score first; no frames give an empty list."""
        with self._arithmetic():
            return detect(self.detector, images, self.bundle.detector_params, self.device)

    def cut(self, image: NDArray[np.uint8], xyxy: ArrayLike) -> NDArray[np.uint8]:
        """Cut what the classifier sees of one box, uint8 (size, size, 3)."""
        params = self.bundle.classifier_params
        return cut(image, xyxy, params.margin, params.size_px)

    def observe(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], ...]:
        """Return logits, (crops, classes + 1), and distances to the classes, (crops, classes), of crops from `cut`; none give no rows."""
        size = self.bundle.classifier_params.size_px
        stack = np.stack(crops) if len(crops) else np.zeros((0, size, size, 3), np.uint8)
        with self._arithmetic():
            return observe(self.observer, stack, self.device)

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


def has_bf16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 matrices in hardware; where it is emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
