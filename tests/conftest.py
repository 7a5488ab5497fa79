"""What several rooms' tests share: one thread, repeatable hypothesis, registries of their own, photos and pair tables on disk,
the real data."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

sys.path += [
    str(folder) for folder in sorted(Path(__file__).parent.rglob("*")) if folder.is_dir() and any(folder.glob("*.py"))
]

from registry import REGISTRIES

if TYPE_CHECKING:
    from scoring_support import Runs

    from semfid.scoring.scorer import Scorer

torch.set_num_threads(1)  # two cores, several engineers; and sums do not depend on the machine
# the same examples on every run: a red test is red for everybody
hypothesis.settings.register_profile("semfid", deadline=None, derandomize=True, database=None, max_examples=50)
# `make properties`: other examples at each call, many of them; a find is printed with what repeats it
hypothesis.settings.register_profile("random", deadline=None, derandomize=False, max_examples=500, print_blob=True)
hypothesis.settings.load_profile("semfid")


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Nothing waits for the disk: no test cuts the power, which is what fsync is for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Every test starts from the same random state, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_registries() -> Iterator[None]:
    """What a test registers is gone after it, whichever room's modules it was the first to import. A plugin's module is
    forgotten too, so that the next test that names the file gets what it registers."""
    yield
    for registry in REGISTRIES.values():
        for entry in registry.registered():
            outside, of_tests = _place(entry.location)
            if outside or of_tests:
                del registry._entries[entry.name]
            if outside:
                sys.modules.pop(entry.factory.__module__, None)


@functools.cache  # asked after every test, of every plugin
def _place(location: str) -> tuple[bool, bool]:
    """Whether what is registered at ``file:line`` stands outside of the clone, and whether in its tests."""
    root, file = Path(__file__).resolve().parent.parent, Path(location.rpartition(":")[0])
    return not file.is_relative_to(root), file.is_relative_to(root / "tests")


@pytest.fixture
def test_data() -> Callable[[str], Path]:
    """Path of a folder of the real test data; skips the test where SEMFID_TEST_DATA does not lead to it."""

    def find(folder: str) -> Path:
        root = os.environ.get("SEMFID_TEST_DATA")
        if not root:
            pytest.skip("SEMFID_TEST_DATA is not set: no real data to test against")
        path = Path(root) / folder
        if not path.exists():
            pytest.skip(f"SEMFID_TEST_DATA has no {folder}")
        return path

    return find


@pytest.fixture
def write_photo() -> Callable[..., Path]:
    """Write a small random photo; equal seeds give equal pixels."""

    def write(path: Path, seed: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = size
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def pair_folder(tmp_path: Path, write_photo: Callable[..., Path]) -> Callable[..., Path]:
    """Write `sources` photos, `each` candidates of each, and a pair table with votes; returns the table's path."""

    def make(sources: int = 6, each: int = 2, folder: str = "set", **columns: list[object]) -> Path:
        root, rows, rng = tmp_path / folder, [], np.random.default_rng(3)
        for source in range(sources):
            write_photo(root / "photos" / f"s{source}.png", source)
            for number in range(each):
                write_photo(root / "candidates" / f"m{number}_s{source}.png", 1000 + 10 * source + number)
                votes = int(rng.integers(5, 30))
                yes = int(rng.integers(0, votes + 1))
                rows.append(
                    {
                        "pair_id": f"p{source}_{number}",
                        "source_id": f"s{source}",
                        "reference": f"photos/s{source}.png",
                        "candidate": f"candidates/m{number}_s{source}.png",
                        "origin": f"m{number}",
                        "yes_votes": yes,
                        "votes": votes,
                    }
                )
        pd.DataFrame(rows).assign(**columns).to_csv(root / "pairs.csv", index=False)
        return root / "pairs.csv"

    return make


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Finished runs, made at the first look. Training is imported here: most files need none of it."""
    from scoring_support import Runs

    return Runs(tmp_path_factory.mktemp("scored"))


@pytest.fixture(scope="session")
def exported(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run `linear` as a torch.export file."""
    from semfid.cli import main

    target = tmp_path_factory.mktemp("exported") / "scorer.pt2"
    assert main(["export", str(runs["linear"]), "--out", str(target)]) == 0
    return target


@pytest.fixture(scope="session")
def exported_scorer(exported: Path) -> Scorer:
    """The same, loaded; tests leave it as it is."""
    from semfid.scoring.load import load_scorer

    return load_scorer(exported)


@pytest.fixture(scope="session")
def linear_scorer(runs: Runs) -> Scorer:
    """The run `linear`, loaded; tests leave it as it is."""
    from semfid.scoring.load import load_scorer

    return load_scorer(runs["linear"])
