"""Pair sets: readable, without leaks, the same after a cut-off, refusing what they cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semfid.io.pair_table as pairs
from data_tools.synthetic import SceneSetConfig, scene_pairs, write_coco_set, write_image_folder, write_pair_set
from semfid.errors import UserError

SMALL = SceneSetConfig(scenes=12, candidates_per_scene=4, size=64, seed=2, votes=20, first=5)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs") / "set"
    write_pair_set(out, SMALL)
    return out


def test_table(written: Path) -> None:
    table = pairs.read_pairs(written / "pairs.csv")
    frame = table.frame
    assert len(table) == 48 and frame["source_id"].nunique() == 12
    assert (frame["votes"] == 20).all() and np.allclose(frame["difference"], frame["yes_votes"] / 20)
    assert frame["true_rate"].between(0, 1).all() and (frame["origin"] == frame["edit"]).all()
    pairs.assign_splits(table, val=0.2, test=0.2, seed=0)
    for reference, candidate, mask, row in zip(
        table.paths("reference"), table.paths("candidate"), table.paths("map"), frame.to_dict("records"), strict=True
    ):
        images = [np.asarray(Image.open(path)) for path in (reference, candidate, mask)]
        assert [image.shape for image in images] == [(64, 64, 3), (64, 64, 3), (64, 64)]
        assert set(np.unique(images[2])) <= {0, 255}
        assert bool(images[2].any()) == (row["edit"] in ("intra", "inter", "removed"))
        if row["edit"] in ("intra", "inter", "removed"):
            assert images[2].mean() / 255 >= row["area"] - 1e-4
        if row["edit"] == "unchanged":
            assert row["reference_caption"] == row["candidate_caption"]
        elif row["edit"] != "same_class":
            assert row["reference_caption"] != row["candidate_caption"]


def test_memory_equals_disk(written: Path) -> None:
    pair = scene_pairs(SMALL, 7)[1]
    assert np.array_equal(np.asarray(Image.open(written / str(pair.row["candidate"]))), pair.candidate)
    assert np.array_equal(np.asarray(Image.open(written / str(pair.row["reference"]))), pair.reference)
    assert np.array_equal(np.asarray(Image.open(written / str(pair.row["map"]))), pair.mask)


def test_scenes_do_not_depend_on_the_set(written: Path, tmp_path: Path) -> None:
    write_pair_set(tmp_path / "other", replace(SMALL, scenes=2, first=8, candidates_per_scene=2))
    whole, part = contents(written), contents(tmp_path / "other")
    shared = [name for name in part if name.endswith(".png")]
    assert len(shared) > 6 and all(part[name] == whole[name] for name in shared)


def test_resume_is_byte_identical(written: Path, tmp_path: Path) -> None:
    class CutOff(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise CutOff

    out = tmp_path / "set"
    with pytest.raises(CutOff):
        write_pair_set(out, SMALL, stop)
    assert not (out / "pairs.csv").exists()
    (out / "references" / ".000099.png.1.part").write_bytes(b"cut off")
    kept = (out / "references" / "000006.png").stat().st_mtime_ns
    calls: list[tuple[int, int]] = []
    write_pair_set(out, SMALL, lambda done, total: calls.append((done, total)))
    assert calls == [(k, 12) for k in range(1, 13)]
    assert contents(out) == contents(written)
    assert (out / "references" / "000006.png").stat().st_mtime_ns == kept


def test_finished_set_is_not_made_again(written: Path) -> None:
    calls: list[int] = []
    assert write_pair_set(written, SMALL, lambda done, total: calls.append(done)) == written / "pairs.csv"
    assert calls == []


def test_balance_of_edits() -> None:
    config = SceneSetConfig(size=64, seed=3)
    kinds = [str(pair.row["edit"]) for index in range(80) for pair in scene_pairs(config, index)]
    assert 0.3 < kinds.count("unchanged") / len(kinds) < 0.46
    for kind in ("same_class", "intra", "inter", "removed"):
        assert kinds.count(kind) / len(kinds) > 0.08


def test_psnr_is_fooled() -> None:
    config = SceneSetConfig(size=64, seed=4)
    found = [pair for index in range(60) for pair in scene_pairs(config, index)]
    error = np.array([((p.reference.astype(float) - p.candidate) ** 2).mean() for p in found])
    label = np.array([float(str(p.row["difference"])) for p in found])
    ranks = np.corrcoef(error.argsort().argsort(), label.argsort().argsort())[0, 1]
    assert ranks < 0.5
    rate = np.array([float(str(p.row["true_rate"])) for p in found])
    assert np.corrcoef(rate, label)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scenes": 0}, "scenes=0 must be 1 or more"),
        ({"size": 10}, "64 to 512"),
        ({"votes": 0}, "votes=0 must be 1 or more"),
        ({"candidates_per_scene": 0}, "candidates_per_scene=0"),
        ({"seed": -1}, "seed=-1"),
        ({"first": -3}, "first=-3"),
    ],
)
def test_bad_settings(tmp_path: Path, change: dict[str, int], text: str) -> None:
    config = SceneSetConfig(**{**{"scenes": 1}, **change})
    for write in (write_pair_set, write_coco_set, write_image_folder):
        with pytest.raises(UserError, match=text):
            write(tmp_path / "new", config)
    assert not (tmp_path / "new").exists()


def test_another_set_is_refused(written: Path) -> None:
    with pytest.raises(UserError, match=r"set was made with other settings \(seed=2 there, 9 here\); delete it"):
        write_pair_set(written, replace(SMALL, seed=9))
    with pytest.raises(UserError, match="kind='pairs' there, 'coco' here"):
        write_coco_set(written, SMALL)


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("notes")
    with pytest.raises(UserError, match=r"holds other files \(mine.txt\)"):
        write_pair_set(tmp_path, SMALL)
    with pytest.raises(UserError, match="is a file or lies below one; choose a folder"):
        write_pair_set(tmp_path / "mine.txt", SMALL)
    with pytest.raises(UserError, match="is a file or lies below one; choose a folder"):
        write_pair_set(tmp_path / "mine.txt" / "deeper", SMALL)


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        write_pair_set(tmp_path / "set", SMALL)
    assert not (tmp_path / "set" / "pairs.csv").exists()
    assert not [path for path in (tmp_path / "set").rglob("*.png*") if path.is_file()]
