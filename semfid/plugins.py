"""What plugin authors import: the registries and the contracts behind them.

from semfid.plugins import BACKBONES, HEADS, Backbone, Head
"""

from backbones.contract import Backbone as Backbone
from captioners import Captioner as Captioner
from datamodules import ImageDataModule as ImageDataModule
from datamodules import ImageLoader as ImageLoader
from datamodules import ImageTable as ImageTable
from dataset_builders.inpainter import Inpainter as Inpainter
from dataset_builders.inpainter import Painted as Painted
from dataset_builders.inpainter import Request as Request
from heads.contract import Head as Head
from heads.contract import MapHead as MapHead
from heads.contract import TrunkShape as TrunkShape
from heads.decoder import DecoderHead as DecoderHead
from heads.grid_head import GridHead as GridHead
from lightning_modules.losses import PairLoss as PairLoss
from lightning_modules.pair_module import PairModule as PairModule
from lightning_modules.task import ImageTask as ImageTask
from metrics import QualityMetric as QualityMetric
from metrics import TrainingFreeMetric as TrainingFreeMetric
from pseudo_labels import Segmentation as Segmentation
from pseudo_labels import Segmenter as Segmenter
from registry import BACKBONES as BACKBONES
from registry import CAPTIONERS as CAPTIONERS
from registry import DATAMODULES as DATAMODULES
from registry import DEGRADATIONS as DEGRADATIONS
from registry import HEADS as HEADS
from registry import INPAINTERS as INPAINTERS
from registry import LIGHTNING_MODULES as LIGHTNING_MODULES
from registry import LOSSES as LOSSES
from registry import METRICS as METRICS
from registry import QUALITY_METRICS as QUALITY_METRICS
from registry import SEGMENTERS as SEGMENTERS
from registry import TEXT_EMBEDDERS as TEXT_EMBEDDERS
from registry import TOWERS as TOWERS
from registry import UPSCALERS as UPSCALERS
from registry import UserError as UserError
from text_embedders import TextEmbedder as TextEmbedder
from towers import Tower as Tower
