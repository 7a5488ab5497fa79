"""What plugin authors import: the registries and the contracts behind them.

from engine.plugins import BACKBONES, HEADS, Backbone, Head
"""

from typing import Any

from backbones.contract import Backbone as Backbone
from data_tools.builders.inpainters.contract import Inpainter as Inpainter
from data_tools.builders.inpainters.contract import Painted as Painted
from data_tools.builders.inpainters.contract import Request as Request
from datamodules import ImageDataModule as ImageDataModule
from datamodules import ImageLoader as ImageLoader
from datamodules import ImageTable as ImageTable
from heads.contract import BackboneShape as BackboneShape
from heads.contract import Head as Head
from heads.contract import MapHead as MapHead
from heads.decoders.base import DecoderHead as DecoderHead
from heads.decoders.base import MapOptions as MapOptions
from heads.grid_head import GridHead as GridHead
from heads.inputs import HeadInput as HeadInput
from lightning_modules.image_module import ImageTask as ImageTask
from lightning_modules.losses.pairs import PairLoss as PairLoss
from lightning_modules.pair_module import PairModule as PairModule
from metrics import QualityMetric as QualityMetric
from metrics import TrainingFreeMetric as TrainingFreeMetric
from models.captioners import Captioner as Captioner
from models.dual_encoders import DualEncoder as DualEncoder
from models.segmenters import Segmentation as Segmentation
from models.segmenters import Segmenter as Segmenter
from models.text_encoders import TextEncoder as TextEncoder
from registry import BACKBONES as BACKBONES
from registry import CAPTIONERS as CAPTIONERS
from registry import DATAMODULES as DATAMODULES
from registry import DEGRADATIONS as DEGRADATIONS
from registry import DUAL_ENCODERS as DUAL_ENCODERS
from registry import HEADS as HEADS
from registry import INPAINTERS as INPAINTERS
from registry import LIGHTNING_MODULES as LIGHTNING_MODULES
from registry import LOSSES as LOSSES
from registry import METRICS as METRICS
from registry import QUALITY_METRICS as QUALITY_METRICS
from registry import SEGMENTERS as SEGMENTERS
from registry import TEXT_ENCODERS as TEXT_ENCODERS
from registry import UPSCALERS as UPSCALERS
from semfid.errors import UserError as UserError
from semfid.errors import deprecated

_OLD_NAMES = {
    "TrunkShape": "BackboneShape",
    "Tower": "DualEncoder",
    "TOWERS": "DUAL_ENCODERS",
    "TextEmbedder": "TextEncoder",
    "TEXT_EMBEDDERS": "TEXT_ENCODERS",
}


def __getattr__(name: str) -> Any:
    """Hand on a name of an earlier version."""
    if name in _OLD_NAMES:
        deprecated(f"{name} is now {_OLD_NAMES[name]}")
        return globals()[_OLD_NAMES[name]]
    raise AttributeError(f"module 'engine.plugins' has no attribute '{name}'")
