"""The loss of CLIP, with equal captions left out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(image: Tensor, text: Tensor, scale: Tensor, key: Tensor, counted: Tensor, own: slice) -> Tensor:
    """Symmetric cross-entropy of matching images and sentences (arXiv 2103.00020), SUMMED over the rows `own`.

    Each image must find its sentence among all, and each sentence its image. A row with the same sentence is no negative.

    Args:
        image: (N, D) unit length.
        text: (N, D) unit length.
        scale: scalar, one over the temperature.
        key: (N,) int64, equal where sentences are equal.
        counted: (N,) bool; other rows are no negatives and add nothing.
        own: the rows to sum over.
    """
    mine = torch.arange(len(key), device=key.device)[own]  # (n,)
    out = (key[own][:, None] == key[None, :]) | ~counted[None, :]  # (n, N)
    out[torch.arange(len(mine), device=key.device), mine] = False  # its own partner stays
    total = image.new_zeros(())
    for query, among in ((image, text), (text, image)):
        logits = (scale * query[own] @ among.T).masked_fill(out, float("-inf"))  # (n, N)
        total = total + (F.cross_entropy(logits, mine, reduction="none") * counted[own]).sum()
    return total / 2
