"""Exact fits of heads, from the YAML to the run folder and back to scores."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from run_support import SMALL, Write, merged, only_run, predictions, run_folders, typed
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from torch import Tensor

from datamodules import Part
from engine.runs.run_folder import run_hash
from engine.training.cached_features import FitSettings, fit_heads
from engine.training.exact import Squared
from engine.training.exact_fit import ExactSettings, border_notes, exact_settings, fit_exactly, fit_of, starts_exactly
from heads import Head, LinearForm, build_head
from lightning_modules.losses.pairs import SquaredError
from lightning_modules.scorer import load_run
from registry import HEADS
from semfid.cli import main
from semfid.errors import UserError

BACKBONE = SimpleNamespace(channels=(4, 4, 4), strides=(2, 4, 8), block_channels=(4, 4, 4), embed_dim=6)
COUNT = 60
SELECTION = {"monitor": "val_mse", "patience": None}
EXACT = {**SMALL, "fit": None, "penalty": None, "init_from": None, "seed": 0, "selection": SELECTION}


def problem(width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    rng = np.random.default_rng(seed)
    statistic = np.exp(rng.standard_normal((COUNT, 1))) * np.exp(1.5 * rng.standard_normal((COUNT, width)))
    difference = np.clip(statistic[:, ::3].mean(axis=1) / 10 + 0.05 * rng.standard_normal(COUNT), 0, 1)
    weight = rng.integers(1, 20, COUNT) / 10
    sources = [f"s{row // 4}" for row in range(COUNT)]
    return *(torch.from_numpy(values).float() for values in (statistic, difference, weight)), sources  # type: ignore[return-value]


def folds(count: int = 3) -> list[Part]:
    fold = np.arange(COUNT) // 4 % count
    parts = []
    for index in range(count):
        rest = np.flatnonzero(fold != index)
        parts.append(Part(index, rest[8:], rest[:8], np.flatnonzero(fold == index)))
    return parts


LINEAR = {
    "lpips_linear": {"depth": 1, "pooling": ["mean", "max"], "compress": "sqrt", "scale": "train"},
    "lpips_linear with a constant": {"bias": True, "depth": 2},
    "lpips_linear_blocks": {"depth": 0},
    "lpips_linear_shared": {"depth": 2, "pooling": ["max", "mean"], "scale": "train"},
    "concept_linear": {"weights": "free", "output": "identity", "compress": "sqrt"},
}


def statistic_for(head: Head) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    if head.input_kind == "embeddings":
        flat, *rest = problem(12)
        return flat.reshape(COUNT, 2, 6), *rest  # type: ignore[return-value]
    return problem(12 * len(head.poolings))


@pytest.mark.parametrize("name", LINEAR)
def test_a_head_is_linear_as_it_says(name: str) -> None:
    head = build_head(name.split()[0], BACKBONE, LINEAR[name])
    statistic = statistic_for(head)[0]
    head.calibrate(statistic)
    inputs = head.linear_inputs(statistic)
    weights = torch.randn(inputs.shape[1])
    head.set_linear(weights, 0.25)
    bias = 0.25 if LINEAR[name].get("bias") else 0.0
    torch.testing.assert_close(head(statistic), inputs @ weights + bias, rtol=1e-4, atol=1e-5)


def naive_sizes(name: str, inputs: np.ndarray, head: Any) -> np.ndarray:
    """Root mean squares plus the mean of these over the tap, of what the inputs were before the head's own scale."""
    rms = np.sqrt((inputs**2).mean(axis=0))
    if name == "lpips_linear_shared":
        return np.concatenate([own + own.mean() for own in np.split(rms, 2)])
    factor = head.scale.double().numpy()
    width = 6 if name == "concept_linear" else 4
    return np.concatenate([own + own.mean() for own in np.split(rms * factor, len(rms) // width)]) / factor


@pytest.mark.parametrize("name", LINEAR)
def test_inputs_that_never_move_keep_a_size(name: str) -> None:
    head = build_head(name.split()[0], BACKBONE, LINEAR[name])
    sizes = head.linear_sizes(torch.zeros(5, len(head.linear_inputs(statistic_for(head)[0])[0])))
    assert (sizes == 1).all()
    assert Head.linear_sizes(head, torch.tensor([[3.0, 0.0], [4.0, 0.0]])).tolist() == [12.5**0.5, 1.0]


def test_a_channel_that_training_hardly_moves_does_not_explode(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that moves a thousandth as much as its neighbours, until a test pair moves it as much as they are moved."""
    own, labels, weight, sources = problem(12)
    own[:, 5] *= 1e-3
    part = folds()[0]
    own[part.test, 5] *= 1e3
    settings = ExactSettings(Squared(), LinearForm("identity", False, False), 1e-4)

    def largest_share() -> float:
        """What the channel adds to the score of the test pair that it moves most."""
        (fit,) = fit_exactly(
            lambda: build_head("lpips_linear", BACKBONE, {"depth": 2}), settings, own, labels, weight, sources, [part]
        )
        return float((fit.head.linear_inputs(own)[part.test, 5] * fit.head.weight[5]).abs().max())  # type: ignore[index]

    assert largest_share() < 0.1
    monkeypatch.setattr(type(build_head("lpips_linear", BACKBONE, {"depth": 2})), "linear_sizes", Head.linear_sizes)
    assert largest_share() > 1, "by its root mean square alone it would"


@pytest.mark.parametrize("name", LINEAR)
def test_every_fold_is_scikit_learns_ridge(name: str) -> None:
    keywords = LINEAR[name]

    def make() -> Head:
        return build_head(name.split()[0], BACKBONE, keywords)

    statistic, difference, weight, sources = statistic_for(make())
    form = LinearForm("identity", False, bool(keywords.get("bias")))
    fits = fit_exactly(make, ExactSettings(Squared(), form, None), statistic, difference, weight, sources, folds())
    assert [fit.part.index for fit in fits] == [0, 1, 2]
    for fit in fits:
        rows = np.sort([*fit.part.train, *fit.part.val])  # nothing else is to be selected: both train
        with torch.no_grad():
            inputs = fit.head.linear_inputs(statistic).double().numpy()
        own = weight.double().numpy()[rows] / weight.double().numpy()[rows].sum()
        sizes = naive_sizes(name, inputs[rows], fit.head)
        alpha = fit.choice.penalty * float(own @ ((inputs[rows] / sizes) ** 2).sum(axis=1))
        reference = Ridge(alpha=alpha, fit_intercept=form.bias, solver="svd")
        reference.fit(inputs[rows] / sizes, difference.double().numpy()[rows], sample_weight=own)
        expected = reference.predict(inputs[fit.part.test] / sizes)
        with torch.no_grad():
            found = fit.head(statistic[torch.from_numpy(fit.part.test)]).double().numpy()
        np.testing.assert_allclose(found, expected, atol=2e-5)
        assert not fit.head.training


def test_nonnegative_weights_and_votes() -> None:
    settings = exact_settings(
        typed(merged(EXACT, {"model.head": {"name": "concept_linear"}, "model.loss": "binomial"}))
    )  # nonnegative, sigmoid
    statistic, difference, weight, sources = statistic_for(build_head("concept_linear", BACKBONE, {}))
    fits = fit_exactly(
        lambda: build_head("concept_linear", BACKBONE, {}), settings, statistic, difference, weight, sources, folds()
    )
    for fit in fits:
        predicted = fit.head(statistic)
        assert (fit.head.weight >= 0).all() and (fit.head.weight > 0).any()  # type: ignore[operator]
        assert (predicted >= 0).all() and (predicted <= 1).all() and predicted.unique().numel() > 50


class TestWhichFit:
    def test_exact_where_it_can_be(self) -> None:
        for change in (
            {},
            {"model.head.weights": "nonnegative"},
            {"model.head.output": "clamp"},
            {"model.loss": {"name": "huber", "delta": 0.2}},
            {"model.loss": "binomial", "model.head.output": "sigmoid"},
            {"model.head": "concept_linear", "model.loss": "binomial"},
            {"trainer": {"accelerator": "cpu"}},
        ):
            assert fit_of(typed(merged(EXACT, change))) == "exact", change
        assert fit_of(typed(merged(EXACT, {"fit": "gradient"}))) == "gradient"

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"model.backbone.tuning": "lora"}, "model.backbone.tuning: frozen"),
            ({"model.head": {"name": "embedding_mlp"}}, "embedding_mlp is not linear; take lpips_linear"),
            ({"model.head.output": "sigmoid"}, "mse with the head's output: sigmoid; take"),
            ({"model.loss": "binomial"}, "binomial with the head's output: identity; take"),
            ({"model.loss": "ranking"}, "none for model.loss: ranking"),
            ({"data.augment": ["flip"]}, "remove it"),
            ({"trainer.gradient_clip_val": 1.0}, "trainer.gradient_clip_val"),
            ({"init_from": "runs/x"}, "remove init_from"),
            ({"model.name": "local_map"}, "global_regressor"),
        ],
    )
    def test_gradient_else_and_why(self, change: dict[str, Any], said: str) -> None:
        assert fit_of(typed(merged(EXACT, change))) == "gradient"
        with pytest.raises(UserError, match=r"fit: exact is not possible: .*or use fit: gradient") as caught:
            fit_of(typed(merged(EXACT, {**change, "fit": "exact"})))
        assert said in str(caught.value) and "\n" not in str(caught.value)

    def test_a_third_partys_head_says_so_itself(self) -> None:
        class Sum(Head):
            input_kind = "pooled_squared_differences"

            def __init__(self, backbone: Any) -> None:
                super().__init__()

        assert Sum.linear_form({}) is None
        with pytest.raises(NotImplementedError, match="not linear"):
            Sum(BACKBONE).linear_inputs(torch.zeros(1, 1))
        with pytest.raises(NotImplementedError, match="not linear"):
            Sum(BACKBONE).set_linear(torch.zeros(1), 0.0)
        for name in HEADS.names():
            keywords = {key: known.default for key, known in HEADS.get(name).keywords.items()}
            form = HEADS.get(name).factory.linear_form(keywords)  # type: ignore[attr-defined]
            assert (form is not None) == (name.startswith("lpips_linear") or name in ("concept_linear", "kernel"))

    def test_the_hash_of_a_run_knows(self) -> None:
        exact, gradient = run_hash(typed(EXACT), "d"), run_hash(typed(merged(EXACT, {"fit": "gradient"})), "d")
        assert exact != gradient
        assert run_hash(typed(merged(EXACT, {"penalty": 0.1})), "d") not in (exact, gradient)
        before = copy.deepcopy(EXACT)  # as configurations were before there was a choice
        before.pop("fit")
        trained = merged(before, {"model.head.output": "softplus"})
        assert run_hash(typed(trained), "d") == run_hash(typed(merged(trained, {"fit": "gradient"})), "d")


class TestBadInput:
    def fitted(self, difference: Tensor | None = None, statistic: Tensor | None = None, **more: Any) -> None:
        own, labels, weight, sources = problem(12)
        fit_exactly(
            lambda: build_head("lpips_linear", BACKBONE, {"depth": 2}),
            ExactSettings(Squared(), LinearForm("identity", False, False), more.get("penalty")),
            own if statistic is None else statistic,
            labels if difference is None else difference,
            weight,
            more.get("sources", sources),
            more.get("parts", folds()),
        )

    def says(self, text: str, **given: Any) -> None:
        with pytest.raises(UserError, match=text) as caught:
            self.fitted(**given)
        assert "\n" not in str(caught.value)

    def test_one_line_each(self) -> None:
        constant = torch.zeros(COUNT)
        constant[:4] = 1.0  # the photo that part 1 tests
        self.says(r"part 1: every training pair has the difference 0; use fewer folds", difference=constant)
        self.says(r"part 1: its training pairs are of one photo.*penalty: 0\.01", sources=["a"] * COUNT)
        self.fitted(sources=["a"] * COUNT, penalty=0.01)
        self.says(r"part 1: all training pairs look identical", statistic=torch.zeros(COUNT, 12))
        self.says(r"not finite; set trainer\.precision", statistic=torch.full((COUNT, 12), float("inf")))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"fit": "best"}, "fit is 'best'; choose exact or gradient"),
            ({"penalty": 0.0}, "penalty is 0; it must be a positive number"),
            ({"fit": "gradient", "penalty": 0.1}, "penalty is of exact fits"),
            ({"fit": "exact", "model.loss": "ranking"}, "fit: exact is not possible"),
        ],
    )
    def test_of_the_yaml(
        self, write_experiment: Write, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
    ) -> None:
        assert main(["run", str(write_experiment({"fit": None, **change})), "--check"]) == 2
        error = capsys.readouterr().err.strip()
        assert said in error and "\n" not in error


POOLED = {"name": "lpips_linear", "depth": 3, "pooling": ["mean", "max"], "compress": "sqrt"}


def test_a_run_from_the_yaml_to_its_scores(write_experiment: Write, capsys: pytest.CaptureFixture[str]) -> None:
    change = {"fit": None, "model.head": POOLED, "data.split": {"folds": 3}, "trainer": {"accelerator": "cpu"}}
    path = write_experiment(change)
    assert main(["run", str(path)]) == 0
    folder = only_run(path.parent / "runs")
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["fit"] == "exact, cached statistics" and len(facts["penalties"]) == 3
    assert "selected_epochs" not in facts
    assert all(note in capsys.readouterr().err for note in facts["penalty_notes"])
    assert any((folder / "events" / "part-0").iterdir())
    scorer, table = load_run(folder, 1), predictions(folder)
    assert table["predicted"].notna().all() and table["fold"].nunique() == 3
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert (scorer(images, images.clone()) == 0).all() and scorer(images, images.flip(3)).abs().min() > 0
        assert scorer.maps(scorer.describe(images), scorer.describe(images.flip(3))).shape == (2, 1, 16, 16)
    assert main(["run", str(path)]) == 0 and len(run_folders(path.parent / "runs")) == 1


def test_a_head_that_is_only_solved_for(write_experiment: Write) -> None:
    head = {"name": "kernel", "depth": 2}
    change = {"fit": None, "model.head": head, "data.split": {"folds": 3}, "trainer": {"accelerator": "cpu"}}
    path = write_experiment(change)
    assert main(["run", str(path)]) == 0
    folder = only_run(path.parent / "runs")
    table = predictions(folder)
    assert table["predicted"].nunique() > 20, "raw scores, not zeros"
    scorer = load_run(folder)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert (scorer(images, images.clone()) == 0).all() and scorer(images, images.flip(3)).abs().min() > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fit": "gradient"}, "the head kernel is solved for, it does not train: remove fit: gradient"),
        (
            {"model.backbone.tuning": "full"},
            "it does not train: the backbone trains; set model.backbone.tuning: frozen",
        ),
        ({"model.loss": "ranking"}, "it does not train: there is none for model.loss: ranking"),
    ],
)
def test_a_head_that_is_only_solved_for_refuses_other_fits(
    write_experiment: Write, capsys: pytest.CaptureFixture[str], change: dict[str, Any], says: str
) -> None:
    path = write_experiment({"fit": None, "model.head": "kernel", **change})
    assert main(["run", str(path)]) == 2
    assert says in capsys.readouterr().err


def test_no_seed_has_a_say(write_experiment: Write) -> None:
    path = write_experiment({"fit": "exact", "sweep": {"seed": [0, 1]}, "evaluation.bootstraps": 20})
    assert main(["ablate", str(path)]) == 0
    one, other = (predictions(folder)["predicted"] for folder in run_folders(path.parent / "runs"))
    np.testing.assert_array_equal(one, other)


def test_a_border_is_told_in_one_line() -> None:
    own, _, weight, sources = problem(12)
    labels = own[:, 0] / own[:, 0].max()  # an input itself, up to the last digit
    fits = fit_exactly(
        lambda: build_head("lpips_linear", BACKBONE, {"depth": 2}),
        ExactSettings(Squared(), LinearForm("identity", False, False), None),
        own,
        labels,
        weight,
        sources,
        folds(),
    )
    notes = border_notes(fits)
    assert len(notes) == 1 and notes[0].startswith("the smallest penalty tried, 1e-06, was best in part 1, 2, 3 of 3")


def test_repeats_stand_in_one_row_with_their_spread(
    write_experiment: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three draws of the folds: three runs and one row; a training-free metric is run once."""
    split = {"folds": 3, "repeats": 3}
    path = write_experiment({"fit": "exact", "data.split": split, "baselines": ["psnr"], "evaluation.bootstraps": 20})
    assert main(["ablate", str(path)]) == 0
    table = pd.read_csv(path.parent / "runs" / "t" / "results.csv").set_index("variant")
    assert table["seeds"].to_dict() == {"t": 3, "psnr": 1}
    tables = [predictions(f) for f in run_folders(path.parent / "runs") if "psnr" not in f.name]
    figures = [spearmanr(one["predicted"], one["difference"])[0] for one in tables]
    assert len(set(figures)) == 3 and all(one["pair_id"].equals(tables[0]["pair_id"]) for one in tables)
    assert table.loc["t", "srcc"] == pytest.approx(np.mean(figures))
    assert table.loc["t", "srcc_seed_std"] == pytest.approx(np.std(figures, ddof=1))
    assert "± runs: standard deviation over a variant's runs" in capsys.readouterr().out


class TestGradientAgainstExact:
    """One class of functions: free weights on correlated, heavy-tailed means of squared differences, no constant."""

    def objective(self, optimizer: dict[str, Any], scale: str) -> tuple[float, float]:
        """Mean squared error over the training pairs, by gradient and at the optimum."""
        rng, count = np.random.default_rng(0), 320
        statistic = np.exp(rng.standard_normal((count, 3))) @ rng.random((3, 48)) + np.exp(
            1.5 * rng.standard_normal((count, 48))
        )
        signed = (
            statistic[:, :12].mean(axis=1) - 0.5 * statistic[:, 20:30].mean(axis=1) + statistic[:, 32:].mean(axis=1)
        )
        labels = np.clip(signed / 12 + 0.05 * rng.standard_normal(count), 0, 1)
        # stages differ by orders of magnitude, as they do in trained networks
        values = torch.from_numpy(statistic * np.repeat([1e-2, 1.0, 30.0], 16)).float()
        difference, rows = torch.from_numpy(labels).float(), np.arange(count)
        backbone = SimpleNamespace(channels=(16, 16, 16), strides=(2, 4, 8), block_channels=(), embed_dim=4)
        settings = FitSettings(optimizer, epochs=50, batch_size=32, seed=0, monitor="last", patience=None)
        (result,) = fit_heads(
            lambda: build_head("lpips_linear", backbone, {"depth": 2, "scale": scale}),
            SquaredError(),
            values,
            difference,
            torch.ones(count),
            [Part(0, rows, rows[:0], rows[:0])],
            settings,
        )
        with torch.no_grad():
            reached = float((result.head(values).double() - difference.double()).square().mean())
        best = np.linalg.lstsq(statistic, labels, rcond=None)[0]
        return reached, float(np.square(statistic @ best - labels).mean())

    def test_adam_comes_within_one_percent(self) -> None:
        """Of scaled inputs, with a learning rate that lets weights of size 1 change sign and falls to 0 in the end."""
        reached, best = self.objective({"name": "adam", "lr": 0.3, "schedule": "cosine"}, "train")
        assert best <= reached <= 1.01 * best

    def test_what_kept_it_from_there(self) -> None:
        """Each alone is enough: inputs of different sizes; a learning rate of 1e-4; one of 1e-2 without scaling."""
        for optimizer, scale in (
            ({"name": "adam", "lr": 0.3, "schedule": "cosine"}, "none"),
            ({"name": "adam", "lr": 1e-4}, "train"),
            ({"name": "adam", "lr": 1e-2}, "none"),
        ):
            reached, best = self.objective(optimizer, scale)
            assert reached > 1.5 * best, (optimizer, scale)


STILL = {"name": "adam", "lr": 1e-12}  # a training that leaves what it starts from


class TestStart:
    def run(self, write_experiment: Write, changes: dict[str, Any]) -> pd.DataFrame:
        same = {"data.split": {"folds": 2, "val": 0}, "evaluation.bootstraps": 20, "trainer.max_epochs": 1}
        path = write_experiment({**same, "model.optimizer": STILL, **changes}, f"{len(changes)}.yaml")
        assert main(["run", str(path), f"output={path.parent / path.stem}"]) == 0
        return predictions(only_run(path.parent / path.stem))

    def test_of_cached_statistics_and_through_images(self, write_experiment: Write) -> None:
        """A training that stands still ends where the exact fit is; LoRA's first features are the frozen ones."""
        exact = self.run(write_experiment, {"fit": "exact"})
        cached = self.run(write_experiment, {"fit": "gradient", "start": "exact"})
        np.testing.assert_allclose(cached["predicted"], exact["predicted"], atol=1e-4)
        lora = {"model.backbone.tuning": "lora", "model.backbone.lora_rank": 2}
        images = self.run(write_experiment, {"fit": None, "start": "exact", **lora})
        np.testing.assert_allclose(images["predicted"], exact["predicted"], atol=1e-4)
        elsewhere = self.run(write_experiment, {"fit": None, "start": "random", **lora, "seed": 1})
        assert np.abs(elsewhere["predicted"] - exact["predicted"]).max() > 0.01

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"start": "warm"}, "start is 'warm'; choose exact or random"),
            ({"model.loss": "ranking"}, "none for model.loss: ranking"),
            ({"model.head": {"name": "embedding_mlp"}}, "embedding_mlp is not linear"),
            ({"init_from": "runs/x"}, "remove init_from"),
        ],
    )
    def test_of_what_it_cannot_be(self, change: dict[str, Any], said: str) -> None:
        config = merged(EXACT, {"fit": "gradient", "start": "exact", **change})
        with pytest.raises(UserError, match="start") as caught:
            starts_exactly(typed(config))
        assert said in str(caught.value) and "\n" not in str(caught.value)

    def test_it_counts_where_it_is_used(self) -> None:
        gradient = merged(EXACT, {"fit": "gradient"})
        assert run_hash(typed(merged(gradient, {"start": "exact"})), "d") != run_hash(typed(gradient), "d")
        assert run_hash(typed(merged(gradient, {"start": "random"})), "d") == run_hash(typed(gradient), "d")
        assert run_hash(typed(merged(EXACT, {"start": "exact"})), "d") == run_hash(typed(EXACT), "d")
        assert not starts_exactly(typed(merged(EXACT, {"start": "exact"}))) and starts_exactly(
            typed(merged(gradient, {"start": "exact"}))
        )
