"""Super-resolved images with maps: tables of `semfid label maps`, the source project's cosine maps, unsafe pickles."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from datamodules import PairDataModule, to_float
from datamodules.batches import PairBatch
from datamodules.safe_pickle import read_pickled_array
from datamodules.sources.sr_outputs import MapFile, from_cosine, origin_of
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.maps import MapError

SIZE = (24, 20)
Photo = Callable[..., Path]


def build(table: Path, **keywords: Any) -> PairDataModule:
    own = {"image_size": 16, "resize": "none", "batch_size": 4, "split": {"val": 0, "test": 0.4}, **keywords}
    made = DATAMODULES.build("sr_outputs", table=str(table), **own)
    assert isinstance(made, PairDataModule)
    return made


def batch_of(data: PairDataModule, *names: str) -> PairBatch:
    rows = [data.table.frame["pair_id"].tolist().index(name) for name in names]
    (batch,) = data.load([[(row, float(len(rows))) for row in rows]], maps=True)  # type: ignore[arg-type]
    return to_float(batch)


@pytest.fixture
def labelled(tmp_path: Path, write_photo: Photo) -> Callable[..., Path]:
    """What labelling writes: 4 photos, 2 outputs each, maps of two levels and unknown pixels."""

    def make(drop: tuple[str, ...] = (), **columns: list[object]) -> Path:
        rows = []
        for row in range(8):
            photo, model = row // 2, "ab"[row % 2]
            write_photo(tmp_path / f"set/HQ/{photo}.png", photo)
            write_photo(tmp_path / f"set/{model}/{photo}.png", 10 + row)
            values = np.full(SIZE[::-1], 0.1 * row)
            values[:5] = np.nan
            values[5:10] = 0.8
            np.save(tmp_path / f"{row}.npy", values.astype(np.float16))
            rows.append(
                {
                    "pair_id": f"p{row}",
                    "source_id": f"s{photo}",
                    "reference": f"set/HQ/{photo}.png",
                    "candidate": f"set/{model}/{photo}.png",
                    "map": f"{row}.npy",
                    "map_mean": (0.8 * 5 + 0.1 * row * 10) / 15,
                    "map_unknown": 0.25,
                    "reference_captions": 2 + row % 3,
                    "candidate_captions": 3,
                    "map_error": "",
                }
            )
        pd.DataFrame(rows).assign(**columns).drop(columns=list(drop)).to_csv(tmp_path / "labelled.csv", index=False)
        return tmp_path / "labelled.csv"

    return make


class TestLabelledTables:
    def test_as_labelling_writes_them(self, labelled: Callable[..., Path]) -> None:
        data = build(labelled())
        frame = data.table.frame
        assert frame["difference"].tolist() == pytest.approx(frame["map_mean"].tolist()) and data.notes == []
        batch = batch_of(data, "p3", "p7")
        assert batch.map is not None and batch.map[:, 0, :5].isnan().all()
        np.testing.assert_allclose(batch.map[:, 0, 12, 0], [0.3, 0.7], atol=1e-3)
        data.check_images(lambda done, total: None)

    def test_labels_from_maps(self, labelled: Callable[..., Path]) -> None:
        with_means = build(labelled())
        without = build(labelled(drop=("map_mean",)))
        np.testing.assert_allclose(without.table.frame["difference"], with_means.table.frame["difference"], atol=1e-3)
        own = [0.5, 0.25] * 4
        assert build(labelled(difference=own)).table.frame["difference"].tolist() == own

    def test_threshold_is_of_the_cosine(self, labelled: Callable[..., Path]) -> None:
        path = labelled()
        data = build(path, threshold=0.4)
        batch = batch_of(data, "p5", "p6", "p7")
        assert batch.map is not None and batch.map[:, 0, :5].isnan().all(), "unknown stays unknown"
        assert batch.map[:, 0, 7, 0].tolist() == [1, 1, 1], "cosine 0.2 is below 0.4: changed"
        assert batch.map[:, 0, 12, 0].tolist() == [0, 1, 1], "cosine 0.5 is above: the same; 0.4 and 0.3 are not"
        assert data.table.frame["difference"].tolist() == build(path).table.frame["difference"].tolist()

    def test_before_resizing(self, labelled: Callable[..., Path]) -> None:
        batch = batch_of(build(labelled(), threshold=0.5, resize="squash"), "p0")
        assert batch.map is not None
        shares = batch.map[0, 0, :, 0]
        assert shares[:4].isnan().all() and shares[4:8].tolist() == [1.0] * 4 and shares[8:].tolist() == [0.0] * 8
        odd = batch_of(build(labelled(), threshold=0.5, resize="squash", image_size=17), "p0").map
        assert odd is not None and 0 < odd[0, 0, 8, 0] < 1, "a pixel on the border is changed in part"

    def test_min_caps(self, labelled: Callable[..., Path]) -> None:
        data = build(labelled(), min_caps=3)
        assert data.table.frame["pair_id"].tolist() == ["p1", "p2", "p4", "p5", "p7"]
        assert data.describe().endswith("; 3 pairs left out for min_caps: 3")
        with pytest.raises(UserError, match=r"no pair of .* is left: 8 pairs left out for min_caps: 9"):
            build(labelled(), min_caps=9).prepare()
        with pytest.raises(UserError, match=r"data\.min_caps needs the column reference_captions"):
            build(labelled(drop=("reference_captions",)), min_caps=2).prepare()
        with pytest.raises(UserError, match="reference_captions of pair 'p0' is not a number"):
            build(labelled(reference_captions=["x", *range(7)]), min_caps=2).prepare()

    def test_errors_are_left_out(self, labelled: Callable[..., Path]) -> None:
        data = build(labelled(map_error=["", "void", "", "", "gone", "", "", ""], map=["", "", *"234567"]), workers=0)
        with pytest.raises(UserError, match=r"no map .*2; check the column map"):
            data.check_images(lambda done, total: None)
        assert data.table.frame["pair_id"].tolist() == ["p0", "p2", "p3", "p5", "p6", "p7"]
        assert data.notes == ["2 pairs left out for their map_error"]

    def test_only_hq(self, labelled: Callable[..., Path]) -> None:
        path = labelled()
        frame = pd.read_csv(path)
        frame.loc[[1, 4], "reference"] = ["set/a/0.png", "set/b/2.png"]
        frame.to_csv(path, index=False)
        assert len(build(path).table) == 8
        assert build(path, only_hq=True).table.frame["pair_id"].tolist() == ["p0", "p2", "p3", "p5", "p6", "p7"]
        by_column = labelled(reference_origin=["GT", "bsrgan"] * 4)
        assert build(by_column, only_hq=True).table.frame["pair_id"].tolist() == ["p0", "p2", "p4", "p6"]

    @pytest.mark.parametrize(
        ("keywords", "columns", "says"),
        [
            ({}, {"drop": ("map",)}, "has no column map; make it with `semfid label maps`"),
            ({"threshold": 1.0}, {}, r"data\.threshold is 1; it is of the cosine"),
            ({"threshold": -0.1}, {}, r"data\.threshold is -0\.1"),
            ({"min_caps": -1}, {}, r"data\.min_caps is -1"),
            (
                {},
                {"map_mean": ["", *[0.1] * 7], "map": ["", *["1.npy"] * 7]},
                "pair 'p0' cannot be labelled: it has neither",
            ),
            ({}, {"map_mean": ["", *[0.1] * 7], "map": ["void.npy"] * 8}, r"in its map .*void\.npy nothing is known"),
        ],
    )
    def test_faults(
        self, labelled: Callable[..., Path], tmp_path: Path, keywords: Any, columns: Any, says: str
    ) -> None:
        np.save(tmp_path / "void.npy", np.full(SIZE[::-1], np.nan, np.float16))
        with pytest.raises(UserError, match=says) as error:
            build(labelled(**columns), **keywords).prepare()
        assert "\n" not in str(error.value)


@pytest.fixture
def cosines(tmp_path: Path, write_photo: Photo) -> Path:
    """The source project's layout: a folder of photos, folders of outputs, pickled cosine maps; the CSV beside the maps."""
    root = tmp_path / "koniq-10k_sr"
    folders = ["LQ_x4_bsrgan_out", "LQ_x4_degfac_0.3_seesr_out"]
    rows = []
    (root / "maps").mkdir(parents=True)
    for photo in range(4):
        write_photo(root / f"HQ/{photo}.jpg", photo)
        names = [f"HQ/{photo}.jpg"]
        for number, folder in enumerate(folders):
            write_photo(root / f"{folder}/{photo}.png", 10 * number + photo)
            names.append(f"{folder}/{photo}.png")
        for a, b in ((0, 1), (0, 2), (1, 2), (0, 0)):
            cosine = np.full(SIZE[::-1], 1.0 - 0.2 * photo - 0.1 * b, np.float32)
            cosine[:10] = 1.0
            file = root / "maps" / f"{photo}_{a}{b}.pkl"
            value: Any = torch.tensor(cosine) if photo % 2 else cosine
            file.write_bytes(pickle.dumps(value, protocol=2 + photo % 4))
            rows.append(
                {
                    "img_a_pth": f"koniq-10k_sr/{names[a]}",
                    "img_b_pth": f"koniq-10k_sr/{names[b]}",
                    "out_paths": f"koniq-10k_sr/maps/{file.name}",
                    "ima_ncaps": 2 + 2 * photo,
                }
            )
    pd.DataFrame(rows).to_csv(root / "maps" / "cosines.csv", index=False)
    return root / "maps" / "cosines.csv"


