"""A metric of the default kind with random weights, and timm's network of the same weights to hold it against."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from semfid.scoring.default_metric import Differences, Spec, Statistic
from semfid.scoring.efficientnet_lite import CHANNELS
from semfid.scoring.predictors import LinearMap, LinearPredictor

TAPS = ("blocks.0", "blocks.1", "blocks.3")
BANDS = ((0.0, "same"), (0.2, "details differ"), (0.6, "something else"))


def timm_network(seed: int = 0) -> nn.Module:
    """Random weights that float16 holds exactly; statistics of BatchNorm that are not those of a fresh one."""
    torch.manual_seed(seed)
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=draw)
        elif ".bn" in name or name.startswith("bn"):
            tensor.add_(torch.randn(tensor.shape, generator=draw) * 0.2)
        tensor.copy_(tensor.half().float())
    return network


def timm_taps(network: Any, images: Tensor) -> dict[str, Tensor]:
    """Outputs of stem and stages by the names of `efficientnet_lite.TAPS`."""
    with torch.no_grad():
        x = network.bn1(network.conv_stem((images - 0.5) / 0.5))
        found = {"stem": x}
        for number, block in enumerate(network.blocks):
            found[f"blocks.{number}"] = x = block(x)
    return found


def spec(**changes: Any) -> Spec:
    given: dict[str, Any] = {
        "name": "random metric",
        "statistics": (Statistic(taps=TAPS),),
        "predictor": "linear",
        "saturation": 0.8,
        "map_input": Differences(taps=TAPS),
        "map_head": "linear",
        "bands": BANDS,
    }
    return Spec(**{**given, **changes})


def heads(poolings: int = 2, seed: int = 0) -> tuple[LinearPredictor, LinearMap]:
    """Nonnegative weights, so that scores and maps are above 0; scores of unlike noise are around a half."""
    draw = torch.Generator().manual_seed(seed)
    width = sum(CHANNELS[tap] for tap in TAPS)
    weight = torch.rand(poolings * width, generator=draw)
    predictor = LinearPredictor(weight, torch.full_like(weight, 2.0 * poolings * width))
    return predictor, LinearMap(weight[:width], torch.full((width,), float(width)))
