"""Maps beside the images of a batch: the same geometry, only on demand; references that a batch shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules import PairDataModule, to_float
from datamodules.batches import PairBatch
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.images import Resize
from semfid.io.maps import read_map, resize_map

Make = Callable[..., Path]


def with_maps(path: Path, kinds: str = "png npy none", size: tuple[int, int] = (24, 20)) -> Path:
    """Give a pair table maps of several kinds in turn; ``none`` leaves the entry empty."""
    frame, rng = pd.read_csv(path), np.random.default_rng(7)
    (path.parent / "maps").mkdir(exist_ok=True)
    names = []
    for row in range(len(frame)):
        kind = kinds.split()[row % len(kinds.split())]
        values = rng.random(size[::-1])
        name = f"maps/{row}.{kind}"
        if kind == "png":
            Image.fromarray((values * 255).astype(np.uint8)).save(path.parent / name)
        elif kind == "npy":
            values[values < 0.3] = np.nan
            np.save(path.parent / name, values.astype(np.float16))
        names.append("" if kind == "none" else name)
    frame.assign(map=names).to_csv(path, index=False)
    return path


def pairs_module(table: Path, **keywords: Any) -> PairDataModule:
    own = {"image_size": 16, "batch_size": 4, "split": {"val": 0.2, "test": 0.3}, **keywords}
    made = DATAMODULES.build("pairs", table=str(table), **own)
    assert isinstance(made, PairDataModule)
    return made


def same(a: PairBatch, b: PairBatch) -> bool:
    return all(
        torch.equal(x.nan_to_num(2), y.nan_to_num(2)) if isinstance(x, Tensor) else x == y
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("resize", ["squash", "letterbox", "center_crop", "none"])
def test_maps_go_with_their_images(pair_folder: Make, resize: Resize) -> None:
    path = with_maps(pair_folder(6, 2))
    data = pairs_module(path, resize=resize)
    names = pd.read_csv(path, keep_default_na=False)["map"]
    data.select(data.parts[0], 0, maps=True)
    seen = []
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            assert batch.map.dtype == torch.float16, "workers ship two bytes a pixel"
            batch = data.on_after_batch_transfer(batch, 0)
            assert batch.map.dtype == torch.float32
            assert batch.map.shape == (len(batch.row), 1, *batch.reference.shape[2:])
            for row, found in zip(batch.row.tolist(), batch.map[:, 0], strict=True):
                if names[row]:
                    expected = resize_map(read_map(path.parent / names[row]), 16, resize)
                    np.testing.assert_allclose(found.numpy(), expected, atol=5e-4)
                    assert not found.isnan().all()
                else:
                    assert found.isnan().all()
            seen += batch.row.tolist()
    assert sorted(seen) == list(range(12))


def test_maps_only_where_asked_for(pair_folder: Make) -> None:
    path = with_maps(pair_folder(6, 2))
    data = pairs_module(path)
    assert data.has_maps
    for file in (path.parent / "maps").iterdir():
        file.unlink()  # who does not ask does not read
    data.select(data.parts[0], 0)
    assert all(batch.map is None for batch in data.train_dataloader())
    assert all(batch.map is None for batch in data.load([[(0, 1.0)]]))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"no map .*maps/0\.png"):
        list(data.load([[(0, 1.0)]], maps=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("column", [False, True])
def test_a_table_without_maps(pair_folder: Make, column: bool) -> None:
    path = pair_folder()
    data = pairs_module(with_maps(path, "none") if column else path)
    assert not data.has_maps
    says = "has no maps; add the column map, with the path"
    with pytest.raises(UserError, match=says):
        data.select(data.parts[0], 0, maps=True)
    with pytest.raises(UserError, match=says):
        data.load([], maps=True)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=says):
        data.content_digest(maps=True)


def test_workers_batch_size_and_memory_change_nothing(pair_folder: Make) -> None:
    path = with_maps(pair_folder(6, 2))
    variants = [pairs_module(path, **own) for own in ({}, {"workers": 2}, {"in_memory": True})]
    for data in variants:
        data.select(data.parts[0], 3, maps=True)
    first = list(variants[0].train_dataloader())
    for data in variants[1:]:
        for _ in range(2):
            again = list(data.train_dataloader())
            assert len(again) == len(first) and all(same(a, b) for a, b in zip(first, again, strict=True))
    wide = pairs_module(path, batch_size=7)
    wide.select(wide.parts[0], 3, maps=True)
    by_row = {row: m for b in wide.train_dataloader() for row, m in zip(b.row.tolist(), b.map, strict=True)}
    for batch in first:
        for row, found in zip(batch.row.tolist(), batch.map, strict=True):
            assert torch.equal(found.nan_to_num(2), by_row[row].nan_to_num(2))


class TestFirst:
    def test_the_first_pair_of_a_reference(self, pair_folder: Make) -> None:
        data = pairs_module(pair_folder(3, 3), split={"val": 0, "test": 0.4})
        (batch,) = data.load([[(row, 6.0) for row in (1, 3, 0, 4, 8, 2)]])  # type: ignore[arg-type]
        assert batch.source_id == ("s0", "s1", "s0", "s1", "s2", "s0")
        assert batch.first.tolist() == [0, 1, 0, 1, 4, 0] and batch.first.dtype == torch.int64
        assert torch.equal(batch.reference, batch.reference[batch.first])

    def test_a_shared_reference_is_decoded_once(self, pair_folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        import datamodules.pair_dataset as module

        read: list[str] = []
        original = module.read_image
        monkeypatch.setattr(module, "read_image", lambda path: (read.append(Path(path).name), original(path))[1])
        data = pairs_module(pair_folder(3, 3), split={"val": 0, "test": 0.4})
        list(data.load([[(row, 4.0) for row in (0, 1, 2, 3)]]))  # type: ignore[arg-type]
        assert read.count("s0.png") == 1 and len(read) == 6


class TestFaults:
    def test_check_names_the_first_map(self, pair_folder: Make) -> None:
        path = with_maps(pair_folder(6, 2))
        steps: list[tuple[int, int]] = []
        pairs_module(path).check_images(lambda done, total: steps.append((done, total)))
        assert steps == [(i + 1, 18 + 8) for i in range(26)]
        np.save(path.parent / "maps" / "1.npy", np.full((20, 24), 1.5))
        Image.new("RGB", (24, 20), "red").save(path.parent / "maps" / "6.png")
        with pytest.raises(UserError, match=r"maps/1\.npy holds values from 1\.5 to 1\.5, .* \(and 1 more\)"):
            pairs_module(path).check_images(lambda done, total: None)

    def test_a_map_of_another_size(self, pair_folder: Make) -> None:
        path = with_maps(pair_folder(6, 2))
        Image.new("L", (12, 10)).save(path.parent / "maps" / "3.png")
        says = r"map .*maps/3\.png is 12x10 pixels and its candidate .*m1_s1\.png 24x20; make the map again"
        data = pairs_module(path)
        with pytest.raises(UserError, match=says):
            data.check_images(lambda done, total: None)
        with pytest.raises(UserError, match=says):
            list(data.load([[(3, 1.0)]], maps=True))  # type: ignore[arg-type]

    def test_in_a_worker(self, pair_folder: Make) -> None:
        path = with_maps(pair_folder(4, 1), "png")
        for file in (path.parent / "maps").iterdir():
            file.write_bytes(b"nothing")
        data = pairs_module(path, workers=1)
        loader = data.load([[(0, 1.0)]], maps=True)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"^map .*maps/0\.png is not an image that Pillow can read") as error:
            list(loader)
        assert "\n" not in str(error.value)
        loader._iterator._shutdown_workers()  # type: ignore[union-attr]


def test_the_digest_sees_maps_on_demand(pair_folder: Make) -> None:
    path = with_maps(pair_folder(6, 2))
    before, with_before = pairs_module(path).content_digest(), pairs_module(path).content_digest(maps=True)
    cropped = pairs_module(path, object_crop=1.5).content_digest()
    assert before != with_before
    Image.new("L", (24, 20), 9).save(path.parent / "maps" / "0.png")
    assert pairs_module(path).content_digest() == before, "a run that looks at no map stays the same run"
    assert pairs_module(path).content_digest(maps=True) != with_before
    assert pairs_module(path, object_crop=1.5).content_digest() != cropped, "crops look at maps"
    (path.parent / "maps" / "0.png").unlink()
    with pytest.raises(UserError, match=r"no map .*maps/0\.png"):
        pairs_module(path).content_digest(maps=True)


def test_scenes_have_maps(tmp_path: Path) -> None:
    data = DATAMODULES.build(
        "scenes", folder=str(tmp_path), scenes=4, candidates_per_scene=3, size=64, image_size=32, batch_size=12
    )
    assert isinstance(data, PairDataModule) and data.has_maps
    (batch,) = data.load([[(row, 12.0) for row in range(12)]], maps=True)  # type: ignore[arg-type]
    batch = to_float(batch)
    kinds = data.table.frame["edit"].tolist()
    for kind, found in zip(kinds, batch.map, strict=True):
        assert (found.max() > 0.5) == (kind not in ("unchanged", "same_class")), kind
    data.check_images(lambda done, total: None)
