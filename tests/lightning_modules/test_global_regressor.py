"""The global regressor: what it computes, what it trains, what its checkpoints hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from backbones import Backbone, build_backbone
from datamodules.batches import PairBatch
from heads import Head
from heads.inputs import input_of
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.losses.pairs import PairLoss
from lightning_modules.pair_module import score_figures
from registry import HEADS, LIGHTNING_MODULES, LOSSES, named
from semfid.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*(dataloader|eval mode|logger|log_every_n_steps|workers).*")


def tiny_backbone(**keywords: Any) -> Backbone:
    return build_backbone("timm", {"model": "test_resnet", "pretrained": "none", **keywords})


def regressor(**keywords: Any) -> Any:
    own = {"backbone": tiny_backbone(), "head": {"name": "lpips_linear", "depth": 2}, **keywords}
    return LIGHTNING_MODULES.build("global_regressor", own.pop("backbone"), **own)


def batch_of(count: int = 4, seed: int = 0, total: int | None = None) -> PairBatch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, count, 3, 64, 64, generator=generator)
    return PairBatch(
        reference=images[0],
        candidate=images[1],
        difference=torch.rand(count, generator=generator),
        map=None,
        weight=torch.rand(count, generator=generator) + 0.5,
        pair_id=tuple(f"p{i}" for i in range(count)),
        source_id=tuple(f"s{i}" for i in range(count)),
        row=torch.arange(count),
        total=total or count,
        first=torch.arange(count),
    )


def quiet_trainer(folder: Path, **keywords: Any) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **{"enable_checkpointing": False, "max_epochs": 2, **keywords},
    )


class Batches(L.LightningDataModule):
    """Ready-made batches in place of a datamodule."""

    def __init__(self, train: list[PairBatch], val: list[PairBatch] | None = None) -> None:
        super().__init__()
        self.train, self.val = train, val or []

    def loader(self, batches: list[PairBatch]) -> Any:
        return torch.utils.data.DataLoader(batches, batch_size=None)  # type: ignore[arg-type]

    def train_dataloader(self) -> Any:
        return self.loader(self.train)

    def val_dataloader(self) -> Any:
        return self.loader(self.val)

    test_dataloader = val_dataloader

    def calibration_batches(self, pairs: int) -> list[PairBatch]:
        return self.train


def cells(tap: torch.Tensor, factor: int) -> torch.Tensor:
    """Means, then maxima, over squares of `factor` positions; (C, H, W) as it is where the factor is 1."""
    if factor == 1:
        return tap
    channels, height, width = tap.shape
    squares = tap.reshape(channels, height // factor, factor, width // factor, factor)
    return torch.cat([squares.mean((2, 4)), squares.amax(4).amax(2)])


def naive_pooled(x: torch.Tensor, y: torch.Tensor, way: str) -> torch.Tensor:
    """(C,) mean or maximum over the positions of (C, H, W), in one direction where `way` says so."""
    side = way.partition(":")[0]
    y = torch.minimum(x, y) if side == "lost" else torch.maximum(x, y) if side == "gained" else y
    squares = (x - y).square().flatten(1)
    return squares.max(dim=1).values if way.endswith("max") else squares.mean(dim=1)


class TestPairStatistic:
    @pytest.mark.parametrize(
        "name",
        [
            name
            for name in HEADS.names()
            if name != "lpips_linear_shared" and HEADS.get(name).factory.input_kind != "squared_difference_maps"
        ],
    )
    def test_one_pass_over_both_equals_two(self, name: str) -> None:
        """References before candidates; each head gets what its contract says, computed image by image here."""
        backbone, batch = tiny_backbone(), batch_of(3)
        depth = {"depth": 3} if name == "lpips_linear_blocks" else {}
        head = HEADS.build(name, backbone, **depth)
        assert isinstance(head, Head)
        own = input_of(head)
        statistic = own.compare(*own.describe_pairs(backbone, batch.reference, batch.candidate))
        rows = []
        for x, y in zip(batch.reference, batch.candidate, strict=True):
            if own.kind == "embeddings":
                rows.append(torch.stack([backbone.embed(x[None])[0], backbone.embed(y[None])[0]]))
                continue
            a, b = backbone.features(x[None], head.taps), backbone.features(y[None], head.taps)
            if own.kind == "difference_grids":
                differences = [(p - q).square()[0] for p, q in zip(a, b, strict=True)]
                rows.append([cells(d, max(1, 8 // s)) for d, s in zip(differences, backbone.strides, strict=True)])
            elif own.kind == "pooled_features":
                rows.append(torch.stack([torch.cat([tap[0].mean((1, 2)) for tap in side]) for side in (a, b)]))
            else:
                ways = [(way, p[0], q[0]) for way in head.poolings for p, q in zip(a, b, strict=True)]
                rows.append(torch.cat([naive_pooled(p, q, way) for way, p, q in ways]))
        if own.kind == "difference_grids":
            assert isinstance(statistic, list)
            rows = [torch.stack(tap) for tap in zip(*rows, strict=True)]
            torch.testing.assert_close(statistic, rows, rtol=1e-4, atol=1e-6)
        else:
            torch.testing.assert_close(statistic, torch.stack(rows), rtol=1e-4, atol=1e-6)

    def test_a_map_head_is_refused(self) -> None:
        wanted = r"cannot feed a head that consumes squared_difference_maps; use model\.name: local_map"
        with pytest.raises(UserError, match=wanted):
            regressor(head="unet")
        with pytest.raises(UserError, match=wanted):
            GlobalRegressor.check({"head": "unet"})


class TestForward:
    @pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
    @pytest.mark.parametrize("head", ["lpips_linear", "local_evidence", "pooled_mlp", "cosine"])
    def test_identical_images_score_zero_with_finite_gradients(self, tuning: str, head: str) -> None:
        module = regressor(backbone=tiny_backbone(tuning=tuning), head=head).train()
        image = batch_of(2).reference.requires_grad_()
        score = module(image, image)
        assert (score == 0).all()
        gradients = torch.autograd.grad(
            score.sum(), [image, *(p for p in module.parameters() if p.requires_grad)], allow_unused=True
        )
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)

    def test_pairs_do_not_touch_each_other(self) -> None:
        module, batch = regressor().train(), batch_of(4)
        together = module(batch.reference, batch.candidate)
        alone = torch.cat([module(batch.reference[i : i + 1], batch.candidate[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)
        order = torch.tensor([2, 0, 3, 1])
        torch.testing.assert_close(
            module(batch.reference[order], batch.candidate[order]), together[order], rtol=1e-5, atol=1e-6
        )

    def test_symmetric_heads_are_symmetric_through_the_backbone(self) -> None:
        module, batch = regressor(), batch_of(3)
        torch.testing.assert_close(
            module(batch.reference, batch.candidate), module(batch.candidate, batch.reference), rtol=1e-5, atol=1e-6
        )

    def test_scores_leave_autocast(self) -> None:
        """bfloat16 scores would tie by the dozen, and ranks are the product."""
        module, batch = regressor(), batch_of(3)
        with torch.autocast("cpu", torch.bfloat16):
            score = module(batch.reference, batch.candidate)
        assert score.dtype == torch.float32
        assert not torch.equal(score, score.bfloat16().float())


class TestTraining:
    def test_a_step_is_the_weighted_mean_over_the_whole_batch(self, tmp_path: Path) -> None:
        seen: list[float] = []

        class Watched(L.Callback):
            def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
                seen.append(float(outputs["loss"]))

        module, batch = regressor(), batch_of(4, total=10)
        predicted = module(batch.reference, batch.candidate).detach()
        expected = float((batch.weight * (predicted - batch.difference) ** 2).sum() / 10)
        quiet_trainer(tmp_path, max_steps=1, callbacks=[Watched()]).fit(module, datamodule=Batches([batch]))
        assert seen == [pytest.approx(expected, rel=1e-5)]

    def test_training_fits_and_leaves_the_backbone(self, tmp_path: Path) -> None:
        module = regressor(optimizer={"name": "adam", "lr": 0.1}, head={"name": "lpips_linear", "scale": "train"})
        before = {key: value.clone() for key, value in module.backbone.net.state_dict().items()}
        batches = [batch_of(4, seed) for seed in range(2)]

        def error() -> float:
            with torch.no_grad():
                return sum(float((module(b.reference, b.candidate) - b.difference).square().mean()) for b in batches)

        start = error()
        quiet_trainer(tmp_path, max_epochs=60).fit(module, datamodule=Batches(batches))
        assert error() < 0.2 * start
        assert all(torch.equal(before[key], value) for key, value in module.backbone.net.state_dict().items())

    def test_nonnegative_weights_stay_so(self, tmp_path: Path) -> None:
        head = {"name": "lpips_linear", "weights": "nonnegative", "normalize": "unit"}
        module = regressor(head=head, optimizer={"name": "sgd", "lr": 500.0})
        batch = batch_of(4)._replace(difference=torch.zeros(4))
        lowest: list[float] = []

        class Watched(L.Callback):
            def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:  # before the module's own hook
                lowest.append(float(module.head.weight.detach().min()))

        quiet_trainer(tmp_path, max_epochs=3, callbacks=[Watched()]).fit(module, datamodule=Batches([batch]))
        assert min(lowest) < 0, "without the projection they would not stay"
        assert float(module.head.weight.min()) == 0.0

    @pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
    def test_what_the_optimizer_holds(self, tuning: str, tmp_path: Path) -> None:
        module = regressor(
            backbone=tiny_backbone(tuning=tuning, **({"lora_rank": 2} if tuning == "lora" else {})),
            optimizer={"name": "adam", "lr": 0.1, "backbone_lr": 0.01, "schedule": "cosine"},
        )
        module._trainer = type("T", (), {"estimated_stepping_batches": 7})()
        made = module.configure_optimizers()
        groups = made["optimizer"].param_groups
        trained = [p for p in module.backbone.parameters() if p.requires_grad]
        assert [len(group["params"]) for group in groups] == ([1] if tuning == "frozen" else [1, len(trained)])
        assert [group["initial_lr"] for group in groups] == ([0.1] if tuning == "frozen" else [0.1, 0.01])
        assert made["lr_scheduler"]["interval"] == "step" and made["lr_scheduler"]["scheduler"].T_max == 7

    def test_nothing_to_train(self) -> None:
        assert regressor(head="cosine").configure_optimizers() is None

    def test_calibration_happens_once_on_the_training_pairs(self, tmp_path: Path) -> None:
        head = {"name": "lpips_linear", "depth": 1, "scale": "train"}
        module, batches = regressor(head=head, optimizer={"name": "sgd", "lr": 1e-9}), [batch_of(3, 1), batch_of(4, 2)]
        statistics = []
        for batch in batches:
            for x, y in zip(batch.reference, batch.candidate, strict=True):
                a, b = module.backbone.features(x[None])[-2:], module.backbone.features(y[None])[-2:]
                statistics.append(torch.cat([(p - q).square().mean((0, 2, 3)) for p, q in zip(a, b, strict=True)]))
        rms = torch.stack(statistics).square().mean(0).sqrt()
        quiet_trainer(tmp_path, max_epochs=2).fit(module, datamodule=Batches(batches))
        assert (rms > 0).sum() > 100
        expected = torch.cat(
            [(stage + stage.mean()) * len(stage) for stage in rms.split(module.backbone.channels[-2:])]
        )
        torch.testing.assert_close(module.head.scale, expected, rtol=1e-4, atol=1e-9)
        other = regressor(head=head)
        other.load_state_dict(module.state_dict())
        assert torch.equal(other.head.scale, module.head.scale)


class TestEvaluation:
    def test_predictions_are_collected_in_order_and_once(self, tmp_path: Path) -> None:
        module, batch = regressor(), batch_of(5)

        def part(rows: list[int]) -> PairBatch:
            pick = torch.tensor(rows)
            return batch._replace(
                reference=batch.reference[pick],
                candidate=batch.candidate[pick],
                difference=batch.difference[pick],
                row=pick,
            )

        data = Batches([batch], [part([3, 1]), part([4, 0, 2]), part([1])])  # row 1 comes twice
        trainer = quiet_trainer(tmp_path)
        module.eval()
        with torch.no_grad():
            expected = module(batch.reference, batch.candidate).double()
        trainer.test(module, datamodule=data, verbose=False)
        rows, scores = module.predicted
        assert rows.tolist() == [0, 1, 2, 3, 4] and scores.dtype == torch.float64
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
        (figures,) = trainer.validate(module, datamodule=data, verbose=False)
        assert figures["val_mse"] == pytest.approx(float((expected - batch.difference).square().mean()), rel=1e-5)
        assert figures["val_srcc"] == pytest.approx(spearmanr(expected, batch.difference).statistic, abs=1e-6)

    def test_validation_figures(self) -> None:
        rng = np.random.default_rng(0)
        scores, labels = torch.tensor(rng.random(50).round(1)), torch.tensor(rng.random(50).round(1))
        figures = score_figures(scores, labels)
        assert figures["srcc"] == pytest.approx(spearmanr(scores, labels).statistic, abs=1e-12)
        assert figures["mse"] == pytest.approx(float(((scores - labels) ** 2).mean()))
        some = labels.clone()
        some[10:20] = float("nan")
        known = ~some.isnan()
        assert score_figures(scores, some) == pytest.approx(score_figures(scores[known], labels[known]))

    @pytest.mark.parametrize("scores", [[0.5, 0.5, 0.5], [0.5, float("nan"), 0.1], [0.1, float("inf"), 0.2]])
    def test_a_constant_or_broken_epoch_is_never_the_best(self, scores: list[float]) -> None:
        figures = score_figures(torch.tensor(scores), torch.tensor([0.1, 0.2, 0.3]))
        assert figures["srcc"] == -1.0


class TestCheckpoints:
    def test_the_head_only_and_the_backbones_identity(self, tmp_path: Path) -> None:
        module = regressor()
        trainer = quiet_trainer(tmp_path, max_steps=1, enable_checkpointing=True)
        trainer.fit(module, datamodule=Batches([batch_of(2)]))
        trainer.save_checkpoint(tmp_path / "a.ckpt")
        checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
        assert {key.split(".")[0] for key in checkpoint["state_dict"]} == {"head"}
        assert checkpoint["trunk_identity"] == module.backbone.identity
        assert (tmp_path / "a.ckpt").stat().st_size < 60_000, "a few numbers, not a backbone"

        other = regressor()
        quiet_trainer(tmp_path, max_steps=2).fit(
            other, datamodule=Batches([batch_of(2)]), ckpt_path=tmp_path / "a.ckpt"
        )
        with pytest.raises(
            UserError, match=r"this checkpoint belongs to the backbone timm\.test_resnet-.*, not timm\.test_resnet-"
        ):
            quiet_trainer(tmp_path).fit(
                regressor(backbone=tiny_backbone(init_seed=1)),
                datamodule=Batches([batch_of(2)]),
                ckpt_path=tmp_path / "a.ckpt",
            )

    def test_resuming_equals_going_on(self, tmp_path: Path) -> None:
        """Two epochs, or one, a checkpoint and another one: the same head to the last bit, calibration included."""
        head, batches = {"name": "lpips_linear", "scale": "train"}, [batch_of(3, seed) for seed in range(2)]

        def fresh() -> Any:
            torch.manual_seed(0)
            return regressor(head=head, optimizer={"name": "adam", "lr": 0.01})

        whole, first, second = fresh(), fresh(), fresh()
        quiet_trainer(tmp_path, max_epochs=2).fit(whole, datamodule=Batches(batches))
        trainer = quiet_trainer(tmp_path, max_epochs=1)
        trainer.fit(first, datamodule=Batches(batches))
        trainer.save_checkpoint(tmp_path / "half.ckpt")
        quiet_trainer(tmp_path, max_epochs=2).fit(second, datamodule=Batches(batches), ckpt_path=tmp_path / "half.ckpt")
        assert not torch.equal(first.head.weight, whole.head.weight)
        assert torch.equal(second.head.weight, whole.head.weight)
        assert torch.equal(second.head.scale, whole.head.scale)

    def test_a_renamed_head_key_is_refused(self) -> None:
        module = regressor()
        state = {key.replace("head.weight", "head.wieght"): value for key, value in module.state_dict().items()}
        with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"head\.weight\""):
            module.load_state_dict(state)


class TestMistakes:
    def test_named(self) -> None:
        assert named("mse", "x") == ("mse", {})
        assert named({"name": "huber", "delta": 0.2}, "x") == ("huber", {"delta": 0.2})
        for wrong in (None, 3, {}, {"name": 3}, {"delta": 1}, ["mse"]):
            with pytest.raises(UserError, match=r"model\.loss must be a name or a mapping with a name"):
                named(wrong, "model.loss")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("keywords", "part"),
        [
            ({"head": "lpips_liner"}, "no head 'lpips_liner'; did you mean 'lpips_linear'"),
            ({"head": {"name": "lpips_linear", "depht": 2}}, "has no keyword 'depht'; did you mean 'depth'"),
            ({"loss": "mes"}, "no loss 'mes'"),
            ({"optimizer": {"name": "adam", "lr": 0}}, r"model\.optimizer\.lr is 0"),
        ],
    )
    def test_are_found_at_construction(self, keywords: dict[str, Any], part: str) -> None:
        with pytest.raises(UserError, match=part):
            regressor(**keywords)

    def test_losses_are_pair_losses(self) -> None:
        assert all(isinstance(LOSSES.build(name), PairLoss) for name in LOSSES.names())

    def test_no_metric_lives_in_the_module(self) -> None:
        """Metrics that are modules would put their weights into every checkpoint."""
        children: Callable[[nn.Module], set[str]] = lambda module: {name for name, _ in module.named_children()}  # noqa: E731
        assert children(regressor()) == {"backbone", "head", "loss"}
        assert isinstance(regressor().loss.state_dict(), dict) and not list(regressor().loss.parameters())


def test_difference_direction_of_the_whole_chain() -> None:
    """A candidate that is further away scores higher with nonnegative weights: one quantity, one direction."""
    module = regressor(head={"name": "lpips_linear", "weights": "nonnegative"})
    reference: Tensor = batch_of(1).reference
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    scores = [float(module(reference, (reference + amount * noise).clamp(0, 1))) for amount in (0.0, 0.02, 0.1, 0.3)]
    assert scores == sorted(scores) and scores[0] == 0.0 and scores[1] > 0.0
