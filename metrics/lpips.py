"""LPIPS: distances of normalised features, weighted by channels that people's judgements chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metrics import TrainingFreeMetric, zero_where_equal
from models.hub import first_line
from registry import METRICS
from semfid.errors import UserError
from semfid.io.torch_files import DamagedFileError, load_whole

Net = Literal["alex", "vgg", "squeeze"]
BACKBONES = {
    "alex": ("alexnet", "alexnet-owt-7be5be79.pth"),
    "vgg": ("vgg16", "vgg16-397923af.pth"),
    "squeeze": ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
}
LEAST = 32  # pixels a side: below it the last stage has no position left


@METRICS.register(
    "lpips", summary="LPIPS 0.1: learned perceptual distance (downloads the backbone)", source="arXiv 1801.03924"
)
class Lpips(TrainingFreeMetric):
    """Learned perceptual image patch similarity, version 0.1, as torchmetrics has it; clipped to [0, 1].

    Args:
        net: the backbone.
        pretrained: the backbone's ImageNet weights: ``hub`` (torchvision's cache or download), the path of torchvision's
            checkpoint of that net, or ``none`` (random weights, for tests). The linear layers come with torchmetrics.

    Raises:
        UserError: weights that cannot be had.
    """

    def __init__(self, net: Net = "alex", pretrained: str = "hub") -> None:
        super().__init__()
        self.network = _network(net, pretrained)

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        return zero_where_equal(self.distance(reference, candidate), reference, candidate)

    def distance(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """LPIPS of each pair as it is, (B,); it may exceed 1.

        Raises:
            UserError: images below 32 pixels a side.
        """
        if min(reference.shape[-2:]) < LEAST:
            raise UserError(f"lpips needs images of at least {LEAST}x{LEAST} pixels")
        distance: Tensor = self.network(reference, candidate, normalize=True)  # (B, 1, 1, 1)
        return distance.flatten()


def _network(net: Net, pretrained: str) -> nn.Module:
    from torchmetrics.functional.image.lpips import _LPIPS  # torchvision takes a second to import

    if pretrained != "hub":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of the random backbone
            network: Any = _LPIPS(pretrained=True, net=net, pnet_rand=True)
        if pretrained != "none":
            network.net.load_state_dict(_backbone_state(network.net, net, Path(pretrained)))
        return network.eval()  # type: ignore[no-any-return]
    name, file = BACKBONES[net]
    try:
        return _LPIPS(pretrained=True, net=net).eval()
    except (OSError, RuntimeError) as error:  # no network, a broken download
        raise UserError(
            f"lpips: cannot get torchvision's weights of {name} ({type(error).__name__}: {first_line(error)}); connect, put "
            f"{file} into {torch.hub.get_dir()}/checkpoints, or give pretrained: path/to/{file}"
        ) from error


def _backbone_state(backbone: nn.Module, net: Net, path: Path) -> dict[str, Tensor]:
    """Torchvision's ``features.<i>.*`` under the names of torchmetrics' slices, which keep the number of the layer."""
    name, file = BACKBONES[net]
    try:
        state = load_whole(path)
        return {key: state[f"features.{key.removeprefix('slices.').split('.', 1)[1]}"] for key in backbone.state_dict()}
    except FileNotFoundError as error:
        raise UserError(f"lpips: no file {path}; download {file}, or write pretrained: hub") from error
    except (KeyError, TypeError, OSError, DamagedFileError) as error:
        raise UserError(
            f"lpips: {path} is not torchvision's checkpoint of {name} ({type(error).__name__}); download {file}"
        ) from error
