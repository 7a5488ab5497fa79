"""The captioner that comes with the repository, on scenes that it was not trained on."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioners import Captioner, build_captioner
from captioners.scenes_captioner import WEIGHTS, joined, tokens
from registry import UserError
from scenes import CATEGORIES, caption, degrade, render, sample_scene
from scenes.backgrounds import BACKGROUNDS

WORLD = 4501  # not the one of the figures in the file
SPECS = [sample_scene(WORLD, number) for number in range(48)]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [Image.fromarray(render(spec, 96).image) for spec in SPECS]


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return build_captioner("scenes_captioner", {})


@pytest.fixture(scope="module")
def said(captioner: Captioner, pictures: list[Image.Image]) -> list[str]:
    return captioner.caption(pictures, "")


def classes_in(sentence: str) -> set[str]:
    plurals = {"buses": "bus", "cacti": "cactus"}
    for many, one in plurals.items():
        sentence = sentence.replace(many, one)
    return {one.name for one in CATEGORIES if re.search(rf"\b{one.name}s?\b", sentence)}


def recall(sentences: list[str]) -> tuple[float, float]:
    """Of the classes and of the places of SPECS, the share that the sentences name."""
    there = [{one.category for one in spec.objects} for spec in SPECS]
    found = sum(len(true & classes_in(text)) for true, text in zip(there, sentences, strict=True))
    places = [text.endswith(BACKGROUNDS[spec.background].phrase) for spec, text in zip(SPECS, sentences, strict=True)]
    return found / sum(map(len, there)), float(np.mean(places))


def test_objects_and_places_are_named(said: list[str]) -> None:
    things, places = recall(said)
    assert things > 0.7 and places > 0.9
    # not because sentences name everything: the sentences of other scenes fit far worse
    assert recall(said[1:] + said[:1])[0] < 0.4


def test_degraded_pictures(captioner: Captioner, pictures: list[Image.Image]) -> None:
    rng = np.random.default_rng(0)
    blurred = [Image.fromarray(degrade(np.asarray(one), "blur", 0.7, rng)) for one in pictures]
    things, places = recall(captioner.caption(blurred, ""))
    assert things > 0.6 and places > 0.9


def test_sentences_are_of_the_worlds_language(said: list[str]) -> None:
    true = {word for spec in (sample_scene(WORLD, number) for number in range(300)) for word in tokens(caption(spec))}
    assert {word for text in said for word in tokens(text)} <= true
    assert all(joined(tokens(text)) == text for text in [*said, *(caption(spec) for spec in SPECS)])


def test_alone_or_in_a_batch(captioner: Captioner, pictures: list[Image.Image], said: list[str]) -> None:
    assert [captioner.caption([one], "")[0] for one in pictures[:6]] == said[:6]
    assert captioner.caption(pictures[:6][::-1], "another prompt") == said[:6][::-1]
    assert captioner.caption([], "") == []


def test_other_pictures_get_a_sentence_too(captioner: Captioner) -> None:
    black, wide = Image.new("RGB", (64, 64)), Image.new("RGB", (300, 20), "white")
    assert all(isinstance(text, str) for text in captioner.caption([black, wide], ""))


def test_weights_are_small_and_loaded_late() -> None:
    assert WEIGHTS.stat().st_size < 3e6
    one = build_captioner("scenes_captioner", {})
    assert one._net is None and one.identity.startswith("scenes_captioner-1-")


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no weights file .*make_scenes_captioner"):
        build_captioner("scenes_captioner", {"weights": str(tmp_path / "none.safetensors")})
    tower = WEIGHTS.parents[1] / "towers" / "scenes_tower.safetensors"
    with pytest.raises(UserError, match="holds scenes_tower"):
        build_captioner("scenes_captioner", {"weights": str(tower)})


def test_training_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = WEIGHTS.parents[1] / "make_scenes_captioner.py"
    out = tmp_path / "captioner.safetensors"
    counts = [
        "--scenes",
        "16",
        "--cell-steps",
        "1",
        "--steps",
        "1",
        "--joint-steps",
        "1",
        "--batch",
        "8",
        "--held-out",
        "8",
    ]
    monkeypatch.setattr(sys, "argv", [str(script), *counts, "--work", str(tmp_path / "work"), "--out", str(out)])
    monkeypatch.syspath_prepend(str(script.parent))
    runpy.run_path(str(script), run_name="__main__")
    assert isinstance(
        build_captioner("scenes_captioner", {"weights": str(out)}).caption([Image.new("RGB", (80, 80))], "")[0], str
    )
