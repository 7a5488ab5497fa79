"""How far an output is from its photo, and how good it looks on its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from registry import UserError
from semfid.runtime.errors import ScoringError

if TYPE_CHECKING:  # imported where it is used: a build without LPIPS does not wait for it
    import torch

Bytes = NDArray[np.uint8]
Quality = Callable[[Bytes], float]
Floats = NDArray[np.float32]
LPIPS_NETS = {"alex": "alexnet", "vgg": "vgg16"}
BLOCK = 32  # pixels: JPEG's 8, four times larger


def ssim(x: Bytes, y: Bytes) -> float:
    """SSIM of two (H, W, 3) images, the mean over channels and pixels.

    Gaussian windows of 11 pixels, sigma 1.5 (Wang et al. 2004), mirrored at the edges: torchmetrics' figure, some ten times
    sooner. (Other programs leave the edges out, and differ in the second decimal on small images.)

    Raises:
        ValueError: a side below 11.
    """
    if min(x.shape[:2]) < 11 or x.shape != y.shape:
        raise ValueError(f"SSIM needs two images of one size, 11 pixels a side or more, not {x.shape} and {y.shape}")
    a, b = x / np.float32(255), y / np.float32(255)
    mean_a, mean_b = _window(a), _window(b)
    var_a, var_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    both = _window(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(values.mean(dtype=np.float64))


def _window(image: NDArray[np.floating]) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), dtype=np.float32)


class Lpips:
    """LPIPS through torchmetrics.

    Args:
        net: ``alex`` or ``vgg``.
        weights: torchvision's ImageNet checkpoint of that net on disk; None: torchvision's own cache or download. The linear
            layers come with torchmetrics.

    Raises:
        UserError: no such file, or no weights can be had.
    """

    def __init__(self, net: Literal["alex", "vgg"], weights: str | None, device: str) -> None:
        from torchmetrics.functional.image.lpips import _LPIPS

        self.device = device
        if weights is None:
            try:
                self._model: Any = _LPIPS(pretrained=True, net=net)
            except (OSError, RuntimeError) as error:  # no network, a broken download
                raise UserError(
                    f"scores.lpips: no weights of {LPIPS_NETS[net]} ({type(error).__name__}); give scores.lpips_weights, or set "
                    "scores.lpips: null"
                ) from error
        else:
            self._model = _LPIPS(pretrained=True, net=net, pnet_rand=True)
            self._model.net.load_state_dict(_slices(self._model.net, Path(weights)))
        self._model.to(device).eval()

    def __call__(self, x: Bytes, y: Bytes) -> float:
        """Of two (H, W, 3) images of one size; 0 for the same image."""
        import torch

        with torch.inference_mode():
            return float(self._model(self._planes(x), self._planes(y), normalize=True))

    def _planes(self, image: Bytes) -> torch.Tensor:
        import torch

        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]  # (1, 3, H, W)
        return planes.to(self.device, torch.float32) / 255


def _slices(net: torch.nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """torchvision's ``features.<i>.*`` under the slices' names, which keep the number of the layer."""
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: state[f"features.{name.split('.', 1)[1]}"] for name in net.state_dict()}
    except FileNotFoundError as error:
        raise UserError(f"scores.lpips_weights: no file {path}") from error
    except (KeyError, TypeError, RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"scores.lpips_weights: {path} is not torchvision's checkpoint of that net ({type(error).__name__}); download "
            "alexnet-owt-7be5be79.pth (alex) or vgg16-397923af.pth (vgg)"
        ) from error


def clearness(image: Bytes) -> float:
    """A plain no-reference quality in [0, 1]: sharpness less visible blocks. It knows nothing of what is shown, and noise
    counts as sharpness; a learned metric is better (see `quality_of`).
    """
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return sharpness(luma) / (1.0 + blockiness(luma))


def sharpness(luma: Floats) -> float:
    """1 - the blur effect after Crete et al. 2007: how much of the differences between neighbours a further blur takes away.

    Args:
        luma: (H, W), 0 .. 255.
    """
    worst = 1.0
    for size in ((1, 11), (11, 1)):  # width, height of a mean filter: across, then down
        soft = np.asarray(cv2.blur(luma, size, borderType=cv2.BORDER_REFLECT), dtype=np.float32)
        axis = 0 if size == (1, 11) else 1
        before, after = np.abs(np.diff(luma, axis=axis)), np.abs(np.diff(soft, axis=axis))
        lost = float(np.maximum(0.0, before - after).sum(dtype=np.float64))
        all_of_it = float(before.sum(dtype=np.float64))
        worst = min(worst, lost / all_of_it if all_of_it > 0 else 0.0)
    return worst


def blockiness(luma: Floats, block: int = BLOCK) -> float:
    """How much larger differences of neighbours are at the borders of blocks than elsewhere: 0 not at all, 1 twice as large."""
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis, dtype=np.float64)  # one mean per line
        at = np.arange(1, len(steps) + 1) % block == 0
        if at.any() and (~at).any() and steps[~at].mean() > 0:
            found.append(max(0.0, float(steps[at].mean() / steps[~at].mean()) - 1.0))
    return float(np.mean(found)) if found else 0.0


def quality_of(name: str | None) -> Quality | None:
    """The no-reference measure of a setting: ``clearness``, or ``module:function`` of your own.

    The function takes (H, W, 3) uint8 RGB and returns a number, larger for better. That is the place for KonIQ++, TOPIQ or
    MUSIQ with weights of your own.

    Raises:
        UserError: no such module or function.
    """
    if name is None or name == "clearness":
        return None if name is None else clearness
    module, colon, function = name.partition(":")
    if not colon:
        raise UserError(f"scores.quality: '{name}' is neither clearness nor module:function; set null for none")
    try:
        found: Quality = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ScoringError) as error:
        raise UserError(
            f"scores.quality: no {name} ({error}); check the name and that the module can be imported"
        ) from error
    return found
