"""The tower that comes with the repository, on scenes that it was not trained on."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from data_tools.synthetic import caption, degrade, edit, render, sample_scene
from data_tools.synthetic.appearance import look
from models.dual_encoders import DualEncoder, build_dual_encoder
from models.dual_encoders.scenes_tower import VOCABULARY, WEIGHTS, terms
from semfid.errors import UserError

WORLD = 4501  # not the one of the figures in the file
SPECS = [sample_scene(WORLD, number) for number in range(60)]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [Image.fromarray(render(spec, 96).image) for spec in SPECS]


@pytest.fixture(scope="module")
def tower() -> DualEncoder:
    return build_dual_encoder("scenes_tower", {})


@pytest.fixture(scope="module")
def seen(tower: DualEncoder, pictures: list[Image.Image]) -> np.ndarray:
    return tower.embed_images(pictures)


def test_weights_are_small_and_loaded_late() -> None:
    assert WEIGHTS.stat().st_size < 3e6
    one = build_dual_encoder("scenes_tower", {})
    assert one._sides is None and one.dim > 0 and one.identity.startswith("scenes_tower-1-")
    one.embed_texts(["dog"])
    assert one._sides is not None
    one.release()
    assert one._sides is None


def test_identity_is_the_files_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    shutil.copy(WEIGHTS, first)
    facts = build_dual_encoder("scenes_tower", {})._file.facts
    save_file({key: value + 1 for key, value in load_file(WEIGHTS).items()}, second, metadata=dict(facts))
    names = [build_dual_encoder("scenes_tower", {"weights": str(path)}).identity for path in (WEIGHTS, first, second)]
    assert names[0] == names[1] != names[2]


def test_right_caption_is_found_among_all(tower: DualEncoder, seen: np.ndarray) -> None:
    sentences = [caption(spec) for spec in SPECS]
    scores = seen @ tower.embed_texts(sentences).T
    for ranked in (scores, scores.T):
        assert np.mean(ranked.argmax(axis=1) == np.arange(len(SPECS))) > 0.3  # chance: 0.017


def test_single_words_rank_pictures(tower: DualEncoder, seen: np.ndarray) -> None:
    """Area under the curve of each class name, chance 0.5, and of each colour."""

    def area(word: str, true: list[bool]) -> float:
        (vector,) = tower.embed_texts([word])
        with_it, without = (seen[np.asarray(true) == value] @ vector for value in (True, False))
        return float((with_it[:, None] > without[None, :]).mean())

    classes = sorted({one.category for spec in SPECS for one in spec.objects})
    areas = [area(name, [name in {one.category for one in spec.objects} for spec in SPECS]) for name in classes]
    assert np.mean(areas) > 0.85
    hues = [{look(one.category, one.variant).colour for one in spec.objects} for spec in SPECS]
    assert np.mean([area(name, [name in found for found in hues]) for name in ("red", "blue", "grey", "yellow")]) > 0.65
    assert area("beach", [spec.background == "beach" for spec in SPECS]) > 0.9


def test_meaning_counts_more_than_damage(tower: DualEncoder, seen: np.ndarray, pictures: list[Image.Image]) -> None:
    rng = np.random.default_rng(0)
    damaged = [Image.fromarray(degrade(np.asarray(one), "blur+jpeg", 0.6, rng)) for one in pictures]
    largest = [max(range(len(spec.objects)), key=lambda k: spec.objects[k].size) for spec in SPECS]
    changed = [
        Image.fromarray(render(edit(spec, "inter", k, 1), 96).image) for spec, k in zip(SPECS, largest, strict=True)
    ]
    still, other = (1 - (seen * tower.embed_images(some)).sum(axis=1) for some in (damaged, changed))
    assert np.mean(still[:, None] < other[None, :]) > 0.8


def test_alone_or_in_a_batch(tower: DualEncoder, seen: np.ndarray, pictures: list[Image.Image]) -> None:
    alone = np.concatenate([tower.embed_images([one]) for one in pictures[:5]])
    assert np.abs(alone - seen[:5]).max() < 1e-5
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1.0, atol=1e-5)
    twice = tower.embed_images([pictures[0], pictures[0]])
    assert np.array_equal(twice[0], twice[1])


def test_unknown_words(tower: DualEncoder) -> None:
    with pytest.warns(UserWarning, match="knows no word of 2 of 4 texts, such as 'carburettor'"):
        found = tower.embed_texts(["carburettor", "a red dog", "quantum foam", "carburettor, red dog"])
    assert not found[[0, 2]].any()
    np.testing.assert_array_equal(found[1], found[3])  # what is unknown is passed over
    assert not tower.embed_texts([""]).any()


def test_terms() -> None:
    assert terms("A red car, two dogs and an ice cream on a beach") == [
        "red", "car", "red car", "two", "dogs", "two dogs", "ice", "cream", "ice cream", "on", "cream on", "beach"
    ]  # fmt: skip


def test_vocabulary_has_directions(tower: DualEncoder) -> None:
    lines = VOCABULARY.read_text(encoding="utf-8").splitlines()
    words = [line.split("\t")[0] for line in lines if not line.startswith("#")]
    assert len(words) == len({*words}) > 40 and {"dog", "ice cream", "red", "beach"} <= {*words}
    np.testing.assert_allclose(np.linalg.norm(tower.embed_texts(words), axis=1), 1.0, atol=1e-5)


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no weights file .*none.*make_scenes_tower"):
        build_dual_encoder("scenes_tower", {"weights": str(tmp_path / "none.safetensors")})
    text = tmp_path / "text.safetensors"
    text.write_text("no weights")
    with pytest.raises(UserError, match="not a safetensors file"):
        build_dual_encoder("scenes_tower", {"weights": str(text)})
    backbone = WEIGHTS.parents[1] / "trunks" / "scenes_resnet.safetensors"
    with pytest.raises(UserError, match="holds something else"):
        build_dual_encoder("scenes_tower", {"weights": str(backbone)})
    with pytest.raises(UserError, match="batch_size"):
        build_dual_encoder("scenes_tower", {"batch_size": 0})


def test_training_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = WEIGHTS.parents[2] / "tools" / "make_scenes_tower.py"
    out = tmp_path / "out" / "tower.safetensors"
    counts = ["--scenes", "16", "--cell-steps", "1", "--steps", "1", "--batch", "8", "--held-out", "8"]
    monkeypatch.setattr(sys, "argv", [str(script), *counts, "--work", str(tmp_path / "work"), "--out", str(out)])
    monkeypatch.syspath_prepend(str(script.parent))
    runpy.run_path(str(script), run_name="__main__")
    made = build_dual_encoder("scenes_tower", {"weights": str(out)})
    assert made.embed_texts(["dog"]).any()
    assert (out.parent / VOCABULARY.name).read_text() == VOCABULARY.read_text()
