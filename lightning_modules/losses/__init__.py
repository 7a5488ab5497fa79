"""Losses of scores, of difference maps, and of images with captions."""

from __future__ import annotations

from lightning_modules.losses.info_nce import info_nce
from lightning_modules.losses.pairs import PairLoss, Target, build_loss, check_loss

__all__ = ["PairLoss", "Target", "build_loss", "check_loss", "info_nce"]
