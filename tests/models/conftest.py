"""What the tests of pretrained models share."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Where a tiny model lies, by name; saved once a test file, by the function that its `MODELS` names."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def get(name: str) -> str:
        save = request.module.MODELS[name]
        if save not in made:
            made[save] = str(save(root / save.__name__))
        return made[save]

    return get