class TestCosineTables:
    def test_layout(self, cosines: Path) -> None:
        data = build(cosines)
        frame = data.table.frame.set_index("pair_id")
        assert len(frame) == 12 and data.notes == ["4 pairs left out of an image with itself"]
        row = frame.loc["2:HQ:LQ_x4_degfac_0.3_seesr_out"]
        assert row["origin"] == "seesr 0.3" and row["source_id"] == "2"
        assert row["difference"] == pytest.approx(0.6 / 2), "half of the map is 0"
        assert frame.loc["3:LQ_x4_bsrgan_out:LQ_x4_degfac_0.3_seesr_out", "origin"] == "seesr 0.3"
        assert frame.loc["1:HQ:LQ_x4_bsrgan_out", "origin"] == "bsrgan"
        batch = batch_of(data, "1:HQ:LQ_x4_bsrgan_out", "2:HQ:LQ_x4_bsrgan_out")
        assert batch.map is not None and batch.map[:, 0, :10].abs().max() == 0
        np.testing.assert_allclose(batch.map[:, 0, 12, 3], [0.3, 0.5], atol=1e-3)
        data.check_images(lambda done, total: None)

    def test_filters_and_threshold(self, cosines: Path) -> None:
        data = build(cosines, min_caps=4, only_hq=True, threshold=0.55)
        frame = data.table.frame
        assert {*frame["source_id"]} == {"1", "2", "3"} and len(frame) == 6
        assert all(Path(path).parent.name == "HQ" for path in frame["reference"])
        batch = batch_of(data, "1:HQ:LQ_x4_bsrgan_out", "2:HQ:LQ_x4_bsrgan_out", "3:HQ:LQ_x4_bsrgan_out")
        assert batch.map is not None and batch.map[:, 0, 15, 0].tolist() == [0, 1, 1]

    def test_parts_by_photo(self, cosines: Path) -> None:
        (part,) = build(cosines).parts
        sources = build(cosines).table.frame["source_id"].to_numpy()
        assert not {*sources[part.train]} & {*sources[part.test]}

    def test_workers_read_pickles_too(self, cosines: Path) -> None:
        alone, helped = build(cosines), build(cosines, workers=1)
        name = "1:HQ:LQ_x4_bsrgan_out"
        a, b = batch_of(alone, name).map, batch_of(helped, name).map
        assert a is not None and b is not None and torch.equal(a, b)

    def test_a_map_of_another_size(self, cosines: Path) -> None:
        data = build(cosines)
        data.prepare()
        (cosines.parent / "1_01.pkl").write_bytes(pickle.dumps(np.ones((10, 12), np.float32)))
        with pytest.raises(UserError, match=r"1_01\.pkl is 12x10 pixels and its candidate .* 24x20"):
            data.check_images(lambda done, total: None)

    def test_a_path_that_leads_nowhere(self, cosines: Path) -> None:
        (cosines.parents[1] / "HQ/2.jpg").unlink()
        with pytest.raises(UserError, match=r"no file koniq-10k_sr/HQ/2\.jpg relative to the folder of"):
            build(cosines).prepare()

    def test_origins(self) -> None:
        assert origin_of("LQ_x4_degfac_0.7_stablesr_out") == "stablesr 0.7"
        assert origin_of("LQ_x4_swin_ir_out") == "swin_ir" and origin_of("HQ") == "HQ"

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            (np.full((4, 4), 1.5), "holds values from 1.5 to 1.5; cosines lie in"),
            (np.full((4, 4), np.inf), "cosines lie in"),
            (np.ones((4, 4, 2)), r"has shape \(4, 4, 2\)"),
            (np.ones((4, 4), np.int64), "type int64"),
        ],
    )
    def test_no_cosines(self, values: Any, says: str) -> None:
        with pytest.raises(MapError, match=says):
            from_cosine(values, "x")

    def test_cosines_become_differences(self, tmp_path: Path) -> None:
        cosine = np.array([[1.0, 0.25, -0.5, np.nan, 1.0005]], np.float16)
        np.testing.assert_allclose(from_cosine(cosine, "x"), [[0, 0.75, 1, np.nan, 0]], atol=1e-3)
        np.save(tmp_path / "c.npy", cosine)
        found = MapFile(cosine=True, threshold=0.25)(str(tmp_path / "c.npy"))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, [[0, 1, 1, np.nan, 0]])


