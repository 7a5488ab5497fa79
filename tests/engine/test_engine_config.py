"""Experiment files: inheritance, overrides, sweeps."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config.expansion import expand
from engine.config.reading import get_key
from engine.config.reading import load_experiment as load_typed
from engine.config.schema import Experiment
from engine.runs.run_folder import run_hash
from semfid.errors import UserError
from semfid.settings import as_mapping


def load_experiment(*given: Any) -> dict[str, Any]:
    return as_mapping(load_typed(*given))


MINIMAL = {"name": "x", "data": {"name": "scenes"}, "model": {"name": "global_regressor", "head": {"name": "cosine"}}}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def put(name: str, content: dict[str, Any] | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return put


def test_defaults(write: Any) -> None:
    config = load_experiment(write("a.yaml", MINIMAL))
    assert config["seed"] == 0 and config["sweep_mode"] == "grid" and config["output"] == "runs"
    assert config["selection"] == {"monitor": "val_mse", "patience": None}
    assert set(config) == set(Experiment.model_fields)


def test_a_chain_of_parents_relative_to_each_file(write: Any) -> None:
    write("sub/deep/grand.yaml", {**MINIMAL, "seed": 1, "trainer": {"max_epochs": 3, "precision": "bf16-mixed"}})
    write("sub/parent.yaml", {"extends": "deep/grand.yaml", "seed": 2, "trainer": {"max_epochs": 4}})
    child = write("child.yaml", {"extends": "sub/parent.yaml", "name": "child"})
    config = load_experiment(child)
    assert (config["name"], config["seed"]) == ("child", 2)
    assert config["trainer"] == {"max_epochs": 4, "precision": "bf16-mixed"}
    assert config["data"] == {"name": "scenes"}


def test_the_last_of_several_parents_wins(write: Any) -> None:
    write("a.yaml", {**MINIMAL, "seed": 1, "baselines": ["psnr", "ssim"]})
    write("b.yaml", {"seed": 2, "baselines": ["ssim"]})
    config = load_experiment(write("c.yaml", {"extends": ["a.yaml", "b.yaml"], "name": "c"}))
    assert config["seed"] == 2
    assert config["baselines"] == ["ssim"], "lists are replaced, not joined"


@pytest.mark.parametrize("files", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}])
def test_a_circle_is_named(write: Any, files: dict[str, str]) -> None:
    for name, parent in files.items():
        path = write(f"{name}.yaml", {"extends": f"{parent}.yaml", "name": name})
    with pytest.raises(UserError, match=r"extends itself, through \w"):
        load_experiment(path.parent / "a.yaml")


def test_another_component_does_not_inherit_keywords(write: Any) -> None:
    write(
        "base.yaml",
        {
            **MINIMAL,
            "model": {
                "name": "global_regressor",
                "backbone": {"name": "resnet50_clip", "tag": "openai", "tuning": "lora"},
                "head": {"name": "lpips_linear", "depth": 2},
                "optimizer": {"name": "adam", "lr": 0.1, "betas": [0.8, 0.9]},
            },
        },
    )
    own = {"extends": "base.yaml", "model": {"head": {"name": "pooled_mlp"}, "backbone": {"tuning": "full"}}}
    model = load_experiment(write("own.yaml", own))["model"]
    assert model["head"] == {"name": "pooled_mlp"}, "depth belongs to lpips_linear"
    assert model["backbone"] == {"name": "resnet50_clip", "tag": "openai", "tuning": "full"}
    assert model["optimizer"] == {"name": "adam", "lr": 0.1, "betas": [0.8, 0.9]}
    same = {"extends": "base.yaml", "model": {"head": {"name": "lpips_linear", "bias": True}}}
    assert load_experiment(write("same.yaml", same))["model"]["head"] == {
        "name": "lpips_linear", "depth": 2, "bias": True,
    }  # fmt: skip


def test_a_sweep_is_the_file_s_own(write: Any) -> None:
    write("base.yaml", {**MINIMAL, "sweep": {"seed": [0, 1]}})
    config = load_experiment(write("own.yaml", {"extends": "base.yaml", "sweep": {"data.scenes": [10, 20]}}))
    assert config["sweep"] == {"data.scenes": [10, 20]}


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("model.head.rate=1e-3", "model.head.rate", 1e-3),
        ("seed=7", "seed", 7),
        ("data.in_memory=true", "data.in_memory", True),
        ("selection.patience=null", "selection.patience", None),
        ("selection.patience=3", "selection.patience", 3),
        ("data.image_size=0x10", "data.image_size", 16),
        ("model.head={name: pooled_mlp, hidden: [3, 4]}", "model.head", {"name": "pooled_mlp", "hidden": [3, 4]}),
        ("baselines=[psnr, {name: ssim}]", "baselines", ["psnr", {"name": "ssim"}]),
        ("data.table=a=b.csv", "data.table", "a=b.csv"),
        ("data.split.by=row", "data.split.by", "row"),
        ("output=x y", "output", "x y"),
        ("evaluation.level=0.9", "evaluation.level", 0.9),
        ("trainer.max_epochs=2", "trainer.max_epochs", 2),
    ],
)
def test_overrides_are_typed(write: Any, override: str, key: str, value: Any) -> None:
    found = get_key(load_experiment(write("a.yaml", MINIMAL), [override]), key)
    assert found == value and type(found) is type(value)


def test_numbers_of_the_file_are_typed_too(write: Any) -> None:
    """PyYAML alone reads 1e-3 as text."""
    text = "name: x\ndata: {name: scenes}\nmodel: {name: g, optimizer: {name: adam, lr: 1e-3}}\n"
    assert load_experiment(write("a.yaml", text))["model"]["optimizer"]["lr"] == 1e-3


def test_overrides_come_after_the_file_in_their_order(write: Any) -> None:
    config = load_experiment(write("a.yaml", {**MINIMAL, "seed": 1}), ["seed=2", "seed=3", "sweep.seed=[4, 5]"])
    assert config["seed"] == 3 and config["sweep"] == {"seed": [4, 5]}


def test_overrides_reach_into_the_sweep(write: Any) -> None:
    file = write("a.yaml", {**MINIMAL, "sweep": {"model.head.depth": [1, 2], "seed": [0]}})
    assert load_experiment(file, ["sweep.model.head.depth=[3]"])["sweep"] == {"model.head.depth": [3], "seed": [0]}
    assert load_experiment(file, ["sweep={}"])["sweep"] == {}


def test_interpolation(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_FOLDER", "/data")
    content = {
        **MINIMAL,
        "output": "${oc.env:SOME_FOLDER}/runs",
        "sweep": {"data.table": ["${oc.env:SOME_FOLDER}/a.csv"]},
    }
    config = load_experiment(write("a.yaml", content))
    assert config["output"] == "/data/runs" and config["sweep"] == {"data.table": ["/data/a.csv"]}
    monkeypatch.delenv("SOME_FOLDER")
    with pytest.raises(UserError, match=r"a\.yaml: .*'SOME_FOLDER' not found"):
        load_experiment(write("a.yaml", content))


def test_plugin_files_are_relative_to_the_yaml_that_names_them(write: Any, tmp_path: Path) -> None:
    write("sub/base.yaml", {**MINIMAL, "plugins": ["mine.py", "some.module"]})
    config = load_experiment(write("a.yaml", {"extends": "sub/base.yaml"}))
    assert config["plugins"] == [str((tmp_path / "sub" / "mine.py").resolve()), "some.module"]


# ---------------------------------------------------------------- sweeps


def _expand(changes: dict[str, Any], write: Any) -> list[Any]:
    return expand(load_typed(write("a.yaml", {**MINIMAL, **changes})), "a.yaml")


def test_no_sweep_is_one_variant(write: Any) -> None:
    (variant,) = _expand({"seed": 4}, write)
    assert (variant.label, variant.seed, variant.choices) == ("x", 4, {})
    assert "sweep" not in variant.config.as_mapping()


def test_grid(write: Any) -> None:
    heads = [{"name": "a", "k": 1, "m": 0}, {"name": "a", "k": 2, "m": 0}, {"name": "b", "k": 1}]
    sweep = {"model.head": heads, "data.scenes": [10, 20, 30], "seed": [0, 1]}
    variants = _expand({"sweep": sweep}, write)
    expected = list(itertools.product(heads, [10, 20, 30], [0, 1]))
    got = [(v.config.model.head.written, v.config.data.keywords["scenes"], v.config.seed) for v in variants]
    assert got == expected
    assert variants[0].label == "head=a/k:1 scenes=10", "what tells it from the other a"
    assert variants[-1].label == "head=b scenes=30"
    variants[0].config.model.head.written["k"] = 99
    assert variants[0].config.model.head.keywords["k"] == 1, "a configuration stays as it was read"


def test_one_factor(write: Any) -> None:
    model = {"name": "g", "head": {"name": "h", "depth": 3, "bias": False}}
    sweep = {"model.head.depth": [1, 2, 3], "model.head.bias": [False, True], "seed": [0, 1]}
    variants = _expand({"model": model, "sweep": sweep, "sweep_mode": "one_factor"}, write)
    heads = [(*(v.config.model.head.keywords[key] for key in ("depth", "bias")), v.seed) for v in variants]
    assert heads == [(d, b, s) for d, b in ((3, False), (1, False), (2, False), (3, True)) for s in (0, 1)]


def test_one_factor_needs_a_start(write: Any) -> None:
    with pytest.raises(UserError, match=r"needs a value for model\.head\.depth"):
        _expand({"sweep": {"model.head.depth": [1, 2]}, "sweep_mode": "one_factor"}, write)
    with pytest.raises(UserError, match="choose grid or one_factor"):
        _expand({"sweep_mode": "random"}, write)


def test_two_variants_never_share_a_label(write: Any) -> None:
    """Variants of one label are averaged as seeds: files of the same name in two folders must stay apart."""
    variants = _expand(
        {"sweep": {"model.pretrained": ["a/trunk.pt", "b/trunk.pt", "c/other.pt"], "seed": [0, 1]}}, write
    )
    labels = {v.label for v in variants}
    assert labels == {'pretrained="a/trunk.pt"', 'pretrained="b/trunk.pt"', "pretrained=other"}
    assert len({(v.label, v.seed) for v in variants}) == 6
    assert len({v.label for v in _expand({"sweep": {"model.x": [1, "1", None, "None"]}}, write)}) == 4


def test_a_swept_value_is_checked_against_the_schema(write: Any) -> None:
    assert _expand({"sweep": {"selection.patience": [None, 3]}}, write)[1].config.selection.patience == 3
    for key, value in (("seed", "a"), ("selection.patience", 1.5), ("evaluation.by_origin", "perhaps")):
        with pytest.raises(UserError, match=rf"a\.yaml: sweep\.{key}"):
            _expand({"sweep": {key: [value]}}, write)


class TestRepeats:
    def made(self, tmp_path: Path, text: str) -> list[Any]:
        file = tmp_path / "r.yaml"
        file.write_text(text)
        return expand(load_typed(file), str(file))

    def test_each_repeat_is_a_run_of_the_same_variant(self, tmp_path: Path) -> None:
        text = "name: r\nseed: 7\ndata: {name: pairs, split: {folds: 5, repeats: 3, seed: 2}}\n"
        text += "model: {name: x, head: a}\nsweep: {model.head: [a, b]}\n"
        runs = self.made(tmp_path, text)
        assert [run.label for run in runs] == ["head=a"] * 3 + ["head=b"] * 3
        assert [run.seed for run in runs] == [7, 8, 9] * 2 and [run.repeat for run in runs] == [0, 1, 2] * 2
        assert [run.config.data.keywords["split"]["seed"] for run in runs] == [2, 3, 4] * 2
        assert all(run.config.data.keywords["split"]["folds"] == 5 for run in runs)
        digests = {run_hash(run.config, "d") for run in runs}
        assert len(digests) == 6
        more = self.made(tmp_path, text.replace("repeats: 3", "repeats: 4"))
        assert digests < {run_hash(run.config, "d") for run in more}, "those that are done count among more repeats"

    def test_one_repeat_and_none_are_one_run(self, tmp_path: Path) -> None:
        for split in (
            "",
            ", split: {folds: 5}",
            ", split: {folds: 5, repeats: 1}",
            ", split: {repeats: x}",
            ", split: 3",
        ):
            (run,) = self.made(tmp_path, f"name: r\ndata: {{name: pairs{split}}}\n")
            assert run.repeat == 0 and run.seed == 0

    def test_seeds_and_repeats_do_not_go_together(self, tmp_path: Path) -> None:
        text = "name: r\ndata: {name: pairs, split: {folds: 5, repeats: 3}}\nsweep: {seed: [0, 1]}\n"
        with pytest.raises(UserError, match=r"sweep\.seed and data\.split\.repeats both make runs"):
            self.made(tmp_path, text)

    def test_repeats_may_be_swept_away(self, tmp_path: Path) -> None:
        text = "name: r\ndata: {name: pairs, split: {folds: 5}}\nsweep: {data.split.folds: [2, 5]}\n"
        runs = self.made(tmp_path, text)
        assert [run.label for run in runs] == ["folds=2", "folds=5"]
