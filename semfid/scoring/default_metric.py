"""The metric that ships inside the package, and others of its kind: EfficientNet-Lite0 features, fixed statistics, a small head.

A file is a `torch.save` of one flat dictionary, read with ``weights_only=True``:

| key | holds |
|---|---|
| ``spec`` | JSON text, see `Spec` |
| ``backbone/<name>`` | weights by timm's names, float16 |
| ``predictor/<name>`` | tensors of a `predictors.PREDICTORS` part |
| ``map/<name>`` | tensors of a `predictors.MAP_HEADS` part; none where there is no map |

`engine/default_metric_file.py` in the clone writes them. The file of the package is known by its SHA-256 (`weights/`).
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from semfid.errors import UserError
from semfid.scoring.efficientnet_lite import TAPS, EfficientNetLite0
from semfid.scoring.predictors import MAP_HEADS, PREDICTORS, Part, rebuilt, saturated
from semfid.scoring.scorer import Description, Facts, Scorer
from semfid.scoring.statistics import (
    Compress,
    Normalize,
    compressed,
    one_side,
    pool,
    signed_squares,
    squared_differences,
    unit_channels,
)

FORMAT = 1
Sides = Literal["both", "gained", "lost"]
PACKAGED = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Differences:
    """Squared differences of some taps.

    Attributes:
        taps: names out of `efficientnet_lite.TAPS`, shallow to deep.
        normalize: ``unit``: channel vectors of length 1 before differences are taken.
        compress: of what comes of them.
        sides: ``both``: (f(y) - f(x))^2; ``gained``: only where the candidate's activation is larger, ``lost``: only where the
            reference's is, 0 elsewhere. A restoration that invents and one that blurs differ in sides before they differ in size.
    """

    taps: tuple[str, ...]
    normalize: Normalize = "none"
    compress: Compress = "sqrt"
    sides: Sides = "both"

    def of(self, reference: Mapping[str, Tensor], candidate: Mapping[str, Tensor], tap: str) -> Tensor:
        """(B, C, h, w) squared differences of one tap, not compressed yet, in float32."""
        x, y = reference[tap].float(), candidate[tap].float()
        if self.normalize == "unit":
            x, y = unit_channels(x), unit_channels(y)
        if self.sides == "both":
            return squared_differences([x], [y], "none")[0]
        return one_side(signed_squares([x], [y])[0], self.sides)


@dataclass(frozen=True)
class Statistic(Differences):
    """Squared differences pooled over positions, then compressed: poolings side by side, within each the taps.

    Attributes:
        poolings: ``mean``, ``max``, ``top:<share>``, see `statistics.pool`.
    """

    poolings: tuple[str, ...] = ("mean", "max")

    def pooled(self, reference: Mapping[str, Tensor], candidate: Mapping[str, Tensor]) -> Tensor:
        """(B, P * sum of C_l)."""
        maps = (self.of(reference, candidate, tap) for tap in self.taps)  # one at a time
        return compressed(pool(maps, self.poolings), self.compress)


@dataclass(frozen=True)
class Spec:
    """What a file says of itself besides its tensors.

    Attributes:
        name: of the metric, with its version.
        statistics: side by side they are what the predictor takes.
        predictor: kind, see `predictors.PREDICTORS`.
        saturation: where differences bend towards 1, see `predictors.saturated`.
        map_input: what the map head takes at every position; None: no map.
        map_head: kind, see `predictors.MAP_HEADS`.
        map_view: side that images are squashed to for the map, whatever their size; None: as they are. On a small view a position
            sees a whole object, not a part of one.
        peak: whether the largest value of the map (of two, the first) stands behind the statistics, one column more, (B, D + 1).
        bands: (least difference, word for it), ascending, the first from 0.
        figures: of held-out pairs, such as ``{"srcc": 0.8}``.
        card: what the model card holds: data, labels, licences.
        format: of the file.
    """

    name: str
    statistics: tuple[Statistic, ...]
    predictor: str
    saturation: float
    map_input: Differences | None
    map_head: str | None
    bands: tuple[tuple[float, str], ...]
    map_view: int | None = None
    peak: bool = False
    figures: dict[str, float] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Raises UserError where another semfid wrote it."""
        content = json.loads(text)
        if content.get("format") != FORMAT:
            raise UserError(f"its format is {content.get('format')}, this semfid reads {FORMAT}; update semfid")
        content["statistics"] = tuple(_of_lists(Statistic, one) for one in content["statistics"])
        content["map_input"] = content["map_input"] and _of_lists(Differences, content["map_input"])
        content["bands"] = tuple((float(least), str(word)) for least, word in content["bands"])
        return cls(**content)

    def taps(self) -> tuple[str, ...]:
        """All taps that anything needs, shallow to deep."""
        return tuple(tap for tap in TAPS if tap in (*self.native_taps(), *self.view_taps()))

    def native_taps(self) -> tuple[str, ...]:
        """Those of the images as they are."""
        inputs = (*self.statistics, *([self.map_input] if self.map_input and self.map_view is None else []))
        return tuple(tap for tap in TAPS if any(tap in one.taps for one in inputs))

    def view_taps(self) -> tuple[str, ...]:
        """Those of the squashed images; none where the map looks at the images as they are."""
        return self.map_input.taps if self.map_input and self.map_view is not None else ()


