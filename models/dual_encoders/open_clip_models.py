"""Which open_clip model a name and a weights tag mean, and its making."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.catalogue.lock import pinned_revision
from models.hub import first_line
from semfid.errors import UserError, did_you_mean

_FRAMING = ("mean", "std", "interpolation", "resize_mode")
_LOADING = (OSError, RuntimeError, ValueError, KeyError, AttributeError, EOFError, pickle.UnpicklingError)


def weights_of(what: str, model: str, pretrained: str) -> tuple[str | None, Path | None]:
    """The tag, or the path, that `pretrained` names; neither for ``none``.

    Raises:
        UserError: open_clip has no such model, or the model no such weights.
    """
    import open_clip  # slow to import

    if model not in open_clip.list_models():
        raise UserError(f"{what}: open_clip has no model '{model}'{did_you_mean(model, open_clip.list_models())}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained == "none":
        return None, None
    if pretrained in tags:
        return pretrained, None
    path = Path(pretrained)
    if not path.exists():
        raise UserError(
            f"{what}: open_clip's {model} has no weights '{pretrained}' and there is no such file"
            f"{did_you_mean(pretrained, tags)} (tags: {', '.join(tags) or 'none'}; or none, or a path)"
        )
    return None, path


def create(what: str, model: str, weights: str | Path | None, init_seed: int, instead: str) -> Any:
    """The CLIP model on the CPU in float32.

    A tag that was trained with QuickGELU gets it: open_clip itself only warns, and computes other vectors.

    Args:
        weights: a tag, the path of a checkpoint of the whole model, or None: random ones drawn from `init_seed`.
        instead: what to give in place of a tag that cannot be obtained, for the message.

    Raises:
        UserError: the weights cannot be had, or are another model's.
    """
    import open_clip

    tagged = open_clip.get_pretrained_cfg(model, weights) if isinstance(weights, str) else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)
        try:
            pinned = _pinned(tagged)
            # a path of weights says nothing of how pictures are prepared
            framing = (
                {"force_preprocess_cfg": {key: tagged[key] for key in _FRAMING if key in tagged}} if pinned else {}
            )
            return open_clip.create_model(
                model,
                pretrained=None if weights is None else pinned or str(weights),
                force_quick_gelu=bool(tagged.get("quick_gelu")),
                **framing,
            )
        except (*_LOADING, AssertionError) as error:  # open_clip asserts that position embeddings fit
            if weights is None:
                raise
            reason = f"{type(error).__name__}: {first_line(error)}"
            if isinstance(weights, Path):
                raise UserError(
                    f"{what}: {weights} does not fit {model} ({reason}); give the model that it was saved from"
                ) from error
            raise UserError(
                f"{what}: cannot get open_clip's {model} '{weights}' from the hub ({reason}); connect, fill HF_HUB_CACHE, "
                f"or give {instead}"
            ) from error


def _pinned(tagged: Mapping[str, Any]) -> str | None:
    """Path of a tag's weights at the revision that is pinned or recorded; None where none is: open_clip takes the newest."""
    from open_clip.pretrained import download_pretrained_from_hf

    repository, _, file = str(tagged.get("hf_hub") or "").rpartition("/")  # ``owner/name/``, or with a file behind it
    revision = pinned_revision(repository) if repository else None
    return str(download_pretrained_from_hf(repository, file or None, revision)) if revision is not None else None
