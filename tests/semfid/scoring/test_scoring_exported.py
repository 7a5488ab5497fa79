"""A scorer out of a file: the run's scores, maps and gradients, copies of it, and files that are not one."""

from __future__ import annotations

import copy
import json
import pickle
import random
import re
import zipfile
from pathlib import Path

import pytest
import torch
from scoring_support import Runs, regressor

from semfid.errors import UserError
from semfid.scoring.exported import load_exported
from semfid.scoring.scorer import Scorer, check_images, check_pair

SHAPES = [(1, 64, 64), (2, 64, 96), (3, 65, 99), (1, 33, 47), (5, 32, 32), (2, 101, 64)]


def images(count: int, height: int = 64, width: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_it_scores_as_the_run_at_every_size(runs: Runs, exported_scorer: Scorer, linear_scorer: Scorer) -> None:
    module = regressor(runs, "linear")
    for number, (count, height, width) in enumerate(SHAPES):
        x, y = images(count, height, width, number), images(count, height, width, 100 + number)
        with torch.no_grad():
            expected = module(x, y)
            described = exported_scorer.describe(x), exported_scorer.describe(y)
            torch.testing.assert_close(exported_scorer(x, y), expected, atol=1e-5, rtol=0)
            torch.testing.assert_close(exported_scorer.compare(*described), expected, atol=1e-5, rtol=0)
            for own, other in zip(described[1], linear_scorer.describe(y), strict=True):
                torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-4)
            maps = linear_scorer.maps(linear_scorer.describe(x), linear_scorer.describe(y))
            torch.testing.assert_close(exported_scorer.maps(*described), maps, atol=1e-5, rtol=1e-4)
            score, grown = exported_scorer.score_and_map(x, y)
        assert torch.equal(score, exported_scorer(x, y)) and grown is not None
        assert grown.shape == (count, 1, height, width)
        assert (exported_scorer(x, x) == 0).all()
    assert exported_scorer.facts == linear_scorer.facts
    assert not exported_scorer.training and not any(p.requires_grad for p in exported_scorer.parameters())


def test_gradients_are_those_of_the_run(runs: Runs, exported_scorer: Scorer) -> None:
    module = regressor(runs, "linear")
    x, y = images(2, 65, 80), images(2, 65, 80, 1)
    gradients = []
    for score in (module, exported_scorer):
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        gradients.append(torch.autograd.grad(score(a, b).sum(), (a, b)))
    for own, other in zip(*gradients, strict=True):
        assert own.abs().max() > 1e-4
        torch.testing.assert_close(own, other, atol=1e-6, rtol=1e-4)


def test_copies_and_pickles_score_the_same(exported_scorer: Scorer) -> None:
    scorer = exported_scorer
    x, y = images(2, 40, 56), images(2, 40, 56, 1)
    expected = scorer(x, y)
    for made in (copy.deepcopy(scorer), pickle.loads(pickle.dumps(scorer))):
        assert made is not scorer and made.facts == scorer.facts
        assert next(made.parameters()).data_ptr() != next(scorer.parameters()).data_ptr()
        torch.testing.assert_close(made(x, y), expected, atol=0, rtol=0)
        torch.testing.assert_close(made.maps(made.describe(x), made.describe(y)).shape, torch.Size([2, 1, 10, 14]))


def test_a_host_of_another_precision_leaves_it_in_float32(exported_scorer: Scorer, linear_scorer: Scorer) -> None:
    for scorer in (copy.deepcopy(exported_scorer), copy.deepcopy(linear_scorer)):
        before = {key: value.clone() for key, value in scorer.state_dict().items()}
        host = torch.nn.ModuleDict({"own": torch.nn.Linear(2, 2), "scorer": scorer})
        for change in (host.half, host.double, lambda: host.to("cpu", torch.bfloat16)):  # noqa: B023
            change()
            assert host["own"].weight.dtype != torch.float32
            for key, value in scorer.state_dict().items():
                assert torch.equal(value, before[key]), key
        scorer.to("meta")
        assert {value.device.type for value in scorer.parameters()} == {"meta"}


