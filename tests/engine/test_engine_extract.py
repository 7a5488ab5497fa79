"""Statistics of frozen backbones: right to the naive loop, every image through the backbone once, and the cache on disk."""

from __future__ import annotations

import functools
import io
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

import engine.training.extract
import engine.training.feature_pass
from backbones import Backbone, build_backbone
from datamodules.base import PairDataModule
from engine.config.trainer_section import TrainerSection
from engine.training.extract import cache_folder, extract
from engine.training.lightning_trainer import make_trainer
from heads import build_head
from heads.inputs import DifferenceGrids, Embeddings, HeadInput, PooledDifferences, PooledFeatures, input_of
from heads.statistics import EPS
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.vector_cache import VectorCache

SIZE = 32
STRIDES = (2, 4, 8, 16, 32)  # of `_backbone`
INPUTS: list[HeadInput] = [
    PooledDifferences("stages", "none"),
    PooledDifferences("stages", "unit"),
    PooledDifferences("blocks", "none"),
    PooledDifferences("blocks", "unit"),
    PooledFeatures("stages"),
    Embeddings(),
    PooledDifferences("stages", "none", ("max",)),
    PooledDifferences("stages", "unit", ("top:0.1",)),
    PooledDifferences("stages", "none", ("lost:max",)),
    PooledDifferences("stages", "unit", ("gained:top:0.1",)),
    DifferenceGrids("stages", "unit", 4, STRIDES),
]


def _write_set(root: Path) -> Path:
    """7 photos, 2 to 4 candidates each, one candidate under two names, candidates compared with each other and across
    photos, an image compared with itself."""
    rng, rows = np.random.default_rng(0), []

    def photo(name: str) -> str:
        Image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(root / name)
        return name

    def pair(source: str, x: str, y: str) -> None:
        rows.append({"pair_id": f"p{len(rows)}", "source_id": source, "reference": x, "candidate": y})

    root.mkdir(parents=True)
    for source in range(7):
        reference = photo(f"r{source}.png")
        candidates = [photo(f"c{source}_{k}.png") for k in range(2 + source % 3)]
        for candidate in candidates:
            pair(f"s{source}", reference, candidate)
        pair(f"s{source}", candidates[0], candidates[1])
    shutil.copy(root / "c0_0.png", root / "again.png")  # the same content under another name
    pair("s0", "r0.png", "again.png")
    pair("s1", "r1.png", "r1.png")
    frame = pd.DataFrame(rows).sample(frac=1.0, random_state=1)
    frame.assign(difference=np.linspace(0, 1, len(rows))).to_csv(root / "pairs.csv", index=False)
    return root / "pairs.csv"


def _data(table: Path, **more: Any) -> PairDataModule:
    keywords = {"image_size": SIZE, "batch_size": 3, "split": {"val": 0.2, "test": 0.3}, **more}
    data = DATAMODULES.build("pairs", table=str(table), **keywords)
    data.prepare()
    return data


def _backbone(seed: int = 0) -> Backbone:
    return build_backbone("timm", {"model": "test_resnet", "pretrained": "none", "init_seed": seed})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return _write_set(tmp_path / "set")


@pytest.fixture
def tiny_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda size: monkeypatch.setattr(engine.training.extract, "IMAGES_PER_PASS", size)


class _Counter:
    """How many images went through the first layer of a backbone."""

    def __init__(self, backbone: Backbone) -> None:
        self.images = 0
        first = next(module for module in backbone.net.modules() if isinstance(module, torch.nn.Conv2d))
        self._hook = first.register_forward_hook(self._count)

    def _count(self, _module: Any, inputs: tuple[Tensor, ...], _out: Tensor) -> None:
        self.images += len(inputs[0])


def _run(
    data: PairDataModule,
    statistics: list[HeadInput] | None = None,
    cache: VectorCache | None = None,
    backbone: Backbone | None = None,
) -> dict[HeadInput, Tensor]:
    trainer = make_trainer(TrainerSection(**{"accelerator": "cpu", "devices": 1}))
    return extract(backbone or _backbone(), data, statistics or INPUTS, trainer, cache, lambda done, total: None)


def _images_run(*args: Any, **keywords: Any) -> int:
    backbone = keywords.pop("backbone", None) or _backbone()
    counter = _Counter(backbone)
    _run(*args, backbone=backbone, **keywords)
    return counter.images


@functools.cache
def _naive_backbone() -> Backbone:
    return _backbone().eval()


