"""What plugin authors import: the registries and the contracts behind them.

from semfid.plugins import BACKBONES, HEADS, Backbone, Head
"""

from backbones.contract import Backbone as Backbone
from heads.contract import Head as Head
from heads.contract import MapHead as MapHead
from heads.contract import TrunkShape as TrunkShape
from lightning_modules.losses import PairLoss as PairLoss
from metrics import TrainingFreeMetric as TrainingFreeMetric
from registry import BACKBONES as BACKBONES
from registry import DATAMODULES as DATAMODULES
from registry import HEADS as HEADS
from registry import LIGHTNING_MODULES as LIGHTNING_MODULES
from registry import LOSSES as LOSSES
from registry import METRICS as METRICS
from registry import UserError as UserError
