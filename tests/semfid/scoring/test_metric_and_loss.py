"""`SemanticDifference` and `SemanticDifferenceLoss` against the trained module by hand."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import torch.distributed as dist
from scoring_support import Runs, ToyScorer, regressor
from torchmetrics import MetricCollection

from semfid import SemanticDifference, SemanticDifferenceLoss, UserError
from semfid.scoring.scorer import Scorer

PAIRS = 7


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return torch.rand(PAIRS, 3, 40, 56, generator=draw), torch.rand(PAIRS, 3, 40, 56, generator=draw)


@pytest.fixture(scope="module")
def truth(runs: Runs, pairs: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    """The run's module, pair by pair, in float64 means."""
    module, (x, y) = regressor(runs, "linear"), pairs
    with torch.no_grad():
        values = [float(module(x[i : i + 1], y[i : i + 1])) for i in range(PAIRS)]
    assert np.std(values) > 1e-3
    return np.array(values)


class TestMetric:
    def test_mean_over_uneven_batches(self, linear_scorer: Scorer, pairs: Any, truth: np.ndarray) -> None:
        metric = SemanticDifference(linear_scorer)
        x, y = pairs
        for part in (slice(0, 4), slice(4, 5), slice(5, 7)):
            batch = metric(x[part], y[part])
            assert float(batch) == pytest.approx(truth[part].mean(), abs=1e-5)
        assert float(metric.compute()) == pytest.approx(truth.mean(), abs=1e-5)
        assert metric.compute().dtype == torch.float32 and metric.compute().shape == ()
        metric.reset()
        metric.update(x[:1], y[:1])
        assert float(metric.compute()) == pytest.approx(truth[0], abs=1e-5)

    def test_one_value_per_pair(self, linear_scorer: Scorer, pairs: Any, truth: np.ndarray) -> None:
        metric = SemanticDifference(linear_scorer, reduction="none")
        x, y = pairs
        for part in (slice(0, 4), slice(4, 7)):
            metric.update(x[part], y[part])
        np.testing.assert_allclose(metric.compute(), truth, atol=1e-5)
        metric.reset()
        np.testing.assert_allclose(metric(x[2:3], y[2:3]), truth[2:3], atol=1e-5)

    def test_from_a_file_and_from_a_run(self, runs: Runs, exported: Path, pairs: Any, truth: np.ndarray) -> None:
        for place in (str(exported), runs["linear"]):
            metric = SemanticDifference(place)
            metric.update(*pairs)
            assert float(metric.compute()) == pytest.approx(truth.mean(), abs=1e-5)
        with pytest.raises(UserError, match="no file or folder"):
            SemanticDifference("gone.pt2")

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
    def test_images_of_any_precision(self, linear_scorer: Scorer, pairs: Any, truth: np.ndarray, kind: Any) -> None:
        metric = SemanticDifference(linear_scorer)
        metric.update(*(images.to(kind) for images in pairs))
        assert metric.compute().dtype == torch.float32
        assert float(metric.compute()) == pytest.approx(truth.mean(), abs=2e-2 if kind is torch.bfloat16 else 2e-3)
        rounded = SemanticDifference(linear_scorer)
        rounded.update(*(images.to(kind).float() for images in pairs))
        assert float(metric.compute()) == float(rounded.compute()), "only the pixels are rounded"

    def test_autocast_of_the_caller_changes_nothing(self, linear_scorer: Scorer, pairs: Any, truth: np.ndarray) -> None:
        metric = SemanticDifference(linear_scorer, reduction="none")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            metric.update(*pairs)
        assert metric.compute().dtype == torch.float32
        np.testing.assert_allclose(metric.compute(), truth, atol=1e-5)

    @pytest.mark.parametrize("reduction", ["mean", "none"])
    def test_gradients_pass_through_forward(
        self, runs: Runs, linear_scorer: Scorer, pairs: Any, reduction: Any
    ) -> None:
        x, y = pairs[0], pairs[1].clone().requires_grad_()
        expected = torch.autograd.grad(regressor(runs, "linear")(x, y).mean(), y)[0]
        metric = SemanticDifference(linear_scorer, reduction)
        got = torch.autograd.grad(metric(x, y).mean(), y)[0]
        assert expected.abs().max() > 1e-5
        torch.testing.assert_close(got, expected, atol=1e-7, rtol=1e-4)
        held = [metric.total, metric.count] if reduction == "mean" else metric.values
        assert not any(state.requires_grad for state in held), "the graphs of all batches would be held"
        metric.update(x, y)
        held = [metric.total] if reduction == "mean" else metric.values
        assert not any(state.requires_grad for state in held)

    def test_copies_and_pickles(self, exported_scorer: Scorer, pairs: Any, truth: np.ndarray) -> None:
        metric = SemanticDifference(exported_scorer)
        metric.update(pairs[0][:3], pairs[1][:3])
        for made in (metric.clone(), copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
            made.update(pairs[0][3:], pairs[1][3:])
            assert float(made.compute()) == pytest.approx(truth.mean(), abs=1e-5)
            assert made.state_dict() == {}
        assert float(metric.compute()) == pytest.approx(truth[:3].mean(), abs=1e-5)

    def test_in_a_collection(self, runs: Runs, linear_scorer: Scorer, pairs: Any, truth: np.ndarray) -> None:
        """Two scorers that agree on the first batch are still two."""
        toy = ToyScorer()
        collection = MetricCollection(
            {
                "a": SemanticDifference(linear_scorer),
                "b": SemanticDifference(toy),
                "c": SemanticDifference(linear_scorer),
            }
        )
        x, y = pairs
        collection.update(x[:2], x[:2])  # identical images: 0 by every scorer
        collection.update(x, y)
        values = collection.compute()
        assert float(values["a"]) == pytest.approx(truth.sum() / 9, abs=1e-5)
        assert float(values["c"]) == float(values["a"])
        with torch.no_grad():
            assert float(values["b"]) == pytest.approx(float(ToyScorer()(x, y).sum()) / 9, abs=1e-6)
        assert abs(float(values["a"]) - float(values["b"])) > 1e-2
        cloned = collection.clone(prefix="val_")
        assert set(cloned.compute()) == {"val_a", "val_b", "val_c"}

    def test_refusals(self, linear_scorer: Scorer, pairs: Any) -> None:
        metric = SemanticDifference(linear_scorer)
        x, y = pairs
        nan = y.clone()
        nan[2, 1, 3, 4] = float("nan")
        for bad, says in ((nan, "candidate has pixels that are not finite"), (y[:3], "give equal shapes")):
            with pytest.raises(UserError, match=says):
                metric.update(x, bad)
        assert float(metric.count) == 0, "a refused batch must not count"
        with pytest.raises(ValueError, match="reduction is 'sum'"):
            SemanticDifference(linear_scorer, reduction="sum")  # type: ignore[arg-type]


def _on_two(rank: int, store: str, scorer: Scorer, pairs: Any, answers: Any) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    x, y = pairs
    found = {}
    for name, shares in {
        "uneven": ([slice(0, 3), slice(3, 5)], [slice(5, 7)]),
        "one has none": ([slice(0, 4), slice(4, 7)], []),
    }.items():
        metric = SemanticDifference(scorer)
        for part in shares[rank]:
            metric.update(x[part], y[part])
        found[name] = float(metric.compute())
    values = SemanticDifference(scorer, reduction="none")
    for part in ([slice(0, 3), slice(3, 5)], [slice(5, 7)])[rank]:
        values.update(x[part], y[part])
    found["values"] = values.compute().tolist()
    answers.put((rank, found))
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_give_the_value_of_one(
    linear_scorer: Scorer, pairs: Any, truth: np.ndarray, tmp_path: Path
) -> None:
    alone = SemanticDifference(linear_scorer)
    alone.update(*pairs)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    arguments = (str(tmp_path / "store"), linear_scorer, pairs, answers)
    processes = [context.Process(target=_on_two, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=600) for _ in processes]
    for process in processes:
        process.join(timeout=600)
    for _, values in found:
        for name in ("uneven", "one has none"):
            assert values[name] == pytest.approx(float(alone.compute()), abs=1e-6)
            assert values[name] == pytest.approx(truth.mean(), abs=1e-5)
        np.testing.assert_allclose(values["values"], truth, atol=1e-5)


class Host(L.LightningModule):
    """What trains a super-resolution network."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.net = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.loss = SemanticDifferenceLoss(scorer)
        self.metric = SemanticDifference(scorer)


@pytest.mark.parametrize("which", ["linear_scorer", "exported_scorer"])
def test_a_host_keeps_the_scorer_out_of_its_checkpoints(which: str, request: pytest.FixtureRequest) -> None:
    host = Host(request.getfixturevalue(which))
    state = host.state_dict()
    assert set(state) == {"net.weight", "net.bias"}
    other = Host(request.getfixturevalue(which))
    other.load_state_dict(state)  # strict
    assert torch.equal(other.net.weight, host.net.weight)
    with pytest.raises(RuntimeError, match="surprise"):
        other.load_state_dict({**state, "surprise": torch.zeros(1)})
    with pytest.raises(RuntimeError, match=r"net\.bias"):
        other.load_state_dict({"net.weight": state["net.weight"]})
    host.train()
    assert host.net.training and host.loss.training
    for held in (host.loss, host.metric):
        assert not any(module.training for module in held.scorer.modules())
    trained = {name for name, parameter in host.named_parameters() if parameter.requires_grad}
    assert trained == {"net.weight", "net.bias"}
    assert set(pickle.loads(pickle.dumps(host)).state_dict()) == set(state)


class TestLoss:
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize("which", ["linear_scorer", "exported_scorer"])
    def test_value_and_gradient_of_the_naive_way(
        self, runs: Runs, pairs: Any, which: str, reduction: Any, request: pytest.FixtureRequest
    ) -> None:
        module, x = regressor(runs, "linear"), pairs[0].clone().requires_grad_()
        y = pairs[1].clone().requires_grad_()
        naive = module(pairs[0], y)
        naive = naive if reduction == "none" else getattr(naive, reduction)()
        weights = torch.linspace(1, 2, PAIRS) if reduction == "none" else torch.ones(())
        expected = torch.autograd.grad((naive * weights).sum(), y)[0]
        loss = SemanticDifferenceLoss(request.getfixturevalue(which), reduction)
        value = loss(x, y)
        assert value.shape == naive.shape
        torch.testing.assert_close(value, naive, atol=1e-5, rtol=0)
        (value * weights).sum().backward()
        assert expected.abs().max() > 1e-5
        torch.testing.assert_close(y.grad, expected, atol=1e-6, rtol=1e-4)
        assert x.grad is None, "the reference is given"
        assert all(parameter.grad is None for parameter in loss.parameters())

    def test_references_are_described_without_a_graph(self, linear_scorer: Scorer, pairs: Any) -> None:
        class Watching(ToyScorer):
            graphs: list[bool]

            def describe(self, images: torch.Tensor) -> Any:
                described = super().describe(images)
                self.graphs = [*getattr(self, "graphs", []), described[0].requires_grad]
                return described

        watching = Watching()
        x, y = (images.clone().requires_grad_() for images in pairs)
        SemanticDifferenceLoss(watching)(x, y).backward()
        assert watching.graphs == [False, True]
        saved: dict[bool, int] = {}
        for graph in (False, True):  # what is kept for the way back, with and without a graph of the reference
            sizes: list[int] = []
            with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: (s.append(t.numel()), t)[1], lambda t: t):
                if graph:
                    linear_scorer(x, y)
                else:
                    SemanticDifferenceLoss(linear_scorer)(x, y)
            saved[graph] = sum(sizes)
        assert saved[False] < 0.7 * saved[True]

    @pytest.mark.parametrize("name", ["linear", "unit", "embedding", "pooled", "cosine"])
    def test_gradients_are_finite_at_identical_images(self, runs: Runs, pairs: Any, name: str) -> None:
        loss = SemanticDifferenceLoss(runs[name])
        for x in (pairs[0][:2], torch.zeros(1, 3, 40, 56), torch.ones(1, 3, 40, 56)):
            y = x.clone().requires_grad_()
            value = loss(x, y)
            value.backward()
            assert float(value.detach()) == 0.0 and y.grad is not None and bool(y.grad.isfinite().all())

    def test_descent_on_the_candidate_lowers_it(self, runs: Runs, pairs: Any) -> None:
        """The run with non-negative weights: 0 is its minimum."""
        loss = SemanticDifferenceLoss(runs["unit"])
        x, y = pairs[0][:2], pairs[1][:2].clone().requires_grad_()
        values = []
        optimizer = torch.optim.Adam([y], lr=0.02)
        for _ in range(12):
            optimizer.zero_grad()
            value = loss(x, y.clamp(0, 1))
            value.backward()
            optimizer.step()
            values.append(float(value.detach()))
        assert values[-1] < 0.9 * values[0], values

    def test_hosts_in_half_precision(self, linear_scorer: Scorer, pairs: Any) -> None:
        loss = SemanticDifferenceLoss(copy.deepcopy(linear_scorer), "none")
        expected = loss(*pairs)
        y = pairs[1].to(torch.bfloat16).requires_grad_()
        value = loss.to(torch.bfloat16)(pairs[0].to(torch.bfloat16), y)
        value.sum().backward()
        assert value.dtype == torch.float32 and y.grad is not None and y.grad.dtype == torch.bfloat16
        torch.testing.assert_close(value, expected, atol=3e-2, rtol=0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(*pairs)
        assert value.dtype == torch.float32 and value.unique().numel() == PAIRS
        torch.testing.assert_close(value, expected, atol=3e-2, rtol=0)

    def test_checks_can_be_left_out(self, pairs: Any) -> None:
        x, y = pairs
        wide = y * 1.5 - 0.2
        with pytest.raises(UserError, match=r"candidate has values in \[-0.2.*give RGB in \[0, 1\]"):
            SemanticDifferenceLoss(ToyScorer())(x, wide)
        with pytest.raises(UserError, match="reference has pixels that are not finite"):
            SemanticDifferenceLoss(ToyScorer())(x * float("nan"), y)
        value = SemanticDifferenceLoss(ToyScorer(), check=False)(x, wide)
        assert float(value) == pytest.approx(float(ToyScorer()(x, wide).mean()), abs=1e-6)
        with pytest.raises(ValueError, match="reduction is 'median'"):
            SemanticDifferenceLoss(ToyScorer(), "median")  # type: ignore[arg-type]
