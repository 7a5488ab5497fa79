"""What heads are fed, by compiled functions: differences, poolings and lengths in one pass, no full map written back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from heads.features import FeatureExtractor, Features, Need
from heads.inputs import Compared, HeadInput
from semfid.scoring.scorer import Description


class CompiledInput(HeadInput):
    """Another `HeadInput`, whose steps from features to what a head takes are compiled; values are equal to 1e-5.

    Only training uses it: its steps come by the thousand, all of one shape.

    Args:
        inner: whose values these are.
        backend: of `torch.compile`.
    """

    def __init__(self, inner: HeadInput, backend: str = "inductor") -> None:
        self.inner = inner
        self._of_features: Callable[..., Any] = torch.compile(inner.of_features, backend=backend)
        self._compare: Callable[..., Any] = torch.compile(inner.compare, backend=backend)
        self._positions: Callable[..., Any] = torch.compile(inner.positions, backend=backend)

    @property
    def needs(self) -> tuple[Need, ...]:
        return self.inner.needs

    def features(self, backbone: FeatureExtractor, images: Tensor) -> Features:
        return self.inner.features(backbone, images)

    def of_features(self, features: Features) -> Description:
        return self._of_features(features)  # type: ignore[no-any-return]

    def compare(self, x: Description, y: Description) -> Compared:
        return self._compare(x, y)  # type: ignore[no-any-return]

    def positions(self, x: Description, y: Description) -> list[Tensor]:
        return self._positions(x, y)  # type: ignore[no-any-return]

    def pooled(self, positions: list[Tensor]) -> Compared:
        return self.inner.pooled(positions)

    def parts(self) -> tuple[HeadInput, ...]:
        return self.inner.parts()

    def cached(self, x: Description, y: Description) -> Sequence[Tensor]:
        return self.inner.cached(x, y)

    def joined(self, cached: Sequence[Tensor]) -> Tensor:
        return self.inner.joined(cached)

    def __str__(self) -> str:
        return str(self.inner)
