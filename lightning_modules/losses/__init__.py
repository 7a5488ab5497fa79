"""Losses of scores, of difference maps, and of images with captions."""

from __future__ import annotations

from lightning_modules.losses.info_nce import info_nce as info_nce
from lightning_modules.losses.pairs import PairLoss as PairLoss
from lightning_modules.losses.pairs import Target as Target
from lightning_modules.losses.pairs import build_loss as build_loss
from lightning_modules.losses.pairs import check_loss as check_loss
