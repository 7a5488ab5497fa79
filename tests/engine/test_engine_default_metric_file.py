"""Writing a metric of the default kind."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from default_metric_support import TAPS, heads, spec, timm_network

import engine.default_metric_file as module
from engine.default_metric_file import answers, install_default_metric, loaded, save_default_metric
from semfid.errors import UserError
from semfid.scoring.default_metric import Differences, Statistic, load_default_metric, load_metric_file
from semfid.scoring.efficientnet_lite import CHANNELS, STRIDES
from semfid.scoring.predictors import ExpertsMap, LinearPredictor


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return dict(timm_network().state_dict())


def test_the_file_gives_the_scores_that_were_seen_before_it(state: Any, tmp_path: Path) -> None:
    wide = {name: tensor * 1.0001 for name, tensor in state.items()}  # not of float16
    before = loaded(spec(), wide, *heads())
    digest = save_default_metric(tmp_path / "a.pt", wide, *heads(), spec())
    after = load_metric_file(tmp_path / "a.pt")
    x, y = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    assert torch.equal(before(x, y), after(x, y)) and before.spec == after.spec
    content = (tmp_path / "a.pt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest and after.facts.weights_hash == digest[:16]
    assert save_default_metric(tmp_path / "b.pt", wide, *heads(), spec()) == digest
    assert (tmp_path / "b.pt").read_bytes() == content, "equal arguments, equal bytes"
    held = torch.load(tmp_path / "a.pt", weights_only=True)
    kept = {name for name in held if name.startswith("backbone/")}
    assert all(held[name].dtype == torch.float16 for name in kept)
    assert not [name for name in kept if "blocks.4" in name or "classifier" in name or "conv_head" in name]


def test_a_file_becomes_the_metric_of_the_package(state: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGED", tmp_path / "weights")
    digest = save_default_metric(tmp_path / "m.pt", state, *heads(), spec())
    install_default_metric(tmp_path / "m.pt")
    held: dict[str, str] = {}
    exec((tmp_path / "weights" / "__init__.py").read_text(), held)
    assert (
        held["SHA256"] == digest
        and (tmp_path / "weights" / held["FILE"]).read_bytes() == (tmp_path / "m.pt").read_bytes()
    )


def test_what_the_package_holds_is_what_it_says() -> None:
    from semfid.scoring.weights import ANSWERS, FILE, SHA256

    content = (module.PACKAGED / FILE).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256 and len(content) < 14e6
    found = answers(load_default_metric())
    assert found == pytest.approx(ANSWERS, abs=1e-3), "functions that it shares with heads have changed: fit it again"
    assert 0.05 < found[0] <= 1.0 and 0.0 < found[1] < found[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"statistics": (Statistic(taps=("blocks.7",)),)}, r"no tap 'blocks\.7'; choose from stem, blocks\.0"),
        ({"bands": ((0.1, "same"),)}, r"bands begin at \[0\.1\]; begin at 0 and rise"),
        ({"bands": ((0.0, "same"), (0.5, "a"), (0.5, "b"))}, "begin at 0 and rise"),
        ({"saturation": 1.0}, "saturation=1 must lie between 0 and 1"),
        ({"predictor": "kernel"}, "must name the kinds of the two parts"),
        ({"map_input": None}, "give both spec.map_input and map_head, or neither"),
        ({"statistics": (Statistic(taps=TAPS, poolings=("mean",)),)}, "do not fit the spec's columns and taps"),
        ({"map_input": Differences(taps=TAPS[1:])}, "do not fit the spec's columns and taps"),
    ],
)
def test_parts_that_do_not_fit(state: Any, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        save_default_metric(tmp_path / "m.pt", state, *heads(), replace(spec(), **changes))
    assert not (tmp_path / "m.pt").exists()


def test_a_map_of_two_experts_needs_their_shares(state: Any) -> None:
    inputs = sum(CHANNELS[tap] for tap in TAPS)
    local = {"first": torch.zeros(2, inputs), "first_bias": torch.zeros(2), "second": torch.zeros(2, 2)}
    local |= {"second_bias": torch.zeros(2), "last": torch.zeros(2)}
    strides = {"strides": torch.tensor([STRIDES[tap] for tap in TAPS]), "stride": torch.tensor(2)}
    head = ExpertsMap(**local, **strides, restored=torch.zeros(inputs), power=torch.tensor(1.0))
    with pytest.raises(UserError, match="needs the share of each; predictor 'linear' has none"):
        loaded(spec(map_head="experts"), state, heads()[0], head)


def test_a_predictor_with_an_intercept_is_refused(state: Any, tmp_path: Path) -> None:
    class Shifted(LinearPredictor):
        def forward(self, statistic: torch.Tensor) -> torch.Tensor:
            return super().forward(statistic) + 0.1

    predictor, map_head = heads()
    with pytest.raises(UserError, match="identical images must give exactly 0; use heads without an intercept"):
        save_default_metric(tmp_path / "m.pt", state, Shifted(predictor.weight, predictor.scale), map_head, spec())
