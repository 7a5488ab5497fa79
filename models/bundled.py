"""Small trained networks of the repository: safetensors whose metadata say how to build them and how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from semfid.errors import UserError
from semfid.io.files import content_digest

ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class NetworkFile:
    """A file of weights, known by its content.

    Attributes:
        path: the file.
        kind: what its metadata call it, such as ``scenes_tower``.
        digest: 16 hex digits of the file's content.
        facts: its metadata.
    """

    path: Path
    kind: str
    digest: str
    facts: Mapping[str, str]

    @classmethod
    def find(cls, path: str | Path, kind: str) -> NetworkFile:
        """Look at the file without reading its weights.

        Raises:
            UserError: there is none, it is not a safetensors file, or one of another kind.
        """
        path, fix = Path(path), f"python tools/make_{kind}.py makes one"
        if not path.is_file():
            raise UserError(f"{kind}: no weights file {path}; {fix}")
        try:
            with safe_open(path, framework="pt") as file:
                facts = dict(file.metadata() or {})
        except (SafetensorError, OSError) as error:
            raise UserError(f"{kind}: {path} is not a safetensors file ({error}); {fix}") from error
        if facts.get("kind") != kind:
            raise UserError(f"{kind}: {path} holds {facts.get('kind', 'something else')}; {fix}")
        return cls(path, kind, content_digest(path).hex()[:16], facts)

    def load(self, **parts: nn.Module) -> None:
        """Fill modules with the weights whose names start with theirs; half precision becomes float32.

        Raises:
            UserError: a weight is missing, unknown or of another shape.
        """
        with safe_open(self.path, framework="pt") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it has no iterator)
        for name, module in parts.items():
            own = {key.removeprefix(f"{name}."): v for key, v in weights.items() if key.startswith(f"{name}.")}
            try:
                module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in own.items()})
            except RuntimeError as error:
                reason = str(error).splitlines()[-1].strip()
                raise UserError(
                    f"{self.kind}: {self.path} is damaged ({reason}); python tools/make_{self.kind}.py makes a new one"
                ) from error
            module.eval().requires_grad_(False)


class CellFeatures(nn.Module):
    """A timm network's features of two strides, joined at the finer one: a vector for every cell of the image.

    Args:
        trunk: keywords of ``timm.create_model``; `out_indices` names two neighbouring stages.
        width: channels of the joint features.
    """

    def __init__(self, trunk: dict[str, Any], width: int) -> None:
        super().__init__()
        self.trunk = timm.create_model(features_only=True, pretrained=False, **trunk)
        channels = sum(self.trunk.feature_info.channels())
        self.mix = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU

    def forward(self, images: Tensor) -> Tensor:
        """(B, width, H / stride, W / stride) of (B, 3, H, W) in [0, 1]."""
        fine, coarse = self.trunk(((images - 0.5) / 0.5).contiguous(memory_format=torch.channels_last))
        grown = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.mix(torch.cat([fine, grown], dim=1))


def cell_features(facts: Mapping[str, str]) -> CellFeatures:
    """As the metadata of a file describe them, untrained."""
    return CellFeatures(json.loads(facts["trunk"]), int(facts["width"]))
