"""LightningDataModules of image pairs, and of single images."""

from __future__ import annotations

from datamodules.base import PairDataModule as PairDataModule
from datamodules.base import to_float as to_float
from datamodules.image_base import ImageDataModule as ImageDataModule
from datamodules.image_base import ImageLoader as ImageLoader
from datamodules.image_base import ImageTable as ImageTable
from datamodules.splits import Part as Part