def _of_lists(kind: type[Any], content: Mapping[str, Any]) -> Any:
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})


class DefaultMetric(Scorer):
    """Scores images of any size from 32 pixels up as they are; differentiable with respect to them.

    Args:
        backbone: weights by timm's names.
        predictor: takes the statistics of `spec`.
        map_head: takes the squared differences of ``spec.map_input``; None: no maps.
        weights_hash: of the file.
    """

    concurrent = True

    def __init__(
        self, spec: Spec, backbone: Mapping[str, Tensor], predictor: Part, map_head: Part | None, weights_hash: str
    ) -> None:
        super().__init__()
        self.spec, self.native, self.view = spec, spec.native_taps(), spec.view_taps()
        self.backbone = EfficientNetLite0(backbone, spec.taps())
        self.predictor, self.map_head = predictor, map_head
        self.facts = Facts(
            run=spec.name,
            weights_hash=weights_hash,
            image_size=0,
            resize="none",
            fixed_size=False,
            gives_maps=map_head is not None,
            figures=spec.figures,
        )
        self.requires_grad_(False)
        self.eval()

    def describe(self, images: Tensor) -> Description:
        side = self.spec.map_view
        if side is None:
            return tuple(self.backbone(images, self.native))
        if images.shape[-2:] == (side, side):  # one pass serves both
            found = dict(zip(self.backbone.taps, self.backbone(images), strict=True))
            return tuple(found[tap] for tap in (*self.native, *self.view))
        return (*self.backbone(images, self.native), *self.backbone(squashed(images, side), self.view))

    def compare(self, reference: Description, candidate: Description) -> Tensor:
        found = self._map_answers(reference, candidate) if self.spec.peak else None
        return self._score(self.statistic(reference, candidate), found)

    def maps(self, reference: Description, candidate: Description) -> Tensor:
        return self.compare_with_maps(reference, candidate)[1]

    def compare_with_maps(self, reference: Description, candidate: Description) -> tuple[Tensor, Tensor]:
        statistic = self.statistic(reference, candidate)  # (B, D)
        found = self._map_answers(reference, candidate)  # (B, 1 or 2, h, w)
        score = self._score(statistic, found if self.spec.peak else None)
        if found.shape[1] == 1:
            return score, found
        share = self.predictor.share(statistic).view(-1, 1, 1, 1)  # type: ignore[operator]
        return score, share * found[:, 1:] + (1 - share) * found[:, :1]

    def _score(self, statistic: Tensor, maps: Tensor | None) -> Tensor:
        if maps is not None:
            statistic = torch.cat([statistic, maps[:, :1].amax(dim=(2, 3))], dim=1)  # (B, D + 1)
        return saturated(self.predictor(statistic), self.spec.saturation)

    def statistic(self, reference: Description, candidate: Description) -> Tensor:
        """The pooled statistics side by side, (B, D): compressed."""
        x, y = self._named(reference), self._named(candidate)
        return torch.cat([one.pooled(x, y) for one in self.spec.statistics], dim=1)

    def _map_answers(self, reference: Description, candidate: Description) -> Tensor:
        """Of the map head: (B, 1, h, w); of one with two experts (B, 2, h, w)."""
        given = self.spec.map_input
        if self.map_head is None or given is None:
            return super().maps(reference, candidate)
        x, y = self._viewed(reference), self._viewed(candidate)
        differences = (given.of(x, y, tap) for tap in given.taps)  # one at a time
        return self.map_head(differences, given.compress, self.spec.saturation)  # type: ignore[no-any-return]

    def word(self, difference: float) -> str:
        return [word for least, word in self.spec.bands if difference >= least][-1]

    def _named(self, description: Description) -> dict[str, Tensor]:
        """Features of the images as they are."""
        return dict(zip(self.native, description[: len(self.native)], strict=True))

    def _viewed(self, description: Description) -> dict[str, Tensor]:
        """Features of what the map looks at."""
        return dict(zip(self.view, description[len(self.native) :], strict=True)) or self._named(description)


