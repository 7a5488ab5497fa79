"""What heads are fed: the one place where a backbone's features become it.

A `HeadInput` works in two steps. `describe` gives what is needed of each image, which costs nearly all the time; `compare` gives
what a head takes of two images. Training, the cache of features, scoring and export call these and nothing else, so a new kind of
input is one subclass, here or in a plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from heads.features import FeatureExtractor, Features, Need, Taps, backbone_features, padded, rows_of
from semfid.errors import UserError, did_you_mean
from semfid.scoring.local_evidence import grids_of
from semfid.scoring.scorer import Description
from semfid.scoring.statistics import Normalize, differences_for, is_sided, pool, pooled_differences, unit_channels

Compared = Tensor | list[Tensor]


class HeadInput:
    """One kind of what heads are fed; a subclass ``class Mine(HeadInput, kind="mine")`` feeds heads with ``input_kind = "mine"``.

    Subclasses are frozen dataclasses: equal ones share what is computed and cached, and `str` names them in the cache. A subclass
    implements `of`, `of_features` and `compare`; the rest has defaults.

    Attributes:
        kind: its name.
        needs: what of the backbone it is made of.
        cacheable: whether a pair's is small enough to be computed once and kept. `global_regressor` takes no other.
        by_position: whether it grows with the images, so that only images of one size have inputs of one length.
        per_image: whether the cache keeps descriptions of images, each one (B, D) tensor, in place of comparisons of pairs.
    """

    kind: ClassVar[str] = ""
    cacheable: ClassVar[bool] = True
    by_position: ClassVar[bool] = False
    per_image: ClassVar[bool] = False

    def __init_subclass__(cls, kind: str = "") -> None:
        super().__init_subclass__()
        if kind:
            cls.kind = kind
            KINDS[kind] = cls

    @classmethod
    def of(cls, head: Any) -> HeadInput:
        """What a `heads.Head` is fed, by its attributes."""
        raise NotImplementedError(f"{cls.__name__} must implement of")

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("stages",)

    def __str__(self) -> str:
        return self.kind

    def features(self, backbone: FeatureExtractor, images: Tensor) -> Features:
        """One pass over (B, 3, H, W) RGB in [0, 1]."""
        return backbone_features(backbone, images, self.needs)

    def of_features(self, features: Features) -> Description:
        """The description of B images: tensors (B, ...)."""
        raise NotImplementedError(f"{type(self).__name__} must implement of_features")

    def describe(self, backbone: FeatureExtractor, images: Tensor) -> Description:
        """What is needed of each image, (B, ...) tensors of (B, 3, H, W) RGB in [0, 1]."""
        return self.of_features(self.features(backbone, images))

    def describe_pairs(
        self, backbone: FeatureExtractor, reference: Tensor, candidate: Tensor, first: Tensor | None = None
    ) -> tuple[Description, Description]:
        """Descriptions of both images of B pairs, from one pass; a reference that several pairs share passes once.

        Args:
            first: (B,) position of the first pair with the same reference image; None: all differ.
        """
        if first is None or backbone.batch_matters:
            place, distinct = torch.arange(len(reference)), reference
        else:
            rows, place = torch.unique(first, return_inverse=True)  # (R,), (B,)
            distinct = reference[rows]
        many = len(distinct)
        features = self.features(backbone, torch.cat([distinct, candidate]))  # (R + B, ...)
        x: Features = {need: [tap[:many] for tap in taps] for need, taps in features.items()}
        if distinct is not reference:
            x = {need: [tap[place] for tap in taps] for need, taps in x.items()}
        return self.of_features(x), self.of_features(rows_of(features, slice(many, None)))

    def compare(self, x: Description, y: Description) -> Compared:
        """What a head takes of B references and B candidates; of one reference and B candidates too where it is cached."""
        raise NotImplementedError(f"{type(self).__name__} must implement compare")

    def positions(self, x: Description, y: Description) -> list[Tensor]:
        """What heads make maps of: `compare` before it is pooled over positions."""
        raise UserError(f"a head on {self.kind} gives no maps")

    def pooled(self, positions: list[Tensor]) -> Compared:
        """`compare`, from `positions`."""
        return positions

    def parts(self) -> tuple[HeadInput, ...]:
        """What is cached apart, so that heads share what they have in common."""
        return (self,)

    @classmethod
    def combined(cls, parts: Sequence[HeadInput]) -> list[HeadInput]:
        """Inputs whose parts are these, parts that one comparison can give together."""
        return list(parts)

    def cached(self, x: Description, y: Description) -> Sequence[Tensor]:
        """`compare` as the cache keeps it: (B, D) per part, float32, or float16 where that is enough."""
        compared = self.compare(x, y)
        if not isinstance(compared, Tensor):
            raise NotImplementedError(f"{type(self).__name__} must implement cached")
        return (compared.float(),)

    def joined(self, cached: Sequence[Tensor]) -> Tensor:
        """What a head takes, from the cached parts: (N, D) each, or of images (N, 2, D)."""
        return cached[0] if len(cached) == 1 else torch.cat(list(cached), dim=1)


KINDS: dict[str, type[HeadInput]] = {}


@dataclass(frozen=True)
class _Differences(HeadInput):
    """Common part: maps of features, of unit length where a head wants that.

    Attributes:
        taps: stages or residual blocks.
        normalize: see `heads.contract.Head`.
    """

    taps: Taps = "stages"
    normalize: Normalize = "none"

    @property
    def needs(self) -> tuple[Need, ...]:
        return (self.taps,)

    def of_features(self, features: Features) -> Description:
        taps = features[self.taps]  # (B, C_l, H_l, W_l) each
        return tuple(unit_channels(tap) for tap in taps) if self.normalize == "unit" else tuple(taps)


@dataclass(frozen=True)
class PooledDifferences(_Differences, kind="pooled_squared_differences"):
    """(B, P * sum of C_l): squared differences pooled over positions in P ways, each of all taps side by side.

    Attributes:
        poolings: see `heads.statistics.parse_poolings`; each is a part of its own in the cache.
    """

    poolings: tuple[str, ...] = ("mean",)

    @classmethod
    def of(cls, head: Any) -> PooledDifferences:
        return cls(head.taps, head.normalize, tuple(head.poolings))

    def compare(self, x: Description, y: Description) -> Tensor:
        return pooled_differences(x, y, self.poolings)

    def positions(self, x: Description, y: Description) -> list[Tensor]:
        return differences_for(self.poolings, x, y, "none")

    def pooled(self, positions: list[Tensor]) -> Tensor:
        return pool(positions, self.poolings)

    def parts(self) -> tuple[HeadInput, ...]:
        return tuple(replace(self, poolings=(pooling,)) for pooling in self.poolings)

    @classmethod
    def combined(cls, parts: Sequence[HeadInput]) -> list[HeadInput]:
        together: dict[PooledDifferences, list[str]] = {}
        for part in parts:
            if isinstance(part, PooledDifferences):
                sided = ("gained:mean",) if is_sided(part.poolings) else ("mean",)  # another pass over the differences
                together.setdefault(replace(part, poolings=sided), []).extend(part.poolings)
        return [replace(kind, poolings=tuple(poolings)) for kind, poolings in together.items()]

    def cached(self, x: Description, y: Description) -> Sequence[Tensor]:
        return self.compare(x, y).chunk(len(self.poolings), dim=1)

    def __str__(self) -> str:
        # means were kept before there were others
        poolings = "".join(f"-{pooling}" for pooling in self.poolings if pooling != "mean")
        return f"{self.kind}-{self.taps}-{self.normalize}{poolings}"


class _BothImages(HeadInput):
    """Common part: (B, 2, D), one vector of each image, the reference's first."""

    per_image: ClassVar[bool] = True

    def compare(self, x: Description, y: Description) -> Tensor:
        return torch.stack([x[0], y[0]], dim=1).float()


