"""Modules of single images: losses against plain loops, gathering with gradients, figures, the backbone file."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader

from backbones import Backbone, build_backbone
from datamodules.batches import ImageBatch, ImageList
from lightning_modules.contrastive import Contrastive
from lightning_modules.gradient_gather import gather_with_gradient
from lightning_modules.image_module import ImageTask
from lightning_modules.losses.info_nce import info_nce
from lightning_modules.supervised import Supervised
from semfid.errors import UserError

WORDS = ["red car", "blue car", "two dogs", "red car", "a cat", "a tree", "two dogs"]


def naive_info_nce(image: Tensor, text: Tensor, scale: float, captions: list[str]) -> Tensor:
    """CLIP's loss by loops, summed over rows, equal sentences left out."""
    total = torch.zeros((), dtype=image.dtype)
    for asked, among in ((image, text), (text, image)):
        for i in range(len(captions)):
            rivals = [j for j in range(len(captions)) if j == i or captions[j] != captions[i]]
            scores = torch.stack([scale * (asked[i] * among[j]).sum() for j in rivals])
            total = total - torch.log(scores.exp()[rivals.index(i)] / scores.exp().sum()) / 2
    return total


def unit_rows(seed: int, count: int = 7) -> Tensor:
    return F.normalize(torch.randn(count, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=1)


def keys_of(captions: list[str]) -> Tensor:
    return torch.tensor([sorted({*captions}).index(one) for one in captions])


def test_info_nce_equals_the_loop() -> None:
    image, text = unit_rows(0).requires_grad_(), unit_rows(1).requires_grad_()
    scale = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    everything = torch.ones(7, dtype=torch.bool)
    loss = info_nce(image, text, scale, keys_of(WORDS), everything, slice(0, 7))
    expected = naive_info_nce(image, text, 8.0, WORDS)
    torch.testing.assert_close(loss, expected)
    got, wanted = torch.autograd.grad(loss, (image, text)), torch.autograd.grad(expected, (image, text))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_info_nce_without_repetitions_is_cross_entropy() -> None:
    """As open_clip writes it: the mean of both directions' cross-entropies."""
    image, text = unit_rows(2), unit_rows(3)
    logits = 20.0 * image @ text.T
    expected = (F.cross_entropy(logits, torch.arange(7)) + F.cross_entropy(logits.T, torch.arange(7))) / 2
    everything = torch.ones(7, dtype=torch.bool)
    loss = info_nce(image, text, torch.tensor(20.0, dtype=torch.float64), torch.arange(7), everything, slice(0, 7)) / 7
    torch.testing.assert_close(loss, expected)


def test_equal_sentences_alone_have_no_loss() -> None:
    image = unit_rows(0, 3).requires_grad_()
    loss = info_nce(image, unit_rows(1, 3), torch.tensor(9.0), torch.zeros(3).long(), torch.ones(3).bool(), slice(0, 3))
    loss.backward()
    assert loss.item() == 0 and bool((image.grad == 0).all())


SHARES = [[0, 2, 4, 6], [1, 3, 5, 5]]  # the last of the second only fills up


def _loss_of_share(rank: int, folder: str) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    rows = SHARES[rank][: 4 - rank] if rank else SHARES[rank]
    image_all, text_all = unit_rows(0), unit_rows(1)
    image, text = image_all[rows].clone().requires_grad_(), text_all[rows].clone().requires_grad_()
    scale = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    wholes = []
    for values in (image, text, keys_of(WORDS)[rows]):
        whole, own = gather_with_gradient(values)
        wholes.append(whole)
    loss = info_nce(wholes[0], wholes[1], scale, wholes[2], torch.ones(len(wholes[2])).bool(), own)
    loss.backward()
    # a second, smaller batch: process 1 has no row of its own and repeats row 0, which must count nothing
    few = [[0], [0]][rank]
    again = image_all[few].clone().requires_grad_()
    pair, own = gather_with_gradient(again)
    counted, _ = gather_with_gradient(torch.tensor([rank == 0]))
    alone = info_nce(pair, pair, scale, torch.tensor([3, 3]), counted, own)
    alone.backward()
    torch.save(
        (rows, image.grad, text.grad, scale.grad, loss.detach(), float(alone), again.grad), f"{folder}/{rank}.pt"
    )
    dist.destroy_process_group()


def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    # where torch sees a GPU, autograd has started threads for it, and a forked child can compute no gradient
    context = mp.get_context("fork" if sys.platform == "linux" and not torch.cuda.is_available() else "spawn")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    processes = [context.Process(target=_loss_of_share, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    hung = [process.pid for process in processes if process.is_alive()]
    for process in processes:
        process.kill()
    assert not hung and [process.exitcode for process in processes] == [0, 0]
    image, text = unit_rows(0).requires_grad_(), unit_rows(1).requires_grad_()
    scale = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    whole = info_nce(image, text, scale, keys_of(WORDS), torch.ones(7).bool(), slice(0, 7))
    whole.backward()
    pieces = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    torch.testing.assert_close(pieces[0][4] + pieces[1][4], whole.detach())
    torch.testing.assert_close(pieces[0][3] + pieces[1][3], scale.grad)
    for rows, image_grad, text_grad, _, _, alone, filler_grad in pieces:
        torch.testing.assert_close(image_grad, image.grad[rows])  # type: ignore[index]
        torch.testing.assert_close(text_grad, text.grad[rows])  # type: ignore[index]
        assert alone == 0 and bool((filler_grad == 0).all())


def test_one_process_gathers_nothing() -> None:
    values = torch.rand(3, 2, requires_grad=True)
    whole, own = gather_with_gradient(values)
    assert whole is values and own == slice(0, 3)


# modules


def small_backbone() -> Backbone:
    keywords = {"model": "test_resnet", "pretrained": "none", "tuning": "full", "batch_norm": "train"}
    return build_backbone("timm", keywords)


def listed(count: int = 12, classes: int = 3) -> ImageList:
    return ImageList(
        name="test set",
        classes=tuple("abc"[:classes]),
        label=torch.arange(count) % classes,
        captions=tuple((f"a thing of kind {'abc'[row % classes]} and {row // 2}",) for row in range(count)),
        train=torch.arange(count),
        test=torch.arange(count),
    )


def loader(images: ImageList, size: int, order: list[int] | None = None) -> DataLoader[ImageBatch]:
    pixels = torch.rand(len(images.label), 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def batch(rows: list[int]) -> ImageBatch:
        captions = tuple(images.captions[row][0] for row in rows)
        return ImageBatch(pixels[rows], images.label[rows], captions, torch.tensor(rows), float(len(rows)))

    return DataLoader(order or list(range(len(pixels))), batch_size=size, collate_fn=batch)  # type: ignore[arg-type]


def quiet_trainer() -> L.Trainer:
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(accelerator="cpu", devices=1, max_epochs=1, **off)


MAKE = {
    "supervised": lambda: Supervised(small_backbone()),
    "learned tower": lambda: Contrastive(small_backbone(), {"name": "learned_tower", "least": 1}, dim=16),
    "hashed words": lambda: Contrastive(small_backbone(), {"name": "hashed_words", "dim": 64}, dim=16),
}


@pytest.mark.parametrize("name", MAKE)
def test_figures_do_not_depend_on_batches_or_order(name: str) -> None:
    module: ImageTask = MAKE[name]()
    images = listed()
    module.prepare(images)
    found = []
    for size, order in ((12, None), (5, None), (1, list(range(11, -1, -1)))):
        quiet_trainer().test(module, loader(images, size, order), verbose=False)
        assert module.results is not None and module.results["row"].tolist() == list(range(12))
        found.append((module.figures, {key: values.tolist() for key, values in module.results.items()}))
    for figures, results in found[1:]:
        assert figures == pytest.approx(found[0][0], abs=1e-5) and results == found[0][1]
    assert all(0 <= value <= 1 for key, value in found[0][0].items() if key != "loss")


@pytest.mark.parametrize("name", MAKE)
def test_a_step_trains_every_weight(name: str) -> None:
    """DDP ends a training in which some weight never gets a gradient."""
    module: ImageTask = MAKE[name]()
    images = listed()
    module.prepare(images)
    quiet_trainer().fit(module, loader(images, 12))
    unreached = [key for key, value in module.named_parameters() if value.requires_grad and value.grad is None]
    assert not unreached


def test_supervised_loss_and_accuracy() -> None:
    images = listed()
    module = Supervised(small_backbone(), label_smoothing=0.1)
    module.prepare(images._replace(label=torch.tensor([0, 1, 2] * 3 + [-1] * 3)))
    batch = next(iter(loader(images, 12)))._replace(label=torch.tensor([0, 1, 2] * 3 + [-1] * 3))
    module.trainer = quiet_trainer()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    module.eval()
    loss = module.training_step(batch, 0)
    logits = module(batch.image)[:9].log_softmax(dim=1)
    expected = torch.zeros(())
    for row in range(9):
        for label in range(3):
            expected -= (0.1 / 3 + 0.9 * (label == row % 3)) * logits[row, label] / 12
    torch.testing.assert_close(loss, expected)
    with torch.no_grad():  # a classifier that says "a" to everything is right about a third
        module.classifier.weight.zero_()  # type: ignore[union-attr]
        module.classifier.bias.copy_(torch.tensor([3.0, 0.0, 0.0]))  # type: ignore[union-attr]
    quiet_trainer().test(module, loader(images, 5), verbose=False)
    assert module.figures["top1"] == pytest.approx(1 / 3) and module.figures["top5"] == 1


def test_recall_counts_equal_sentences_as_right() -> None:
    images = listed()._replace(captions=tuple((f"sentence {row % 2}",) for row in range(12)))
    module = Contrastive(small_backbone(), {"name": "learned_tower", "least": 1}, dim=4)
    module.prepare(images)
    for row in range(12):
        side = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])[row % 2][None]
        module.collect(torch.tensor([row]), {"image": side, "text": side, "key": torch.tensor([row % 2])})
    figures, results = module.summary(module.gathered())
    assert figures["recall1_image_to_text"] == figures["recall1_text_to_image"] == 1.0
    assert results["image_to_text"].tolist() == [1] * 12


def test_what_the_sets_lack() -> None:
    with pytest.raises(UserError, match="has 0 classes and supervised needs two"):
        Supervised(small_backbone()).prepare(listed()._replace(classes=(), label=torch.full((12,), -1)))
    with pytest.raises(UserError, match="no training image of the class 'c'"):
        Supervised(small_backbone()).prepare(listed()._replace(train=torch.tensor([0, 1, 3, 4])))
    with pytest.raises(UserError, match="1 of 12 images have no caption"):
        Contrastive(small_backbone()).prepare(listed()._replace(captions=(*listed().captions[:11], ())))


@pytest.mark.parametrize(
    ("task", "keywords", "says"),
    [
        (Supervised, {"label_smoothing": 1.0}, r"model\.label_smoothing is 1\.0"),
        (Contrastive, {"text": "learned_towr"}, "no text side 'learned_towr'; did you mean 'learned_tower'"),
        (Contrastive, {"text": {"name": "learned_tower", "widht": 3}}, "no keyword 'widht'; did you mean 'width'"),
        (Contrastive, {"text": {"name": "learned_tower", "width": 0}}, "width=0 should be int"),
        (Contrastive, {"text": {"name": "hashed_words", "dims": 3}}, "no keyword 'dims'; did you mean 'dim'"),
        (Contrastive, {"temperature": 0.0}, r"model\.temperature is 0"),
    ],
    ids=str,
)
def test_bad_keywords(task: type[ImageTask], keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        task.check(keywords)


@pytest.mark.parametrize("name", MAKE)
def test_backbone_file_goes_round(name: str, tmp_path: Path) -> None:
    module: ImageTask = MAKE[name]()
    images = listed()
    module.prepare(images)
    quiet_trainer().fit(module, loader(images, 6))
    module.figures = {"top1": 0.5}
    module.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trunk.safetensors"]
    loaded = build_backbone("timm", {"model": "test_resnet", "pretrained": str(tmp_path / "trunk.safetensors")})
    assert module.backbone is not None
    own, other = module.backbone.net.state_dict(), loaded.net.state_dict()
    assert own.keys() == other.keys() and all(torch.equal(own[key], other[key]) for key in own)
    assert own["bn1.running_mean"].abs().max() > 0, "BatchNorm did not train"
    with safe_open(tmp_path / "trunk.safetensors", "pt") as file:
        facts = file.metadata()
        assert set(file.keys()) == set(own)
    assert facts["arch"] == "timm.test_resnet" and facts["method"] == name.replace(
        "learned tower", "contrastive"
    ).replace("hashed words", "contrastive")
    assert facts["figures"] == '{"top1": 0.5}'


def test_temperature_stays_within_clip_s_bound() -> None:
    module = Contrastive(small_backbone(), {"name": "learned_tower", "least": 1})
    with torch.no_grad():
        module.log_scale.fill_(9.0)
    module.on_train_batch_end(None, None, 0)
    assert math.exp(module.log_scale.item()) == pytest.approx(100.0)