def squashed(images: Tensor, side: int) -> Tensor:
    """(B, 3, H, W) images in [0, 1] as (B, 3, side, side), the aspect ratio given up."""
    size = (side, side)
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)


def load_default_metric() -> DefaultMetric:
    """The metric of the package.

    Raises:
        UserError: its file is missing or damaged.
    """
    return _from_bytes(_packaged_bytes())


def packaged_backbone() -> dict[str, Tensor]:
    """The default metric's backbone: ImageNet weights of timm's ``tf_efficientnet_lite0`` by its names, float16, up to the last
    stage.

    Raises:
        UserError: as `load_default_metric`.
    """
    held = torch.load(io.BytesIO(_packaged_bytes()), map_location="cpu", weights_only=True)
    return _under(held, "backbone")


def _packaged_bytes() -> bytes:
    from semfid.scoring.weights import FILE, SHA256

    path = PACKAGED / FILE
    fix = "install semfid again: pip install --force-reinstall --no-deps semfid"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"the default metric's weights {path} cannot be read ({error.strerror}); {fix}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise UserError(f"{path} is damaged: its SHA-256 is {found}, not {SHA256}; {fix}")
    return content


def load_metric_file(path: Path) -> DefaultMetric:
    """A metric of this kind out of another file.

    Raises:
        UserError: damaged, not such a file, or of a newer format.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # torch would load damaged weights without a word
            damaged = archive.testzip()
        if damaged is None:
            return _from_bytes(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        pickle.UnpicklingError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        OSError,
        EOFError,
    ) as error:
        raise UserError(f"{path} is not a metric's weights, or cut off; train it again or leave --run out") from error
    raise UserError(f"{path} is damaged ({damaged}); copy it again or leave --run out")


def _from_bytes(content: bytes) -> DefaultMetric:
    held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    spec = Spec.from_json(held["spec"])
    predictor = rebuilt(PREDICTORS, spec.predictor, _under(held, "predictor"))
    map_head = None if spec.map_head is None else rebuilt(MAP_HEADS, spec.map_head, _under(held, "map"))
    weights_hash = hashlib.sha256(content).hexdigest()[:16]
    return DefaultMetric(spec, _under(held, "backbone"), predictor, map_head, weights_hash)


def _under(held: Mapping[str, Any], group: str) -> dict[str, Tensor]:
    return {name.partition("/")[2]: tensor for name, tensor in held.items() if name.startswith(f"{group}/")}