def rewritten(source: Path, target: Path, change: dict[str, bytes | None]) -> Path:
    """A copy of an archive with entries (by the end of their names) replaced or left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            content: bytes | None = old.read(name)
            for ending, replacement in change.items():
                if name.endswith(ending):
                    content = replacement
            if content is not None:
                new.writestr(name, content)
    return target


def test_files_that_are_none(exported: Path, tmp_path: Path) -> None:
    content, path = exported.read_bytes(), tmp_path / "x.pt2"

    def says(text: str) -> None:
        with pytest.raises(UserError, match=text) as caught:
            load_exported(path)
        assert "x.pt2" in str(caught.value) and "\n" not in str(caught.value)

    says("no file")
    for other in (b"", b"words", content[: len(content) // 2], content[:-1000]):
        path.write_bytes(other)
        says("is not a torch.export archive")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thesis/chapter.txt", "words")
    says("is no file of `semfid export`")
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), path)
    says("is no file of `semfid export`")
    facts = json.loads(zipfile.ZipFile(exported).read("archive/extra/semfid.json"))
    rewritten(exported, path, {"semfid.json": json.dumps({**facts, "format": 99}).encode()})
    says("has the format 99, this semfid reads 1; update semfid")
    rewritten(exported, path, {"semfid.json": b"{"})
    says("is not a torch.export archive")
    rewritten(exported, path, {"models/model.json": b"{}"})
    says("cannot be read by torch")


def test_damaged_weights_are_noticed(exported: Path, tmp_path: Path) -> None:
    """torch itself loads them as they are."""
    draw, whole, path = random.Random(1), exported.read_bytes(), tmp_path / "x.pt2"
    load_exported(exported)
    for _ in range(10):
        content = bytearray(whole)
        at = draw.randrange(len(content) - 4000)
        content[at : at + 4000] = draw.randbytes(4000)
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.pt2"):
            load_exported(path)


GOOD = torch.rand(2, 3, 64, 64)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (torch.rand(3, 64, 64), r"has the shape \(3, 64, 64\); give \(B, 3, H, W\)"),
        (torch.rand(2, 1, 64, 64), r"has the shape \(2, 1, 64, 64\)"),
        (torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8), "uint8; give floating point"),
        (torch.rand(2, 3, 31, 64), "has 64x31 pixels; at least 32x32"),
        (torch.rand(2, 3, 64, 64) * 255, r"has values in \[.*\]; give RGB in \[0, 1\]"),
        (torch.rand(2, 3, 64, 64) - 0.5, r"has values in"),
        *(
            (torch.rand(2, 3, 64, 64).index_put((torch.tensor(1),), torch.tensor(value)), "not finite")
            for value in (float("nan"), float("inf"), -float("inf"))
        ),
    ],
)
@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_tensors_that_are_no_images(bad: torch.Tensor, says: str, side: str) -> None:
    pair = (bad, GOOD) if side == "reference" else (GOOD, bad)
    with pytest.raises(UserError, match=f"{side} (is|has) .*|{says}") as caught:
        check_pair(*pair)
    assert re.search(says, str(caught.value)) and str(caught.value).startswith(side)


def test_one_nan_among_half_precision_pixels() -> None:
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        picture = torch.rand(1, 3, 64, 64).to(kind)
        check_images(picture, "it")
        picture[0, 2, 63, 5] = float("nan")
        with pytest.raises(UserError, match="it has pixels that are not finite"):
            check_images(picture, "it")


def test_pairs_of_different_shapes() -> None:
    with pytest.raises(UserError, match=r"reference is \(2, 3, 64, 64\), candidate \(1, 3, 64, 64\)"):
        check_pair(GOOD, GOOD[:1])
    check_pair(GOOD, GOOD)
    check_pair(GOOD[:0], GOOD[:0])
    check_pair(GOOD * 1.01 - 0.005, GOOD)
