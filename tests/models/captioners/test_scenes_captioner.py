"""The captioner that comes with the repository, on scenes that it was not trained on."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_tools.synthetic import CATEGORIES, caption, degrade, render, sample_scene
from data_tools.synthetic.appearance import look
from data_tools.synthetic.backgrounds import BACKGROUNDS
from models.captioners import Captioner, build_captioner
from models.captioners.scenes_captioner import WEIGHTS, Seen, Words, read_things
from semfid.errors import UserError

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


def test_sentences_are_of_the_worlds_language(captioner: Captioner, said: list[str]) -> None:
    """What the scenes' own captions say, the captioner's words say alike, whatever the file lists."""
    words = Words.of(captioner._file.facts)
    for spec in (sample_scene(WORLD, number) for number in range(300)):
        nearest_first = [
            (words.things.index(one.category), words.colours.index(look(one.category, one.variant).colour))
            for one in reversed(spec.objects)
        ]
        place = words.places.index(BACKGROUNDS[spec.background].phrase)
        assert words.sentence(nearest_first, place) == caption(spec)
    assert words.sentence([], 0) == f"nothing {words.places[0]}"
    known = {
        part for phrase in (*words.things, *words.plurals, *words.colours, *words.places) for part in phrase.split()
    }
    spoken = {word for text in said for word in text.replace(",", "").split()}
    assert spoken <= known | {"a", "an", "and", "two", "three", "four", "five"}


def test_things_are_read_nearest_first() -> None:
    """Three tops; one stands beside a surer one and is the same thing, one is not sure enough."""
    centres = torch.full((1, 2, 4, 4), -9.0)
    for kind, row, column, logit in ((0, 0, 0, 2.0), (1, 3, 3, 1.0), (0, 3, 2, 0.5), (1, 0, 3, -2.0)):
        centres[0, kind, row, column] = logit
    colours = torch.zeros(1, 3, 4, 4)
    colours[0, 2, 3, 3] = 1.0
    feet = torch.linspace(0, 1, 16).view(1, 4, 4)
    seen = Seen(centres, colours, feet, torch.tensor([[0.0, 5.0]]))
    assert read_things(seen, 0.5) == [([(1, 2), (0, 0)], 1)]
    assert read_things(seen, 0.1) == [([(1, 2), (1, 0), (0, 0)], 1)]
    assert read_things(seen, 0.99) == [([], 1)]


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
    script = WEIGHTS.parents[2] / "tools" / "make_scenes_captioner.py"
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
