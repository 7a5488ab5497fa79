"""LightningDataModules of image pairs, and of single images."""

from __future__ import annotations

from datamodules.base import PairDataModule
from datamodules.batches import to_float
from datamodules.image_base import ImageDataModule, ImageLoader, ImageTable
from datamodules.splits import Part

__all__ = ["ImageDataModule", "ImageLoader", "ImageTable", "PairDataModule", "Part", "to_float"]
