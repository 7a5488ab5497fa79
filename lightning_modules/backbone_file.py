"""A trained backbone as a file that ``pretrained:`` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save

from backbones import Backbone
from semfid.io.files import write_whole

TRUNK_FILE = "trunk.safetensors"


def write_backbone(backbone: Backbone, folder: Path, method: str, figures: Mapping[str, float]) -> Path:
    """Write the network alone (no classifier, no projection), float32, with what made it in the file's metadata.

    Args:
        method: name of the module that trained it.
        figures: on held-out images.
    """
    state = {}
    for name, value in backbone.net.state_dict().items():
        plain = value.detach().cpu()
        state[name] = (plain.float() if plain.is_floating_point() else plain).contiguous()
    facts = {
        "arch": backbone.identity.rpartition("-")[0],
        "trained_by": "semfid",
        "method": method,
        "figures": json.dumps({name: round(value, 6) for name, value in figures.items()}),
        "torch": torch.__version__,
    }
    write_whole(folder / TRUNK_FILE, _same_bytes(save(state, metadata=facts)))
    return folder / TRUNK_FILE


def _same_bytes(content: bytes) -> bytes:
    """Equal weights and facts as equal bytes: safetensors writes its metadata in an order that changes from call to call."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    ordered = {"__metadata__": dict(sorted(header.pop("__metadata__").items())), **header}
    text = json.dumps(ordered, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
