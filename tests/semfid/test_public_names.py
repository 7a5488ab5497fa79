"""Public modules say what they offer, and offer it."""

from __future__ import annotations

import importlib

import pytest

PUBLIC = (
    *(
        "semfid",
        "semfid.io",
        "semfid.scoring",
        "semfid.stats",
        "registry",
        "heads",
        "backbones",
        "datamodules",
        "metrics",
    ),
    *(f"models.{room}" for room in ("captioners", "concepts", "dual_encoders", "segmenters", "text_encoders")),
)


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_offered_is_there(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert names and len(names) == len(set(names))
    space: dict[str, object] = {}
    exec(f"from {module} import *", space)
    assert set(names) <= set(space)
