"""The module that learns difference maps: what it computes, what it trains, what a finished run of it scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import Backbone, build_backbone
from datamodules.batches import PairBatch
from heads.decoders.base import DecoderHead
from lightning_modules.local_map import LocalMapRegressor
from lightning_modules.scorer import RunScorer
from registry import HEADS
from semfid.errors import UserError
from semfid.scoring.scorer import Facts

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*(dataloader|eval mode|logger|log_every_n_steps|workers|in train mode).*"
)

FACTS = Facts("t/t", "", 64, "squash", False, True, {})
MAP_HEADS = ["unet", "unet_pixel", "fpn", "local_evidence", "lpips_linear", "lpips_linear_blocks"]


def backbone(**keywords: Any) -> Backbone:
    return build_backbone("timm", {"model": "test_resnet", "pretrained": "none", **keywords})


def keywords_of(name: str) -> dict[str, Any]:
    if "linear" in name:
        return {"depth": 2}
    return {"width": 32} if "width" in HEADS.get(name).keywords else {"max_width": 8}


def module(name: str = "unet", tuning: str = "frozen", moved: bool = True, **more: Any) -> LocalMapRegressor:
    torch.manual_seed(0)
    head = {"name": name, **keywords_of(name), **more.pop("head", {})}
    made = LocalMapRegressor(backbone(tuning=tuning, **more.pop("backbone", {})), head, **more)
    if moved:
        with torch.no_grad():
            for parameter in made.head.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return made


def batch_of(
    count: int = 4, size: tuple[int, int] = (64, 64), seed: int = 0, first: list[int] | None = None
) -> PairBatch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, count, 3, *size, generator=generator)
    at = torch.tensor(list(range(count)) if first is None else first)
    return PairBatch(
        reference=images[0][at],
        candidate=images[1],
        difference=torch.rand(count, generator=generator),
        map=(torch.rand(count, 1, *size, generator=generator) > 0.7).float(),
        weight=torch.ones(count),
        pair_id=tuple(f"p{i}" for i in range(count)),
        source_id=tuple(f"s{i}" for i in range(count)),
        row=torch.arange(count),
        total=count,
        first=at,
    )


class Batches(L.LightningDataModule):
    def __init__(self, batches: list[PairBatch]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]

    val_dataloader = test_dataloader = train_dataloader

    def calibration_batches(self, pairs: int) -> list[PairBatch]:
        return self.batches


def quiet_trainer(folder: Path, **keywords: Any) -> L.Trainer:
    settings = {"max_epochs": 2, "enable_checkpointing": False, **keywords}
    return L.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, **settings,
    )  # fmt: skip


class TestWhatItComputes:
    def test_the_decoder_sees_the_squared_differences_of_every_stage(self) -> None:
        for normalize in ("none", "unit"):
            made = module("unet_pixel", head={"normalize": normalize}).eval()
            batch = batch_of(3)
            with torch.no_grad():
                maps, scores = made(batch.reference, batch.candidate)
                x, y = made.backbone.features(batch.reference), made.backbone.features(batch.candidate)
                if normalize == "unit":
                    x, y = ([t / (t.square().sum(1, keepdim=True) + 1e-10).sqrt() for t in side] for side in (x, y))
                own = (batch.reference - batch.candidate).pow(2).mean(1, keepdim=True)
                expected = made.head.difference_map([own, *((a - b).pow(2) for a, b in zip(x, y, strict=True))])
            torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(scores, expected.mean((1, 2, 3)), rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("size", [(64, 64), (70, 90), (33, 100)])
    @pytest.mark.parametrize("name", MAP_HEADS)
    def test_any_size_of_image(self, name: str, size: tuple[int, int]) -> None:
        made = module(name).eval()
        batch = batch_of(2, size)
        with torch.no_grad():
            maps, scores = made(batch.reference, batch.candidate)
        assert maps.shape == (2, 1, *size) and scores.shape == (2,)
        if isinstance(made.head, DecoderHead):  # continued by hand, and cut back
            edge = [F.pad(side, (0, -size[1] % 32, 0, -size[0] % 32), mode="replicate") for side in batch[:2]]
            with torch.no_grad():
                whole, _ = made(*edge)
            torch.testing.assert_close(maps, whole[..., : size[0], : size[1]], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("name", MAP_HEADS)
    def test_identical_images(self, name: str) -> None:
        made = module(name).eval()
        batch = batch_of(2)
        with torch.no_grad():
            maps, scores = made(batch.reference, batch.reference.clone())
        assert (maps == 0).all() and (scores == 0).all()

    @pytest.mark.parametrize("name", MAP_HEADS)
    def test_a_shared_reference_passes_once_and_changes_nothing(self, name: str) -> None:
        made = module(name).eval()
        batch = batch_of(5, first=[0, 1, 0, 0, 1])
        passed = []
        made.backbone.net.register_forward_pre_hook(lambda _m, inputs: passed.append(len(inputs[0])))
        calls: list[int] = []
        own = made.backbone.features
        made.backbone.features = lambda images, taps="stages": (calls.append(len(images)), own(images, taps))[1]  # type: ignore
        with torch.no_grad():
            alone = made(batch.reference, batch.candidate)
            shared = made(batch.reference, batch.candidate, batch.first)
        assert calls == [10, 7]
        for one, other in zip(alone, shared, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)

    def test_a_backbone_whose_batchnorm_trains_sees_every_image(self) -> None:
        made = module(tuning="full", backbone={"batch_norm": "train"}).train()
        batch = batch_of(4, first=[0, 0, 0, 0])
        maps, _ = made(batch.reference, batch.candidate, batch.first)
        other = module(tuning="full", backbone={"batch_norm": "train"}).train()
        torch.testing.assert_close(maps, other(batch.reference, batch.candidate)[0], rtol=1e-3, atol=1e-5)

    def test_gradients_where_images_are_equal_or_nearly(self) -> None:
        made = module("unet_pixel").eval()
        batch = batch_of(2)
        for step in (0.0, 1e-8, 1e-4):
            candidate = (batch.reference + step).requires_grad_()
            maps, scores = made(batch.reference, candidate)
            (gradient,) = torch.autograd.grad(maps.sum() + scores.sum(), candidate)
            assert gradient.isfinite().all()

    def test_figures_of_a_validation_part(self, tmp_path: Path) -> None:
        made = module(moved=True).eval()
        batches = [batch_of(3, seed=1), batch_of(2, seed=2)]
        batches[1] = batches[1]._replace(row=torch.tensor([3, 4]))
        batches[0].map[1, :, :10] = float("nan")
        batches[1].map[0] = float("nan")  # a pair without a map
        (figures,) = quiet_trainer(tmp_path).validate(made, datamodule=Batches(batches), verbose=False)
        errors = []
        for batch in batches:
            with torch.no_grad():
                maps, _ = made(batch.reference, batch.candidate)
            for own, target in zip(maps, batch.map, strict=True):
                known = ~target.isnan()
                if known.any():
                    errors.append(float((own[known] - target[known]).square().mean()))
        assert len(errors) == 4 and figures["val_mse"] == pytest.approx(sum(errors) / 4, rel=1e-4)
        assert {"val_score_mse", "val_srcc"} <= set(figures)
        assert made.predicted is not None and made.predicted[0].tolist() == [0, 1, 2, 3, 4]


class TestWhatItTrains:
    def weights(self, made: LocalMapRegressor) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in made.named_parameters()}

    @pytest.mark.parametrize("tuning", ["frozen", "lora", "full"])
    def test_the_backbone_moves_where_its_tuning_says_so(self, tuning: str, tmp_path: Path) -> None:
        made = module(tuning=tuning, optimizer={"name": "adam", "lr": 0.01})
        made.backbone.register_forward_hook(lambda _m, _i, stages: graphs.append([s.requires_grad for s in stages]))
        graphs: list[list[bool]] = []
        before = self.weights(made)
        buffers = {name: value.clone() for name, value in made.backbone.named_buffers()}
        quiet_trainer(tmp_path, num_sanity_val_steps=0, limit_val_batches=0).fit(
            made, datamodule=Batches([batch_of(4)])
        )
        moved = {name for name, value in self.weights(made).items() if not torch.equal(before[name], value)}
        assert any(name.startswith("head.") for name in moved)
        of_backbone = {name for name in moved if name.startswith("backbone.")}
        if tuning == "frozen":
            assert not of_backbone and not any(any(stages) for stages in graphs), "a graph through a frozen backbone"
        elif tuning == "lora":
            assert of_backbone and all("lora_" in name for name in of_backbone)
        else:
            assert len(of_backbone) > 20
        assert all(torch.equal(buffers[name], value) for name, value in made.backbone.named_buffers())

    def test_unknown_pixels_and_pairs_without_a_map_teach_nothing(self) -> None:
        made = module().eval()
        batch = batch_of(3)
        batch.map[0, :, 20:, :] = float("nan")
        batch.map[2] = float("nan")
        loss = made.training_loss(batch)
        with torch.no_grad():
            maps, _ = made(batch.reference, batch.candidate)
        known = (maps[0, :, :20] - batch.map[0, :, :20]).square().mean() + (maps[1] - batch.map[1]).square().mean()
        torch.testing.assert_close(loss, known, rtol=1e-4, atol=1e-6)
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())

    def test_a_learned_score_does_not_bend_the_map(self) -> None:
        gradients = []
        for labels in (0.0, 1.0):
            made = module(head={"score": "learned"}).eval()
            batch = batch_of(3)._replace(difference=torch.full((3,), labels))
            made.training_loss(batch).backward()
            gradients.append({name: p.grad.clone() for name, p in made.head.named_parameters() if p.grad is not None})
        assert "score.weight" in gradients[0]
        for name, value in gradients[0].items():
            assert torch.equal(value, gradients[1][name]) == (name != "score.weight"), name

    def test_the_scale_is_that_of_the_training_pairs(self, tmp_path: Path) -> None:
        made = module()
        batch = batch_of(4)
        quiet_trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0).fit(
            made, datamodule=Batches([batch])
        )
        x, y = made.backbone.features(batch.reference), made.backbone.features(batch.candidate)
        taps = [(batch.reference - batch.candidate).square().mean(1, keepdim=True)]
        taps += [(a - b).square() for a, b in zip(x, y, strict=True)]
        expected = []
        for tap in taps:
            rms = tap.mean((2, 3)).square().mean(0).sqrt()
            expected.append(rms + rms.mean())
        torch.testing.assert_close(made.head.scale, torch.cat(expected), rtol=1e-4, atol=1e-7)

    def test_bf16(self, tmp_path: Path) -> None:
        made = module("unet_pixel", head={"score": "learned"})
        trainer = quiet_trainer(tmp_path, max_epochs=1, precision="bf16-mixed", limit_val_batches=0)
        trainer.fit(made, datamodule=Batches([batch_of(2)]))
        assert all(value.isfinite().all() for value in self.weights(made).values())
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
            maps, scores = made.eval()(*batch_of(2)[:2])
        assert maps.dtype == scores.dtype == torch.float32


class TestWhatItLearns:
    @pytest.mark.parametrize("name", ["unet", "local_evidence", "lpips_linear"])
    def test_scores_alone_need_no_map(self, name: str, tmp_path: Path) -> None:
        made = module(name, learn="scores", score_loss="l1").eval()
        assert not made.needs_maps and not LocalMapRegressor.wants_maps({"learn": "scores"})
        batch = batch_of(3)._replace(map=None, difference=torch.tensor([0.2, float("nan"), 0.9]))
        loss = made.training_loss(batch)
        with torch.no_grad():
            _, scores = made(batch.reference, batch.candidate)
        torch.testing.assert_close(loss, (scores[0] - 0.2).abs() + (scores[2] - 0.9).abs(), rtol=1e-4, atol=1e-6)
        loss.backward()
        gradients = [p.grad for p in made.head.parameters() if p.grad is not None]
        assert gradients and all(g.isfinite().all() for g in gradients) and any(g.abs().max() > 0 for g in gradients)
        (figures,) = quiet_trainer(tmp_path).validate(made, datamodule=Batches([batch]), verbose=False)
        assert figures["val_mse"] == pytest.approx(
            float(((scores[0] - 0.2) ** 2 + (scores[2] - 0.9) ** 2) / 2), rel=1e-4
        )

    @pytest.mark.parametrize("name", ["unet", "local_evidence"])
    def test_both_is_the_sum_of_the_two(self, name: str) -> None:
        batch = batch_of(3)
        losses = [module(name, learn=learn).eval().training_loss(batch) for learn in ("maps", "scores", "both")]
        torch.testing.assert_close(losses[0] + losses[1], losses[2])

    def test_a_learned_score_bends_the_map_only_where_scores_are_learned(self) -> None:
        for learn, bends in (("maps", False), ("both", True)):
            gradients = []
            for label in (0.0, 1.0):
                made = module(head={"score": "learned"}, learn=learn).eval()
                made.training_loss(batch_of(3)._replace(difference=torch.full((3,), label))).backward()
                gradients.append(made.head.last.weight.grad)
            assert torch.equal(*gradients) != bends

    def test_grids_and_images_give_the_same_map(self) -> None:
        """The map is the evidence of the grids, enlarged; the score is of the same numbers."""
        made = module("local_evidence").eval()
        batch = batch_of(2, (64, 96))
        with torch.no_grad():
            maps, scores = made(batch.reference, batch.candidate)
            x, y = made.backbone.features(batch.reference), made.backbone.features(batch.candidate)
            raw = made.head.evidence(made.head_input.compare(x, y))
        assert raw.shape == (2, 1, 8, 12)
        expected = torch.tanh(0.25 * torch.log(torch.exp(raw.double() / 0.25).mean((1, 2, 3))) / 2)
        torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-6)
        grown = F.interpolate(torch.tanh(raw / 2), size=(64, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(maps, grown, rtol=1e-4, atol=1e-6)


class TestScorer:
    @pytest.mark.parametrize("name", MAP_HEADS)
    def test_it_scores_and_maps_as_the_module_does(self, name: str) -> None:
        for normalize in ("none", "unit"):
            made = module(name, head={"normalize": normalize}).eval()
            scorer = RunScorer(made.backbone, [made.head], FACTS)
            for size in ((64, 64), (72, 100)):
                batch = batch_of(3, size)
                with torch.no_grad():
                    maps, scores = made(batch.reference, batch.candidate)
                    score, drawn = scorer.score_and_map(batch.reference, batch.candidate)
                    x, y = scorer.describe(batch.reference), scorer.describe(batch.candidate)
                    torch.testing.assert_close(scorer.compare(x, y), score)
                torch.testing.assert_close(score, scores, rtol=1e-4, atol=1e-6)
                torch.testing.assert_close(drawn, maps, rtol=1e-3, atol=1e-5)

    def test_folds_score_by_their_mean(self) -> None:
        one, other = module().eval(), module().eval()
        with torch.no_grad():
            for parameter in other.head.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
        batch = batch_of(2)
        scorer = RunScorer(one.backbone, [one.head, other.head], FACTS)
        with torch.no_grad():
            a, b = (m(batch.reference, batch.candidate) for m in (one, other))
            score, drawn = scorer.score_and_map(batch.reference, batch.candidate)
        torch.testing.assert_close(score, (a[1] + b[1]) / 2, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(drawn, (a[0] + b[0]) / 2, rtol=1e-4, atol=1e-6)


class TestMistakes:
    def test_a_head_without_maps(self) -> None:
        with pytest.raises(UserError, match=r"model\.head: local_map needs a head that gives maps"):
            LocalMapRegressor(backbone(), "cosine")

    def test_data_without_maps(self) -> None:
        with pytest.raises(UserError, match="column map"):
            module().training_loss(batch_of(2)._replace(map=None))

    def test_a_loss_that_is_not_used(self) -> None:
        with pytest.raises(UserError, match=r"model\.loss is of maps.* give model\.score_loss"):
            LocalMapRegressor.check({"head": "unet", "learn": "scores", "loss": "mse"})

    def test_a_loss_of_scores(self) -> None:
        with pytest.raises(UserError, match="takes scores, not maps"):
            LocalMapRegressor(backbone(), {"name": "unet", "max_width": 8}, loss="ranking")
