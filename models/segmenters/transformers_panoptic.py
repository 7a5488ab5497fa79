"""Panoptic segmentation by any model that transformers' universal segmentation classes load."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.catalogue.ids import MASK2FORMER, ONEFORMER
from models.hub import check_positive, device_of, obtaining, pin
from models.segmenters.contract import Segmentation, Segmenter
from models.segmenters.panoptic_classes import BY_CLASSES
from registry import SEGMENTERS
from semfid.keywords import Fixed


@SEGMENTERS.register(
    "transformers_panoptic",
    summary="any panoptic model of transformers: MaskFormer, Mask2Former, OneFormer, EoMT, ...",
    source="huggingface.co/docs/transformers, AutoModelForUniversalSegmentation",
)
class TransformersPanoptic(Segmenter):
    """A universal segmentation model and its panoptic post-processing, in float32.

    Args:
        model: id on the hub, or a local folder.
        revision: branch, tag or commit of the hub; None: the newest.
        threshold: least probability of a segment's class.
        mask_threshold: least probability of a segment's pixel.
        overlap_threshold: share of a segment's mask that must remain once stronger segments have taken theirs.
        stuff: class numbers of stuff; None: those in the model's files, or the lists of ADE20K-150 and COCO by the
            number of classes.
        batch_size: images of one size at a time.
        device: auto, cpu, cuda, cuda:1, ...
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_threshold: float = 0.8,
        stuff: list[int] | None = None,
        batch_size: int = 4,
        device: str = "auto",
        *,
        name: Fixed[str] = "transformers_panoptic",
        model_type: Fixed[str | None] = None,
    ) -> None:
        self._what = f"segmenter: {name}"
        check_positive(self._what, batch_size=batch_size)
        self.batch_size = batch_size
        self._source = pin(self._what, model, revision, model_type=model_type, otherwise="transformers_panoptic")
        self._device = device_of(self._what, device)
        self._stuff = stuff
        self._thresholds = {
            "threshold": threshold,
            "mask_threshold": mask_threshold,
            "overlap_mask_area_threshold": overlap_threshold,
        }
        settings = f"{threshold:g}-{mask_threshold:g}-{overlap_threshold:g}-stuff:{stuff}"
        self.identity = f"{name}-1-{self._source.identity}-{settings}"
        self._loaded: tuple[Any, Any] | None = None

    def release(self) -> None:
        self._loaded = None

    def _segment(self, images: Sequence[Image.Image]) -> list[Segmentation]:
        import torch

        model, processor = self._load()
        words = {"task_inputs": ["panoptic"] * len(images)} if self._is_oneformer else {}
        inputs = processor(images=list(images), return_tensors="pt", **words).to(self._device)
        with torch.inference_mode():
            outputs = model(**inputs)
        return self.segments(outputs, [(image.height, image.width) for image in images])

    def segments(self, outputs: Any, sizes: Sequence[tuple[int, int]]) -> list[Segmentation]:
        """The model's outputs as segmentations of images of these (height, width)."""
        _, processor = self._load()
        inner = getattr(processor, "image_processor", processor)
        # not fused there: a segment after a fused one can get the number of another (transformers 5.23, `compute_segments`)
        process = inner.post_process_panoptic_segmentation
        fuses = "label_ids_to_fuse" in inspect.signature(process).parameters
        found = process(
            outputs, target_sizes=list(sizes), **({"label_ids_to_fuse": set()} if fuses else {}), **self._thresholds
        )
        shift = 0 if fuses else 1  # EoMT counts from 0 and marks void by -1
        stuff = set(self._stuff_ids(inner))
        names = self._source.config.id2label
        segmentations = []
        for one in found:
            ids = one["segmentation"].cpu().numpy().astype(np.int32) + shift  # (H, W)
            ids = np.maximum(ids, 0)  # where nothing was found, all is -1
            labels: dict[int, str] = {}
            scores: dict[int, float] = {}
            first: dict[int, int] = {}  # of each class of stuff, its segment
            for segment in one["segments_info"]:
                number, kind = int(segment["id"]) + shift, int(segment["label_id"])
                if kind in stuff and first.setdefault(kind, number) != number:
                    ids[ids == number] = first[kind]
                    number = first[kind]
                labels[number] = str(names.get(kind, kind))
                scores[number] = max(float(segment["score"]), scores.get(number, 0.0))
            segmentations.append(Segmentation(ids, labels, scores))
        return segmentations

    @property
    def _is_oneformer(self) -> bool:
        return self._source.config.model_type == "oneformer"

    def _stuff_ids(self, processor: Any) -> Sequence[int]:
        if self._stuff is not None:
            return self._stuff
        classes = len(self._source.config.id2label)
        things = (getattr(processor, "metadata", None) or {}).get("thing_ids")
        if things is not None:
            return sorted(set(range(classes)) - set(things))
        return BY_CLASSES.get(classes, ())

    def _load(self) -> tuple[Any, Any]:
        """Model and processor, loaded once."""
        if self._loaded is None:
            source = self._source
            with obtaining(self._what, source.model):
                from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation, AutoProcessor

                model = AutoModelForUniversalSegmentation.from_pretrained(source.model, revision=source.revision)
                loader = AutoProcessor if self._is_oneformer else AutoImageProcessor
                # OneFormer's class names lie in a data set of the hub, unless the folder brings them
                local = {"repo_path": source.model} if self._is_oneformer and Path(source.model).is_dir() else {}
                processor = loader.from_pretrained(source.model, revision=source.revision, **local)
            self._loaded = model.float().eval().to(self._device), processor
        return self._loaded


SEGMENTERS.preset(  # the segmenter of the published pipeline; stuff from the model's class file
    "oneformer",
    of="transformers_panoptic",
    summary="OneFormer Swin-L on ADE20K, task panoptic (downloads 0.9 GB)",
    source="Jain et al. 2023, arXiv 2211.06220",
    defaults={"model": ONEFORMER},
    name="oneformer",
    model_type="oneformer",
)
SEGMENTERS.preset(  # stuff by the number of classes (ADE20K-150, COCO)
    "mask2former",
    of="transformers_panoptic",
    summary="Mask2Former Swin-L, ADE20K panoptic; or coco-panoptic through model (downloads 0.9 GB)",
    source="Cheng et al. 2022, arXiv 2112.01527",
    defaults={"model": MASK2FORMER},
    name="mask2former",
    model_type="mask2former",
)
