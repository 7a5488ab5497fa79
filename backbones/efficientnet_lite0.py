"""EfficientNet-Lite0 with the ImageNet weights that the package holds for its default metric: learned features, no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from backbones.contract import TuningOptions
from backbones.timm import TimmBackbone, create_net
from backbones.weights import load_weights
from registry import BACKBONES
from semfid.scoring.default_metric import packaged_backbone

MODEL = "tf_efficientnet_lite0"
WITHOUT = ("conv_head.", "bn2.", "classifier.")  # layers behind the last stage, which the package does not hold


@BACKBONES.register(
    "efficientnet_lite0",
    summary="EfficientNet-Lite0, ImageNet weights of the package: no download",
    source="arXiv 1905.11946; timm tf_efficientnet_lite0",
    shared=TuningOptions,
)
class EfficientNetLite0Backbone(TimmBackbone):
    """Stages of 16, 24, 40, 112 and 320 channels at strides 2 to 32; the embedding is the mean of the last stage.

    Weights are those of timm's ``tf_efficientnet_lite0.in1k`` in half precision, computed with in float32.

    Args:
        pretrained: ``package``, ``none`` (random weights of `init_seed`), or the path of a weights file.

    Raises:
        UserError: the file is missing, damaged or of another architecture.

    Example:
        >>> import torch
        >>> backbone = EfficientNetLite0Backbone(options=TuningOptions())
        >>> [tuple(stage.shape[1:]) for stage in backbone.features(torch.zeros(1, 3, 64, 64))]
        [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    """

    def __init__(self, pretrained: str = "package", *, options: TuningOptions) -> None:
        super().__init__(MODEL, pretrained, options=options)

    @classmethod
    def _net(cls, model: str, pretrained: str, init_seed: int) -> Any:
        net = create_net(model, "none", init_seed)
        net.head_hidden_size = net.num_features = net.conv_head.in_channels  # 320
        net.conv_head, net.bn2 = nn.Identity(), nn.Identity()
        if pretrained == "package":
            # the package leaves out what only counts batches
            net.load_state_dict(
                {**net.state_dict(), **{key: value.float() for key, value in packaged_backbone().items()}}
            )
        elif pretrained != "none":
            load_weights(net, Path(pretrained), head_prefixes=WITHOUT)
        return net