@functools.cache
def _described(content: bytes, taps: str) -> list[Tensor]:
    """One image, decoded here, alone through the backbone: its features, or of no taps its embedding."""
    pixels = Image.open(io.BytesIO(content)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float()[None] / 255
    with torch.no_grad():
        return _naive_backbone().features(image, taps) if taps else [_naive_backbone().embed(image)]


def _naive(data: PairDataModule, statistic: HeadInput) -> Tensor:
    """Pair by pair, image by image."""
    rows = []
    for paths in zip(data.table.paths("reference"), data.table.paths("candidate"), strict=True):
        taps = "" if statistic.kind == "embeddings" else statistic.taps
        features = [_described(Path(path).read_bytes(), taps) for path in paths]
        if not taps:
            rows.append(torch.stack([of_image[0][0] for of_image in features]))
            continue
        if statistic.kind == "pooled_features":
            rows.append(torch.stack([torch.cat([f[0].mean(dim=(1, 2)) for f in taps]) for taps in features]))
            continue
        pieces = []
        for a, b in zip(*features, strict=True):
            if statistic.normalize == "unit":
                a, b = (f / (f.square().sum(dim=1, keepdim=True) + EPS).sqrt() for f in (a, b))
            if statistic.kind == "difference_grids":
                pieces.append(_cells(((a - b) ** 2)[0], max(1, 4 * a.shape[-1] // SIZE)))
                continue
            side = statistic.poolings[0].partition(":")[0]
            b = torch.minimum(a, b) if side == "lost" else torch.maximum(a, b) if side == "gained" else b
            positions = ((a - b) ** 2)[0].flatten(1).sort(dim=1, descending=True).values
            share = {"mean": 1.0, "max": 0.0, "top:0.1": 0.1, "lost:max": 0.0, "gained:top:0.1": 0.1}[
                statistic.poolings[0]
            ]
            pieces.append(positions[:, : max(1, math.ceil(share * positions.shape[1]))].mean(dim=1))
        rows.append(torch.cat(pieces))
    return torch.stack(rows)


def _cells(tap: Tensor, side: int) -> Tensor:
    """Means, then maxima, over squares of positions; the tap as it is where there is one position a square."""
    squares = [
        tap[:, row : row + side, column : column + side].flatten(1)
        for row in range(0, tap.shape[1], side)
        for column in range(0, tap.shape[2], side)
    ]
    ways = [lambda s: s.mean(dim=1), lambda s: s.amax(dim=1)] if side > 1 else [lambda s: s[:, 0]]
    return torch.cat([torch.stack([way(square) for square in squares], dim=1) for way in ways]).flatten()


def _close(a: Tensor, b: Tensor) -> None:
    scale = float(b.abs().max())
    assert scale > 0
    tolerance = 1e-3 if a.dtype == torch.float16 else 1e-5
    torch.testing.assert_close(a.float(), b, atol=tolerance * scale, rtol=tolerance)


@pytest.mark.parametrize("statistic", INPUTS, ids=str)
def test_equals_the_naive_loop(
    table: Path, tmp_path: Path, statistic: HeadInput, tiny_passes: Callable[[int], None]
) -> None:
    data = _data(table)
    expected = _naive(data, statistic)
    for size in (32, 3):
        tiny_passes(size)
        without = _run(data, [statistic])[statistic]
        assert without.shape == expected.shape
        _close(without, expected)
        cached = _run(data, [statistic], VectorCache(tmp_path / f"cache{size}", 10**9))[statistic]
        assert torch.equal(cached, without), "the cache must not change a bit"


@pytest.mark.parametrize("tf32", [False, True])
def test_products_are_float32_unless_tf32_is_asked_for(table: Path, tmp_path: Path, tf32: bool) -> None:
    """What is computed with TF32 is not found as what was computed without."""
    backbone, seen = _backbone(), []
    first = next(module for module in backbone.net.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.conv.fp32_precision))
    trainer = make_trainer(TrainerSection(**{"accelerator": "cpu", "devices": 1}))
    cache = VectorCache(tmp_path, 10**9)
    extract(backbone, _data(table), INPUTS[:1], trainer, cache, lambda done, total: None, tf32)
    assert set(seen) == {"tf32" if tf32 else "ieee"}
    assert any("-tf32" in str(path) for path in tmp_path.rglob("*")) is tf32


@pytest.mark.parametrize("size", [32, 5, 4])
@pytest.mark.parametrize("statistic", [INPUTS[0], INPUTS[2], INPUTS[5]], ids=str)
def test_every_content_goes_through_the_backbone_once(
    table: Path, tmp_path: Path, statistic: HeadInput, size: int, tiny_passes: Callable[[int], None]
) -> None:
    tiny_passes(size)
    data, cache = _data(table), VectorCache(tmp_path / "cache", 10**9)
    names = set(data.dataset_paths())
    contents = {Path(name).read_bytes() for name in names}
    assert len(contents) == len(names) - 1
    assert _images_run(data, [statistic], cache) == len(contents)
    assert _images_run(data, [statistic], cache) == 0, "the second look must find everything"


def test_kinds_that_share_taps_share_passes(table: Path, tmp_path: Path) -> None:
    data = _data(table)
    contents = {Path(name).read_bytes() for name in data.dataset_paths()}
    assert _images_run(data, [own for own in INPUTS if own.needs != ("blocks",)]) == len(contents)


def test_a_pooling_is_added_to_what_is_cached(table: Path, tmp_path: Path) -> None:
    """[mean, max] finds the mean of old; its folder has the name that it had before there were other poolings."""
    data, cache = _data(table), VectorCache(tmp_path / "cache", 10**9)
    head = build_head("lpips_linear", _backbone(), {"pooling": ["mean", "max"]})
    both = list(input_of(head).parts())
    assert both == [INPUTS[0], INPUTS[6]]
    mean = _run(data, both[:1], cache)[both[0]]
    folders = {path.parent.name for path in (tmp_path / "cache").rglob("*.safetensors")}
    assert folders == {"pooled_squared_differences-stages-none"}
    contents = {Path(name).read_bytes() for name in data.dataset_paths()}
    written = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.safetensors")}
    assert _images_run(data, both, cache) == len(contents), "the maximum needs a pass of its own"
    assert all(path.read_bytes() == content for path, content in written.items()), "and leaves the mean alone"
    assert _images_run(data, both, cache) == 0
    assert torch.equal(_run(data, both, cache)[both[0]], mean)


def test_pairs_of_several_sizes_under_a_bound(tmp_path: Path, tiny_passes: Callable[[int], None]) -> None:
    """Native size up to 48 pixels: each pair as it would be alone, images above the bound reduced with their aspect kept."""
    rng, rows = np.random.default_rng(0), []
    for number, (width, height) in enumerate([(40, 36), (96, 48), (33, 60), (40, 36), (48, 48)]):
        for name in ("r", "c"):
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{name}{number}.png")
        row = {"pair_id": f"p{number}", "source_id": f"s{number}", "reference": f"r{number}.png"}
        rows.append({**row, "candidate": f"c{number}.png", "difference": number / 4})
    pd.DataFrame(rows).to_csv(tmp_path / "pairs.csv", index=False)
    data = _data(tmp_path / "pairs.csv", image_size=48, resize="bounded", split={"folds": 2})
    statistics, cache = [INPUTS[0], INPUTS[6]], VectorCache(tmp_path / "cache", 10**9)
    found = _run(data, statistics, cache)
    backbone = _backbone().eval()
    for number, (width, height) in enumerate([(40, 36), (48, 24), (26, 48), (40, 36), (48, 48)]):
        features = []
        for name in ("r", "c"):
            image = Image.open(tmp_path / f"{name}{number}.png")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BICUBIC)
            with torch.no_grad():
                features.append(
                    backbone.features(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255)
                )
        differences = [(a - b).square()[0].flatten(1) for a, b in zip(*features, strict=True)]
        _close(found[INPUTS[0]][number], torch.cat([d.mean(1) for d in differences]))
        _close(found[INPUTS[6]][number], torch.cat([d.amax(1) for d in differences]))
    assert _images_run(data, statistics, cache) == 0
    assert _images_run(_data(tmp_path / "pairs.csv", image_size=32, resize="bounded"), statistics, cache) == 10


def test_a_pair_of_two_sizes_under_a_bound_is_named(table: Path) -> None:
    Image.fromarray(np.zeros((30, 31, 3), dtype=np.uint8)).save(table.parent / "c1_0.png")
    with pytest.raises(UserError, match=r"different sizes; scale one to the other's size, or set data\.resize: squash"):
        _run(_data(table, resize="bounded"), [INPUTS[0]])


def test_what_determines_a_statistic_is_in_its_key(table: Path, tmp_path: Path) -> None:
    cache, statistic = VectorCache(tmp_path / "cache", 10**9), [INPUTS[0]]
    contents = len({Path(name).read_bytes() for name in _data(table).dataset_paths()})
    assert _images_run(_data(table), statistic, cache) == contents
    assert _images_run(_data(table), statistic, cache, backbone=_backbone(seed=1)) == contents, "other weights"
    assert _images_run(_data(table, image_size=48), statistic, cache) == contents, "another size"
    assert _images_run(_data(table, resize="letterbox"), statistic, cache) == contents, "another resizing"
    assert _images_run(_data(table, batch_size=7, split={"folds": 2}), statistic, cache) == 0, "not what matters"
    # another picture under an old name: its pairs only, and right
    Image.fromarray(np.full((40, 36, 3), 77, dtype=np.uint8)).save(table.parent / "c3_0.png")
    data = _data(table)
    partners = {"c3_0.png", "r3.png", "c3_1.png"}
    assert _images_run(data, statistic, cache) == len(partners)
    _close(_run(data, statistic, cache)[INPUTS[0]], _naive(data, INPUTS[0]))


def test_an_image_moved_is_the_same_image(table: Path, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache", 10**9)
    _run(_data(table), [INPUTS[0]], cache)
    shutil.copytree(table.parent, tmp_path / "elsewhere")
    assert _images_run(_data(tmp_path / "elsewhere" / "pairs.csv"), [INPUTS[0]], cache) == 0


@pytest.mark.parametrize("damage", ["truncated", "empty", "not a chunk", "other tensors"])
def test_a_damaged_chunk_is_computed_again(table: Path, tmp_path: Path, damage: str) -> None:
    data, cache = _data(table), VectorCache(tmp_path / "cache", 10**9)
    expected = _run(data, [INPUTS[1]], cache)[INPUTS[1]]
    chunks = list((tmp_path / "cache").rglob("*.safetensors"))
    assert len(chunks) == 1
    content = chunks[0].read_bytes()
    if damage == "other tensors":
        from safetensors.torch import save

        chunks[0].write_bytes(save({"values": torch.zeros(3)}))
    else:
        chunks[0].write_bytes({"truncated": content[: len(content) // 2], "empty": b""}.get(damage, b"x" * 500))
    assert torch.equal(_run(data, [INPUTS[1]], cache)[INPUTS[1]], expected)
    assert _images_run(data, [INPUTS[1]], cache) == 0, "what was computed again must be stored again"


def _entries(count: int, start: int = 0) -> list[bytes]:
    return [(start + i).to_bytes(16, "big") for i in range(count)]


def test_the_oldest_goes_when_the_cache_is_full(tmp_path: Path) -> None:
    cache, key = VectorCache(tmp_path, 3 * 5000), cache_folder("trunk", "pre-32-true", "kind:2")
    for chunk in range(3):
        cache.add(key, _entries(10, 10 * chunk), torch.full((10, 100), float(chunk)))
        for path in tmp_path.rglob("*.safetensors"):  # a minute passes
            os.utime(path, (path.stat().st_atime - 60, path.stat().st_mtime - 60))
    assert cache.lookup(key, _entries(30))[0].all()
    for path in tmp_path.rglob("*.safetensors"):
        os.utime(path, (path.stat().st_atime - 600, path.stat().st_mtime - 600))
    assert cache.lookup(key, _entries(10))[0].all()  # the first chunk is used: it is young again
    cache.add(key, _entries(10, 30), torch.full((10, 100), 3.0))
    found, values = cache.lookup(key, _entries(40))
    assert found[:10].all() and found[30:].all() and found.sum() == 30
    assert values is not None
    assert values[:10].eq(0).all() and values[30:].eq(3).all()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) <= 3 * 5000


def test_a_limit_that_is_too_small_is_named_or_harmless(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that are evicted while the extraction still runs."""
    data = _data(table)
    monkeypatch.setattr(engine.training.feature_pass, "FLUSH_BYTES", 2000)
    monkeypatch.setattr(engine.training.extract, "IMAGES_PER_PASS", 4)
    with pytest.raises(UserError, match=r"cache\.max_gb is too small"):
        _run(data, [INPUTS[0]], VectorCache(tmp_path, 3000))


def test_a_chunk_that_another_process_removes_is_no_fault(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, cache = _data(table), VectorCache(tmp_path / "cache", 10**9)
    expected = _run(data, [INPUTS[0]], cache)[INPUTS[0]]
    utime = os.utime

    def gone(path: Any, *rest: Any) -> None:
        Path(path).unlink()
        utime(path, *rest)

    monkeypatch.setattr(os, "utime", gone)
    assert torch.equal(_run(data, [INPUTS[0]], cache)[INPUTS[0]], expected)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(table: Path, workers: int) -> None:
    statistics = [INPUTS[1], INPUTS[5]]
    here, there = _run(_data(table), statistics), _run(_data(table, workers=workers), statistics)
    for statistic in statistics:
        assert torch.equal(here[statistic], there[statistic])


def test_what_was_computed_before_a_fault_is_used(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_passes: Callable[[int], None]
) -> None:
    monkeypatch.setattr(engine.training.feature_pass, "FLUSH_BYTES", 3000)
    tiny_passes(4)
    data, cache, backbone = _data(table), VectorCache(tmp_path / "cache", 10**9), _backbone()
    counter = _Counter(backbone)

    def cut(done: int, total: int) -> None:
        if done == total // 2:
            raise KeyError("killed")

    trainer = make_trainer(TrainerSection(**{"accelerator": "cpu", "devices": 1}))
    with pytest.raises(KeyError):
        extract(backbone, data, [INPUTS[0]], trainer, cache, cut)
    before = counter.images
    contents = len({Path(name).read_bytes() for name in data.dataset_paths()})
    assert 0 < before < contents
    again = _images_run(data, [INPUTS[0]], cache)
    assert again < contents, "nothing was kept"
    _close(_run(data, [INPUTS[0]], cache)[INPUTS[0]], _naive(data, INPUTS[0]))


def _extract_alone(table: Path, folder: Path, answers: Any) -> None:
    torch.set_num_threads(1)
    backbone = _backbone()
    counter = _Counter(backbone)
    values = _run(_data(table), [INPUTS[0]], VectorCache(folder, 10**9), backbone)[INPUTS[0]]
    answers.put((counter.images, values.numpy()))


def test_processes_side_by_side_on_one_cache(table: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    arguments = (table, tmp_path / "cache", answers)
    processes = [context.Process(target=_extract_alone, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=600) for _ in processes]
    for process in processes:
        process.join(timeout=600)
    data = _data(table)
    expected = _naive(data, INPUTS[0])
    for _, values in found:
        _close(torch.from_numpy(values), expected)
    contents = len({Path(name).read_bytes() for name in data.dataset_paths()})
    assert sorted(images for images, _ in found) == [0, 0, contents], "one computes, the others wait and read"


def _extract_in_group(rank: int, tables: list[Path], root: Path, answers: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", GLOO_SOCKET_IFNAME="lo")  # as torchrun does
    torch.distributed.init_process_group("gloo", init_method=f"file://{root}/store", rank=rank, world_size=3)
    found = []
    for number, table in enumerate(tables):
        backbone, cache = _backbone(), VectorCache(root / f"cache{number}", 10**9)
        counter = _Counter(backbone)
        trainer = make_trainer(TrainerSection(**{"accelerator": "cpu", "devices": 3, "strategy": "ddp"}))
        values = extract(backbone, _data(table), INPUTS[:1], trainer, cache, lambda done, total: None)
        found.append((counter.images, values[INPUTS[0]].numpy()))
    answers.put((rank, found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_three_processes_share_out_the_photos(table: Path, tmp_path: Path) -> None:
    """Of the second table, whose pairs are of one photo, two of the processes have nothing to extract."""
    frame = pd.read_csv(table)
    kept = frame[frame["reference"].isin(["r0.png", "c0_0.png"])].assign(source_id=lambda f: f["pair_id"])
    kept.to_csv(table.parent / "one_photo.csv", index=False)
    tables = [table, table.parent / "one_photo.csv"]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=_extract_in_group, args=(r, tables, tmp_path, answers)) for r in range(3)]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=600) for _ in processes)
    for process in processes:
        process.join(timeout=600)
    for number, name in enumerate(tables):
        data = _data(name)
        expected = _naive(data, INPUTS[0])
        for rank in range(3):
            _close(torch.from_numpy(found[rank][number][1]), expected)
        images = sorted(found[rank][number][0] for rank in range(3))
        assert sum(images) == len({Path(path).read_bytes() for path in data.dataset_paths()})
        assert images[:2] == [0, 0] if number else images[0] > 0
