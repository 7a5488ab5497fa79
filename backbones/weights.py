"""Backbone weights from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from backbones.contract import current_key
from semfid.errors import UserError
from semfid.io.system_faults import remedy, said
from semfid.io.torch_files import DamagedFileError, load_whole

RUN_PREFIX = "backbone.net."  # LightningModule.backbone is the Backbone, Backbone.net the network
ENTRIES = ("state_dict", "model")  # under which training scripts keep a state dict beside the optimizer's
COMPILED = "_orig_mod."  # torch.compile's, wherever a module of the network was compiled
WRAPPED = "module."  # of DataParallel, DistributedDataParallel and AveragedModel, around the whole network


def load_weights(net: nn.Module, path: str | Path, head_prefixes: tuple[str, ...]) -> None:
    """Load a ``.safetensors`` or ``.pt`` / ``.pth`` / ``.ckpt`` state dict into a backbone; half precision becomes float32.

    A run's ``part-<i>.ckpt`` (tuning: full) serves as it is: its backbone is taken. What torch.compile, DataParallel,
    DistributedDataParallel and AveragedModel put before each key is taken off.

    Args:
        head_prefixes: the classifier's keys, which may be missing or of another size on either side.

    Raises:
        UserError: no such file, not a state dict, or keys and shapes that are not this architecture's.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"pretrained: no file {path}; write hub, none, or the path of a weights file")
    state = _read(path)
    own = net.state_dict()
    body = {key: value for key, value in state.items() if not key.startswith(head_prefixes)}
    missing = [key for key in own if key not in body and not key.startswith(head_prefixes)]
    extra = [key for key in body if key not in own]
    misfit = [key for key in body if key in own and body[key].shape != own[key].shape]
    for fault, keys in (("lacks", missing), ("has unknown", extra), ("has another shape for", misfit)):
        if keys:
            raise UserError(f"pretrained: {path} {fault} {keys[0]} ({len(keys)} keys); it is of another architecture")
    head = {k: v for k, v in state.items() if k.startswith(head_prefixes) and k in own and v.shape == own[k].shape}
    net.load_state_dict({**own, **body, **head})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = load_file(path) if path.suffix == ".safetensors" else load_whole(path)
    except SafetensorError as error:
        raise UserError(f"pretrained: {path} is not a safetensors file: {error}") from error
    except OSError as error:
        raise UserError(f"pretrained: cannot read {said(error)}; {remedy(error, 'give another path')}") from error
    except DamagedFileError as error:
        raise UserError(
            f"pretrained: {path} holds more than tensors, or is damaged ({error}); copy it again, or save a plain state dict"
        ) from error
    for entry in ENTRIES:
        if isinstance(state, dict) and isinstance(state.get(entry), dict):
            state = state[entry]
    state = without_wrappers(state) if isinstance(state, dict) else state
    if isinstance(state, dict):
        state = {current_key(key): value for key, value in state.items()}
    if isinstance(state, dict) and any(str(key).startswith(RUN_PREFIX) for key in state):
        state = {key.removeprefix(RUN_PREFIX): value for key, value in state.items() if key.startswith(RUN_PREFIX)}
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"pretrained: {path} is not a state dict (names to tensors)")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def without_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict without what wrappers of the whole network put before its keys, in whichever order they were applied."""
    state = {str(key).replace(COMPILED, ""): value for key, value in state.items()}
    averaged = {key: value for key, value in state.items() if key != "n_averaged"}  # AveragedModel's own count
    while averaged and all(key.startswith(WRAPPED) for key in averaged):
        state = averaged = {key.removeprefix(WRAPPED): value for key, value in averaged.items()}
    return state