class Malicious:
    """Unpickled by anything that trusts it, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class TestPickles:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_arrays(self, tmp_path: Path, protocol: int, dtype: Any) -> None:
        values = np.random.default_rng(0).random((5, 7)).astype(dtype)
        for own in (values, np.asfortranarray(values)):
            (tmp_path / "m.pkl").write_bytes(pickle.dumps(own, protocol=protocol))
            np.testing.assert_array_equal(read_pickled_array(tmp_path / "m.pkl"), values)

    def test_arrays_of_older_numpy(self, tmp_path: Path) -> None:
        content = pickle.dumps(np.ones((2, 2), np.float32), protocol=2)
        assert b"numpy._core" in content
        (tmp_path / "m.pkl").write_bytes(content.replace(b"numpy._core", b"numpy.core"))
        assert read_pickled_array(tmp_path / "m.pkl").tolist() == [[1, 1], [1, 1]]

    def test_tensors(self, tmp_path: Path) -> None:
        values = torch.rand(5, 7)
        path = tmp_path / "m.pkl"
        for own in (values, values.half(), values.T.contiguous().T, torch.nn.Parameter(values), values.bfloat16()):
            path.write_bytes(pickle.dumps(own))
            np.testing.assert_array_equal(read_pickled_array(path), own.detach().float().numpy())
        torch.save(values, path)
        np.testing.assert_array_equal(read_pickled_array(path), values.numpy())

    def test_nothing_is_run(self, tmp_path: Path) -> None:
        path, made = tmp_path / "m.pkl", tmp_path / "made"
        evil = Malicious(made)
        hidden = np.empty((1, 1), dtype=object)
        hidden[0, 0] = evil
        inner = pickle.dumps(evil)

        class Storage:
            def __reduce__(self) -> Any:
                return torch.storage._load_from_bytes, (inner,)

        contents = {
            "plain": pickle.dumps(evil),
            "in an array": pickle.dumps(hidden),
            "in a tensor's storage": pickle.dumps(Storage()),
            "in a list": pickle.dumps([np.ones((2, 2)), evil]),
        }
        for name, content in contents.items():
            path.write_bytes(content)
            with pytest.raises(MapError, match=r"m\.pkl cannot be read as a pickled array: .*np\.save") as error:
                read_pickled_array(path)
            assert not made.exists() and "\n" not in str(error.value), name
        torch.save({"x": evil}, path)
        with pytest.raises(MapError, match="cannot be read as a pickled array"):
            read_pickled_array(path)
        assert not made.exists()
        pickle.loads(contents["plain"])
        assert made.exists(), "the test's file does harm where it is trusted"

    @pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(np.ones((9, 9)))[:60], b"PK\x03\x04 broken"])
    def test_broken(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "m.pkl").write_bytes(content)
        with pytest.raises(MapError, match="cannot be read as a pickled array"):
            read_pickled_array(tmp_path / "m.pkl")

    def test_other_things(self, tmp_path: Path) -> None:
        (tmp_path / "m.pkl").write_bytes(pickle.dumps([1, 2]))
        with pytest.raises(MapError, match="holds a list, not an array or a tensor"):
            read_pickled_array(tmp_path / "m.pkl")
        with pytest.raises(MapError, match=r"no map .*gone\.pkl"):
            read_pickled_array(tmp_path / "gone.pkl")


def test_a_grey_map_with_a_threshold(labelled: Callable[..., Path], tmp_path: Path) -> None:
    path = labelled(map=["m.png"] * 8)
    Image.fromarray(np.full(SIZE[::-1], 204, np.uint8)).save(tmp_path / "m.png")  # difference 0.8, cosine 0.2
    for threshold, expected in ((0.1, 0.0), (0.3, 1.0)):
        shown = batch_of(build(path, threshold=threshold), "p0").map
        assert shown is not None and {*shown.flatten().tolist()} == {expected}
