"""LightningDataModules of image pairs."""

from __future__ import annotations

from datamodules.base import PairDataModule as PairDataModule
from datamodules.base import to_float as to_float
from datamodules.splits import Part as Part
