"""Metrics of the default kind against timm and numpy, and their files."""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from default_metric_support import BANDS, TAPS, heads, spec, timm_network, timm_taps

import semfid.scoring.default_metric as module
import semfid.scoring.efficientnet_lite as lite
from semfid.errors import UserError
from semfid.scoring.default_metric import (
    DefaultMetric,
    Differences,
    Spec,
    Statistic,
    load_default_metric,
    load_metric_file,
)
from semfid.scoring.efficientnet_lite import RUNS, Run
from semfid.scoring.predictors import ExpertsMap, ExpertsPredictor, LinearMap, LinearPredictor, saturated


@pytest.fixture(scope="module")
def network() -> Any:
    return timm_network()


@pytest.fixture(scope="module")
def metric(network: Any) -> DefaultMetric:
    return DefaultMetric(spec(), network.state_dict(), *heads(), "abc")


@pytest.fixture(scope="module")
def packaged() -> DefaultMetric:
    return load_default_metric()


def images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth, so that pairs of them differ as photos do."""
    small = torch.rand(count, 3, height // 6 + 2, width // 6 + 2, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, (height, width), mode="bicubic", align_corners=False).clamp(0, 1)


def root(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(values + 1e-10) - 1e-5)


def naive_statistic(network: Any, x: torch.Tensor, y: torch.Tensor, unit: bool = False) -> np.ndarray:
    """Square roots of mean and maximum of the squared differences, pair by pair, with timm and numpy."""
    rows = []
    for a, b in zip(x, y, strict=True):
        p, q = timm_taps(network, a[None]), timm_taps(network, b[None])
        pooled: dict[str, list[np.ndarray]] = {"mean": [], "max": []}
        for tap in TAPS:
            u, v = p[tap][0].double().numpy(), q[tap][0].double().numpy()
            if unit:
                u, v = (side / np.sqrt((side**2).sum(axis=0) + 1e-10) for side in (u, v))
            square = (u - v) ** 2
            pooled["mean"].append(square.mean(axis=(1, 2)))
            pooled["max"].append(square.max(axis=(1, 2)))
        rows.append(np.concatenate([root(np.concatenate(pooled[name])) for name in ("mean", "max")]))
    return np.stack(rows)


def test_scores_are_those_of_timm_and_numpy(network: Any, metric: DefaultMetric) -> None:
    x = images(3, 70, 101)
    y = torch.lerp(x, images(3, 70, 101, 1), torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1, 1))
    statistic = naive_statistic(network, x, y)
    raw = statistic @ (metric.predictor.weight / metric.predictor.scale).double().numpy()
    assert raw.min() > 0.02 and raw.max() < 0.8 and raw.std() > 0.05
    np.testing.assert_allclose(metric(x, y), raw, atol=1e-5)
    found = metric.statistic(metric.describe(x), metric.describe(y))
    np.testing.assert_allclose(found, statistic, atol=1e-4, rtol=1e-4)


def test_statistics_stand_side_by_side(network: Any) -> None:
    groups = (
        Statistic(taps=TAPS),
        Statistic(taps=TAPS, normalize="unit"),
        Statistic(taps=("blocks.1",), poolings=("top:0.5",)),
    )
    columns = 4 * 120 + 24
    predictor = LinearPredictor(torch.ones(columns), torch.full((columns,), 1e4))
    made = DefaultMetric(
        spec(statistics=groups, map_input=None, map_head=None), network.state_dict(), predictor, None, "x"
    )
    x, y = images(1, 64, 48), images(1, 64, 48, 1)
    found = made.statistic(made.describe(x), made.describe(y)).numpy()
    assert found.shape == (1, columns)
    np.testing.assert_allclose(found[:, :240], naive_statistic(network, x, y), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found[:, 240:480], naive_statistic(network, x, y, unit=True), atol=1e-4)
    square = (timm_taps(network, x)["blocks.1"] - timm_taps(network, y)["blocks.1"]).square().flatten(2)[0].numpy()
    top = np.sort(square, axis=1)[:, square.shape[1] // 2 :].mean(axis=1)
    np.testing.assert_allclose(found[0, 480:], root(top), atol=1e-4, rtol=1e-4)
    assert not made.facts.gives_maps
    with pytest.raises(NotImplementedError, match="gives no maps"):
        made.maps(made.describe(x), made.describe(y))


def test_what_the_candidate_gained_and_lost(network: Any) -> None:
    groups = tuple(Statistic(taps=TAPS, poolings=("mean",), sides=sides) for sides in ("gained", "lost", "both"))
    predictor = LinearPredictor(torch.ones(360), torch.full((360,), 1e4))
    made = DefaultMetric(
        spec(statistics=groups, map_input=None, map_head=None), network.state_dict(), predictor, None, "x"
    )
    x, y = images(1, 64, 48), images(1, 64, 48, 1)
    found = made.statistic(made.describe(x), made.describe(y))[0]
    p, q = timm_taps(network, x), timm_taps(network, y)
    apart = [(q[tap] - p[tap])[0].flatten(1).numpy() for tap in TAPS]
    for start, sides in ((0, [d.clip(min=0) for d in apart]), (120, [d.clip(max=0) for d in apart]), (240, apart)):
        expected = root(np.concatenate([(side**2).mean(axis=1) for side in sides]))
        np.testing.assert_allclose(found[start : start + 120], expected, atol=1e-4, rtol=1e-4)
    back = made.statistic(made.describe(y), made.describe(x))[0]
    torch.testing.assert_close(back[:120], found[120:240], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(64, 64), (80, 120), (40, 33)])
def test_a_map_of_a_squashed_view_whose_peak_enters_the_score(network: Any, size: tuple[int, int]) -> None:
    """The view takes taps that the statistics do not, and the other way round."""
    shallow = ("blocks.0", "blocks.1")
    given = spec(statistics=(Statistic(taps=TAPS[1:]),), map_input=Differences(taps=shallow), map_view=64, peak=True)
    assert (given.taps(), given.native_taps(), given.view_taps()) == (TAPS, TAPS[1:], shallow)
    weight = torch.linspace(0, 0.002, 209)
    map_head = LinearMap(torch.linspace(0, 0.02, 40), torch.ones(40))
    made = DefaultMetric(given, network.state_dict(), LinearPredictor(weight, torch.ones(209)), map_head, "x")
    x, y = images(2, *size), images(2, *size, 1)
    views = [
        F.interpolate(side, (64, 64), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        for side in (x, y)
    ]
    p, q = (timm_taps(network, view) for view in views)
    raw = torch.zeros(2, 1, 32, 32)
    for tap, own in zip(shallow, map_head.weight.split([16, 24]), strict=True):
        roots = ((p[tap] - q[tap]).square() + 1e-10).sqrt() - 1e-5
        raw += F.interpolate((roots * own[:, None, None]).sum(1, keepdim=True), (32, 32), mode="bilinear")
    assert 0 < float(raw.max()) < 0.8
    with torch.no_grad():
        score, maps = made.compare_with_maps(made.describe(x), made.describe(y))
        torch.testing.assert_close(maps, raw, atol=1e-5, rtol=0)
        own = torch.from_numpy(naive_statistic(network, x, y)).float().unflatten(1, (2, 120))[:, :, 16:].flatten(1)
        expected = own @ weight[:208] + raw.amax(dim=(1, 2, 3)) * weight[208]
        assert 0 < float(expected.min()) < float(expected.max()) < 0.8
        torch.testing.assert_close(score, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(made(x, y), score, atol=1e-6, rtol=0)
        assert not made(x, x).any()


def test_maps_of_two_experts_mix_by_the_share_of_each(network: Any) -> None:
    """Score and share are of the statistics and of the first map's peak; the second map takes the first expert's share."""
    tap = "blocks.1"
    draw = torch.Generator().manual_seed(3)
    kernel = {
        "support": torch.rand(3, 24, generator=draw),
        "coefficients": torch.tensor([0.4, -0.1, 0.3]),
        "scale": torch.ones(24),
        "widths": torch.tensor([24]),
        "gamma": torch.tensor([0.5]),
    }
    gate = {"gate": torch.linspace(-1, 1, 24), "offset": torch.tensor(0.1), "slope": torch.tensor(3.0)}
    local = {
        "first": torch.rand(4, 24, generator=draw),
        "first_bias": torch.rand(4, generator=draw),
        "second": torch.rand(2, 4, generator=draw),
        "second_bias": torch.rand(2, generator=draw),
        "last": torch.rand(2, generator=draw) * 0.1,
        "strides": torch.tensor([4]),
        "stride": torch.tensor(4),
    }
    head = ExpertsMap(**local, restored=torch.full((24,), 0.02), power=torch.tensor(1.5))
    given = spec(
        statistics=(Statistic(taps=(tap,), poolings=("mean",)),),
        predictor="experts",
        map_input=Differences(taps=(tap,)),
        map_head="experts",
        map_view=64,
        peak=True,
    )
    made = DefaultMetric(given, network.state_dict(), ExpertsPredictor(**kernel, **gate), head, "x")
    x, y = images(2, 64, 64), images(2, 64, 64, 1)
    with torch.no_grad():
        score, maps = made.compare_with_maps(made.describe(x), made.describe(y))
        p, q = timm_taps(network, x)[tap], timm_taps(network, y)[tap]
        both = head([(p - q).square()], "sqrt", 0.8)
        statistic = made.statistic(made.describe(x), made.describe(y))
        share = torch.sigmoid(3.0 * (statistic @ gate["gate"] + 0.1)).view(-1, 1, 1, 1)
        torch.testing.assert_close(maps, share * both[:, 1:] + (1 - share) * both[:, :1], atol=1e-4, rtol=1e-4)
        assert float((both[:, 1:] - both[:, :1]).abs().min()) > 1e-3 and float(share.min()) > 0.05
        peak = both[:, 0].flatten(1).amax(dim=1, keepdim=True)
        raw = made.predictor(torch.cat([statistic, peak], dim=1))
        torch.testing.assert_close(score, saturated(raw, 0.8), atol=1e-5, rtol=0)
        torch.testing.assert_close(made(x, y), score, atol=1e-6, rtol=0)
        assert not made(x, x).any() and not made.maps(made.describe(x), made.describe(x)).any()


def test_maps_are_those_of_timm_and_torch(network: Any, metric: DefaultMetric) -> None:
    x, y = images(2, 64, 90), images(2, 64, 90, 1)
    p, q = timm_taps(network, x), timm_taps(network, y)
    assert metric.map_head is not None
    weights = (metric.map_head.weight / metric.map_head.scale).split([16, 24, 80])
    raw = torch.zeros(2, 1, 32, 45)
    for tap, weight in zip(TAPS, weights, strict=True):
        own = ((p[tap] - q[tap]).square() + 1e-10).sqrt() - 1e-5
        raw += F.interpolate((own * weight[:, None, None]).sum(1, keepdim=True), (32, 45), mode="bilinear")
    assert 0 < float(raw.max()) < 0.8 and float(raw.std()) > 0.01
    score, found = metric.score_and_map(x, y)
    assert found is not None and found.shape == (2, 1, 64, 90)
    torch.testing.assert_close(found, F.interpolate(raw, (64, 90), mode="bilinear"), atol=1e-5, rtol=0)
    torch.testing.assert_close(score, metric(x, y), atol=1e-6, rtol=0)


@pytest.mark.parametrize("which", ["metric", "packaged"])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (120, 170)])
def test_identical_images_give_exactly_0_and_batches_change_nothing(
    which: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    scorer = request.getfixturevalue(which)
    x, y = images(3, *size), images(3, *size, 1)
    with torch.no_grad():
        for same in (x[:2], y[:1], torch.zeros_like(x[:1]), torch.ones_like(x[:1])):
            score, maps = scorer.score_and_map(same, same.clone())
            assert not score.any() and maps is not None and not maps.any()
        together = scorer(x, y)
        alone = torch.cat([scorer(x[i : i + 1], y[i : i + 1]) for i in range(3)])
        pair = scorer(x[1:], y[1:])
    assert bool(together.isfinite().all()) and bool((together >= 0).all()) and bool((together <= 1).all())
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
    torch.testing.assert_close(pair, together[1:], atol=1e-5, rtol=0)


def test_tiles_change_nothing(metric: DefaultMetric, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images(1, 250, 333), images(1, 250, 333, 1)
    with torch.no_grad():
        whole = metric.score_and_map(x, y)
        small = tuple(Run(run.count, run.reach, tile) for run, tile in zip(RUNS, (64, 16, 8, 8, 4), strict=True))
        monkeypatch.setattr(lite, "RUNS", small)
        tiled = metric.score_and_map(x, y)
    assert float(whole[0]) > 0.05 and whole[1] is not None and tiled[1] is not None
    torch.testing.assert_close(tiled[0], whole[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(tiled[1], whole[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("which", ["metric", "packaged"])
def test_gradients(which: str, request: pytest.FixtureRequest) -> None:
    scorer = request.getfixturevalue(which)
    x = images(2, 64, 64)
    for y in (x.clone(), torch.zeros_like(x), images(2, 64, 64, 1)):
        y.requires_grad_()
        scorer(x, y).sum().backward()
        assert y.grad is not None and bool(y.grad.isfinite().all())
    assert all(parameter.grad is None for parameter in scorer.parameters())


def test_gradient_is_that_of_the_naive_way(network: Any, metric: DefaultMetric) -> None:
    """By finite differences along one direction, in float64."""
    x, y = images(1, 48, 48), images(1, 48, 48, 1).requires_grad_()
    gradient = torch.autograd.grad(metric(x, y).sum(), y)[0]
    direction = gradient / gradient.norm()
    double, step = copy.deepcopy(network).double(), 1e-3
    weight = (metric.predictor.weight / metric.predictor.scale).double().numpy()

    def at(shift: float) -> float:
        moved = y.detach().double() + shift * direction.double()
        return float(naive_statistic(double, x.double(), moved)[0] @ weight)

    assert float((gradient * direction).sum()) == pytest.approx((at(step) - at(-step)) / (2 * step), rel=0.02)


def test_copies_pickles_and_hosts_in_half_precision(metric: DefaultMetric) -> None:
    x, y = images(2, 40, 56), images(2, 40, 56, 1)
    expected = metric(x, y)
    for made in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert torch.equal(made(x, y), expected) and made.facts == metric.facts and made.spec == metric.spec
        host = torch.nn.ModuleDict({"own": torch.nn.Linear(2, 2), "scorer": made}).half()
        assert host["own"].weight.dtype == torch.float16 and torch.equal(made(x, y), expected)


def test_words(metric: DefaultMetric) -> None:
    assert [metric.word(value) for value in (0.0, 0.19, 0.2, 0.5999, 0.6, 1.0)] == [
        *("same", "same", "details differ", "details differ", "something else", "something else")
    ]


def test_a_spec_reads_back() -> None:
    given = spec(figures={"srcc": 0.8}, card={"data": ["a", "b"]}, statistics=(Statistic(taps=TAPS, normalize="unit"),))
    assert Spec.from_json(given.to_json()) == given and given.taps() == TAPS
    assert replace(given, map_input=Differences(taps=("stem", "blocks.5"))).taps() == ("stem", *TAPS, "blocks.5")
    none = replace(given, map_input=None, map_head=None)
    assert Spec.from_json(none.to_json()) == none
    newer = json.dumps({**json.loads(given.to_json()), "format": 2})
    with pytest.raises(UserError, match="its format is 2, this semfid reads 1; update semfid"):
        Spec.from_json(newer)


def test_the_metric_of_the_package(packaged: DefaultMetric) -> None:
    assert packaged.facts.gives_maps and packaged.facts.resize == "none" and len(packaged.facts.weights_hash) == 16
    assert packaged.word(0.0) == packaged.spec.bands[0][1] and len(packaged.spec.bands) >= 3
    assert not any(parameter.requires_grad for parameter in packaged.parameters()) and not packaged.training
    x = images(1, 96, 96)
    y = x.clone()
    y[:, :, 30:66, 30:66] = images(1, 36, 36, 5)
    noisy = (x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    with torch.no_grad():
        (changed,), maps = packaged.score_and_map(x, y)
        assert float(changed) > float(packaged(x, noisy)), "another object against faint noise"
    assert maps is not None
    inside = maps[0, 0, 30:66, 30:66]
    outside = (maps.sum() - inside.sum()) / (96 * 96 - 36 * 36)
    assert float(inside.mean()) > 2 * float(outside)


def test_a_damaged_metric_of_the_package_is_named_by_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semfid.scoring.weights import FILE, SHA256

    monkeypatch.setattr(module, "PACKAGED", tmp_path)
    with pytest.raises(
        UserError, match=r"cannot be read \(No such file or directory\); install semfid again: pip install"
    ):
        load_default_metric()
    content = bytearray((Path(module.__file__).parent / "weights" / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(
        UserError, match=rf"is damaged: its SHA-256 is [0-9a-f]{{64}}, not {SHA256}; install semfid again"
    ):
        load_default_metric()


@pytest.fixture(scope="module")
def file(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from engine.default_metric_file import save_default_metric

    path = tmp_path_factory.mktemp("metric") / "metric.pt"
    save_default_metric(path, network.state_dict(), *heads(), spec())
    return path


def test_another_file(file: Path, metric: DefaultMetric) -> None:
    made = load_metric_file(file)
    x, y = images(2, 64, 80), images(2, 64, 80, 1)
    torch.testing.assert_close(made(x, y), metric(x, y), atol=1e-6, rtol=0)
    torch.testing.assert_close(made.score_and_map(x, y)[1], metric.score_and_map(x, y)[1], atol=1e-6, rtol=0)
    assert made.spec.bands == BANDS and made.facts.run == "random metric"


def test_files_that_are_none(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()

    def refused(content: bytes, says: str) -> None:
        path = tmp_path / "bad.pt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=says) as caught:
            load_metric_file(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)

    refused(b"", "is not a metric's weights, or cut off")
    refused(b"no zip at all", "is not a metric's weights, or cut off")
    refused(whole[: len(whole) // 2], "is not a metric's weights, or cut off")
    draw = random.Random(0)
    for _ in range(5):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole) // 10, len(whole) * 9 // 10)] ^= 4
        refused(bytes(damaged), "is damaged|is not a metric's weights")

    def saved(content: Any) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    refused(saved([1, 2]), "is not a metric's weights")
    refused(saved({"weight": torch.ones(2)}), "is not a metric's weights")
    refused(saved(Path("x")), "is not a metric's weights")
    held = torch.load(io.BytesIO(whole), weights_only=True)
    newer = json.dumps({**json.loads(held["spec"]), "format": 7})
    refused(saved({**held, "spec": newer}), "its format is 7, this semfid reads 1; update semfid")
    forest = json.dumps({**json.loads(held["spec"]), "predictor": "forest"})
    refused(saved({**held, "spec": forest}), "kind 'forest'")
    with pytest.raises(UserError, match=r"gone\.pt"):
        load_metric_file(tmp_path / "gone.pt")
    shutil.copy(file, tmp_path / "good.pt")
    assert load_metric_file(tmp_path / "good.pt").facts.run == "random metric"
