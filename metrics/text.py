"""What is written: the reference's words against what is read at their places in the candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics import TrainingFreeMetric, zero_where_equal
from metrics.memo import pictures
from registry import METRICS
from semfid.errors import UserError
from semfid.scoring.text.models import missing

LEAST_SIDE = 32  # of the detection network


@METRICS.register(
    "text_difference",
    summary="share of the reference's readable text that OCR reads otherwise in the candidate, with its map",
    source="PP-OCRv4 by rapidocr-onnxruntime; DBNet, arXiv 1911.08947",
)
class TextDifference(TrainingFreeMetric):
    """Words lost and changed, weighted by their characters and by how surely those are read; 0 where there is nothing to read.

    Text that cannot be read in the reference does not count, nor do words that only the candidate has. The map has each word's
    difference in its box. Images should come whole (``data.resize: none``, or an `image_size` near their own): small text that
    was reduced cannot be read.

    Args:
        models: folder of a detection and a recognition network under PP-OCRv4's file names; null: those that
            rapidocr-onnxruntime brings (``pip install 'semfid[text]'``).
        side: pixels that the shorter side of smaller images is brought to, where text is looked for.

    Raises:
        UserError: the networks are not there.
    """

    symmetric = False
    gives_maps = True
    coarse = True

    def __init__(self, models: str | None = None, side: int = 1024) -> None:
        super().__init__()
        why = missing()
        if why:
            raise UserError(f"text_difference: {why}")
        if side < LEAST_SIDE:
            raise UserError(f"text_difference needs side of at least {LEAST_SIDE}, not {side}")
        from semfid.scoring.text.compare import TextComparer  # scipy and onnxruntime are of the extra
        from semfid.scoring.text.reading import Reader

        try:
            reader = Reader(None if models is None else Path(models), side)
        except UserError as error:
            raise UserError(f"text_difference: {error}") from error
        self.comparer, self.identity = TextComparer(reader), reader.identity

    def forward(self, reference: Tensor, candidate: Tensor) -> Tensor:
        found = [change.difference for change in self.changes(reference, candidate)]
        return zero_where_equal(torch.tensor(found, device=reference.device), reference, candidate)

    def maps(self, reference: Tensor, candidate: Tensor) -> Tensor:
        found = [torch.from_numpy(change.map()) for change in self.changes(reference, candidate)]
        return zero_where_equal(torch.stack(found).unsqueeze(1).to(reference.device), reference, candidate)

    def changes(self, reference: Tensor, candidate: Tensor) -> list[Any]:
        """The words of each pair, `semfid.scoring.text.compare.TextChange`."""
        pairs = zip(pictures(reference), pictures(candidate), strict=True)
        return [self.comparer(x, y, gained=False) for x, y in pairs]