@dataclass(frozen=True)
class PooledFeatures(_BothImages, kind="pooled_features"):
    """(B, 2, sum of C_l): spatial means of both images' features."""

    taps: Taps = "stages"

    @classmethod
    def of(cls, head: Any) -> PooledFeatures:
        return cls(head.taps)

    @property
    def needs(self) -> tuple[Need, ...]:
        return (self.taps,)

    def of_features(self, features: Features) -> Description:
        return (pool(features[self.taps]),)  # (B, sum of C_l)

    def __str__(self) -> str:
        return f"{self.kind}-{self.taps}-none"


@dataclass(frozen=True)
class Embeddings(_BothImages, kind="embeddings"):
    """(B, 2, D): both images' vectors; concept weights where the backbone is one of concepts."""

    @classmethod
    def of(cls, head: Any) -> Embeddings:
        return cls()

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("embedding",)

    def of_features(self, features: Features) -> Description:
        return (features["embedding"][0],)  # (B, D)

    def __str__(self) -> str:
        return f"{self.kind}-stages-none"


@dataclass(frozen=True)
class DifferenceGrids(_Differences, kind="difference_grids"):
    """A list of (B, K_l, h_l, w_l): squared differences on grids that are no finer than a stride.

    The cache keeps them side by side, in float16.

    Attributes:
        stride: of the finest grid, in pixels.
        strides: of the taps, in pixels.
    """

    stride: int = 8
    strides: tuple[int, ...] = ()

    by_position: ClassVar[bool] = True

    @classmethod
    def of(cls, head: Any) -> DifferenceGrids:
        return cls(head.taps, head.normalize, head.stride, head.tap_strides)

    def compare(self, x: Description, y: Description) -> list[Tensor]:
        return grids_of(x, y, self.strides, self.stride)

    def positions(self, x: Description, y: Description) -> list[Tensor]:
        return self.compare(x, y)

    def cached(self, x: Description, y: Description) -> Sequence[Tensor]:
        return (flat(self.compare(x, y)),)

    def __str__(self) -> str:
        return f"{self.kind}-{self.taps}-{self.normalize}-grids:{self.stride}"


