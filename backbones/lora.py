"""Low-rank adapters on every plain linear and convolution layer of a backbone (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from semfid.errors import UserError


def attach_lora(net: nn.Module, rank: int) -> None:
    """Insert adapters in place; only they keep ``requires_grad``.

    Left alone: grouped convolutions (a low-rank update of one would mix its groups), and the output projection of
    `nn.MultiheadAttention`, whose weight is used without calling the layer.

    Raises:
        UserError: rank < 1, or a backbone without such a layer.
    """
    from peft import LoraConfig, inject_adapter_in_model  # heavy; only where LoRA is asked for

    if rank < 1:
        raise UserError(f"backbone: lora_rank is {rank}; it must be at least 1")
    targets = [
        name
        for name, module in net.named_modules()
        if (isinstance(module, nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear))
        or (isinstance(module, nn.Conv2d) and module.groups == 1)
    ]
    if not targets:
        raise UserError("backbone: tuning 'lora' finds no linear or convolution layer in this backbone; use 'full'")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), net)
