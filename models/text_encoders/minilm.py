"""all-MiniLM-L6-v2, and any other model of sentence-transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.catalogue.ids import MINILM
from models.catalogue.lock import pinned_revision
from models.hub import check_positive, obtaining
from models.text_encoders.contract import TextEncoder
from registry import TEXT_ENCODERS


@TEXT_ENCODERS.register(
    "minilm",
    summary="all-MiniLM-L6-v2, 384 dimensions (downloads 90 MB)",
    source="huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
)
class MiniLm(TextEncoder):
    """A sentence-transformers model on the CPU, in float32.

    Args:
        model: id on the hub, or a local folder.
        batch_size: sentences at a time; changes vectors by no more than rounding.
    """

    def __init__(self, model: str = MINILM, batch_size: int = 64) -> None:
        check_positive("text encoder: minilm", batch_size=batch_size)
        with obtaining("text encoder: minilm", model, instead="hashed_words"):
            from sentence_transformers import SentenceTransformer  # seconds to import

            revision = None if Path(model).is_dir() else pinned_revision(model)
            self._model = SentenceTransformer(model, device="cpu", revision=revision).float().eval()
        self.batch_size = batch_size
        digest = hashlib.sha256()
        for name, value in sorted(self._model.state_dict().items()):
            digest.update(name.encode() + value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        self.identity = f"minilm-{digest.hexdigest()[:16]}"
        self.dim = int(self._model.get_embedding_dimension() or 0)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.floating]:
        found = self._model.encode(
            list(texts), batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(found, dtype=np.float32)
