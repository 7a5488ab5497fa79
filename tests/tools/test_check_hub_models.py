"""The logic of tools/check_hub_models.py on tiny models and on what the environment brings."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_captioners
import tiny_models
import tiny_towers

from models.catalogue.known import CATALOGUE
from models.catalogue.places import Places
from models.catalogue.state import State, facts_of
from registry import REGISTRIES

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("check_hub_models", ROOT / "tools" / "check_hub_models.py")
tool: Any = importlib.util.module_from_spec(SPEC)  # type: ignore[arg-type]
sys.modules["check_hub_models"] = tool  # dataclasses look their module up
SPEC.loader.exec_module(tool)  # type: ignore[union-attr]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model counts as present."""
    present = facts_of(next(one for one in CATALOGUE if one.name == "minilm_package"), Places.standard())
    monkeypatch.setattr(tool, "facts_of", lambda model, places: present)
    assert present.state is State.PRESENT


def photos() -> Any:
    pytest.importorskip("skimage")
    return tool.Photos.standard()


def run(plugin: str, look: Callable[..., list[str]], **keywords: Any) -> Any:
    kind, _, name = plugin.partition(".")
    return tool.check(tool.Expectation("clip", kind, name, look, keywords), photos(), Places.standard())


def test_every_model_of_the_catalogue_has_an_expectation() -> None:
    assert [one.model for one in tool.EXPECTATIONS] == [one.name for one in CATALOGUE]
    users = {one.name: one.used_by for one in CATALOGUE}
    for one in tool.EXPECTATIONS:
        assert one.plugin in REGISTRIES[one.kind].names()
        words = {key: value for key, value in one.keywords.items() if value != "package"}
        REGISTRIES[one.kind].check(one.plugin, words)
        assert {one.kind} <= {user.split(".")[0] for user in users[one.model]} | {"backbones", "dual_encoders"}


def test_without_a_model_nothing_is_loaded(tmp_path: Path) -> None:
    def look(built: Any, photos: Any) -> list[str]:
        raise AssertionError("not reached")

    empty = Places(tmp_path / "hub", tmp_path / "checkpoints")
    row = tool.check(tool.Expectation("clip", "dual_encoders", "clip", look), None, empty)
    assert (row.result, row.note) == ("absent", "`semfid models get clip`")


def test_a_tower(here: None, tmp_path: Path) -> None:
    """Random weights get the captions by chance; the length of the vectors is 24."""
    words = {"model": str(tiny_towers.save_clip(tmp_path / "m")), "device": "cpu"}
    for dim, wrong in ((24, False), (17, True)):
        row = run("dual_encoders.clip", tool.towers_agree(dim), **words)
        assert ("not as expected: length 24" in row.note) == wrong and "equal 1.00000" in row.note
        assert row.seconds > 0 and (row.result == "fail" or not wrong)


def test_a_captioner(here: None, tmp_path: Path) -> None:
    words = {"model": str(tiny_captioners.save_blip(tmp_path / "m")), "device": "cpu", "prefix": "a cat"}
    assert run("captioners.blip", tool.caption_names("cat"), **words).result == "pass"
    row = run("captioners.blip", tool.caption_names("zeppelin"), **words)
    assert row.result == "fail" and row.note.startswith("not as expected: caption 'a cat")


def test_a_segmenter_that_finds_nothing(here: None, tmp_path: Path) -> None:
    words = {"model": str(tiny_models.save_mask2former(tmp_path / "m")), "device": "cpu"}
    assert (
        "not as expected: segments" in run("segmenters.mask2former", tool.segments_hold("no such thing"), **words).note
    )


def test_a_model_that_cannot_be_loaded_stops_no_other(here: None, tmp_path: Path) -> None:
    row = run("captioners.blip", tool.caption_names("cat"), model=str(tmp_path / "nowhere"))
    assert row.result == "fail" and row.note.startswith("not run: UserError: captioner: blip: cannot get")


def test_features(here: None) -> None:
    words = {"model": "test_resnet", "pretrained": "none"}
    row = run("backbones.timm", tool.features_have(96, size=64), **words)
    assert "equal 1.00000" in row.note, row.note


def test_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """Real weights from a Python package: signs are read."""
    pytest.importorskip("rapidocr_onnxruntime")
    assert tool.main(["ocr"]) == 0
    shown = capsys.readouterr().out
    assert "| ocr | metrics.text_difference | pass |" in shown and shown.strip().endswith("1 pass, 0 fail, 0 absent")


def test_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"clip": tool.Row("clip", "p", "absent", 0.0, "n"), "blip": tool.Row("blip", "p", "fail", 1.0, "why")}
    monkeypatch.setattr(tool, "check", lambda one, photos, places: rows[one.model])
    assert tool.main(["clip"]) == 0 and "0 pass, 0 fail, 1 absent" in capsys.readouterr().out
    assert tool.main(["clip", "blip"]) == 1 and "| blip | p | fail | 1.0 | why |" in capsys.readouterr().out
    assert tool.main(["clipp"]) == 2 and "did you mean 'clip'" in capsys.readouterr().err