@dataclass(frozen=True)
class DifferenceMaps(_Differences, kind="squared_difference_maps"):
    """A list: the images' own squared difference, mean over the colour channels, (B, 1, H, W), then (B, C_l, H_l, W_l) per tap.

    Attributes:
        multiple: images are padded to multiples of it, in pixels, before they go through the backbone.
    """

    multiple: int = 1

    cacheable: ClassVar[bool] = False
    by_position: ClassVar[bool] = True

    @classmethod
    def of(cls, head: Any) -> DifferenceMaps:
        return cls(head.taps, head.normalize, max(getattr(head, "strides", (1,))))

    def features(self, backbone: FeatureExtractor, images: Tensor) -> Features:
        found = backbone_features(backbone, padded(images, self.multiple), self.needs)
        return {"images": [images], **found}

    def of_features(self, features: Features) -> Description:
        return (*features["images"], *super().of_features(features))

    def compare(self, x: Description, y: Description) -> list[Tensor]:
        pixel = (x[0] - y[0]).square().mean(dim=1, keepdim=True)  # (B, 1, H, W)
        return [pixel, *differences_for((), x[1:], y[1:], "none")]

    def positions(self, x: Description, y: Description) -> list[Tensor]:
        return self.compare(x, y)


def input_of(head: nn.Module) -> HeadInput:
    """What a head is fed.

    Raises:
        UserError: its `input_kind` is none that is known.
    """
    kind = getattr(head, "input_kind", None)
    if kind not in KINDS:
        near = did_you_mean(str(kind), KINDS)
        raise UserError(f"head: {type(head).__name__}.input_kind is {kind!r}{near}; choose one of {', '.join(KINDS)}")
    return KINDS[kind].of(head)


def combined(parts: Iterable[HeadInput]) -> list[HeadInput]:
    """Inputs whose parts are these, so that one comparison gives all that it can."""
    by_kind: dict[type[HeadInput], list[HeadInput]] = {}
    for part in parts:
        by_kind.setdefault(type(part), []).append(part)
    return [whole for kind, own in by_kind.items() for whole in kind.combined(own)]


def joined_pairs(pieces: Sequence[Compared]) -> Compared:
    """Comparisons of several batches as those of one, in float32."""
    if isinstance(pieces[0], Tensor):
        return torch.cat([piece for piece in pieces if isinstance(piece, Tensor)]).float()
    return [torch.cat(taps).float() for taps in zip(*pieces, strict=True)]


def first_pairs(compared: Any, count: int) -> Any:
    """Those of the first pairs."""
    return compared[:count] if isinstance(compared, Tensor) else [tap[:count] for tap in compared]


def flat(grids: Sequence[Tensor]) -> Tensor:
    """(B, D) float16 of (B, K_l, h_l, w_l) per grid: what the cache keeps. Values beyond float16's range are cut to it."""
    largest = torch.finfo(torch.float16).max
    return torch.cat([grid.flatten(1).clamp(max=largest).half() for grid in grids], dim=1)
