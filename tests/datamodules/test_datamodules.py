"""From files to batches: contents, faults, workers; the human study's formats; the embedded world."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules import ImageDataModule, PairDataModule, to_float
from datamodules.batches import PairBatch
from datamodules.samplers import epoch_order
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.images import load_pixels
from semfid.io.pair_table import read_pairs

Make = Callable[..., Path]


def pairs_module(table: Path, **keywords: Any) -> PairDataModule:
    own = {"image_size": 16, "batch_size": 4, "split": {"val": 0.2, "test": 0.3}, **keywords}
    made = DATAMODULES.build("pairs", table=str(table), **own)
    assert isinstance(made, PairDataModule)
    return made


def all_of(loader: Any) -> list[PairBatch]:
    return list(loader)


def same(a: PairBatch, b: PairBatch) -> bool:
    return all(torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in zip(a, b, strict=True))


class TestBatches:
    @pytest.mark.parametrize("resize", ["squash", "letterbox", "center_crop", "none"])
    def test_what_a_batch_holds(self, pair_folder: Make, resize: str) -> None:
        path = pair_folder(6, 2)
        data = pairs_module(path, resize=resize, weights="votes")
        frame = read_pairs(path).frame
        (part,) = data.parts
        seen = []
        for batch in all_of(data.train_dataloader()):
            assert batch.reference.dtype == torch.uint8, "workers ship bytes; the device makes floats"
            batch = data.on_after_batch_transfer(batch, 0)
            shape = (3, 20, 24) if resize == "none" else (3, 16, 16)
            assert batch.reference.shape == batch.candidate.shape == (len(batch.row), *shape)
            assert batch.map is None and batch.total == len(batch.row)
            for index, row in enumerate(batch.row.tolist()):
                expected = frame.iloc[row]
                for image, column in ((batch.reference, "reference"), (batch.candidate, "candidate")):
                    pixels = load_pixels(path.parent / expected[column], 16, resize)  # type: ignore[arg-type]
                    torch.testing.assert_close(image[index], torch.from_numpy(pixels).float() / 255)
                assert batch.pair_id[index] == expected["pair_id"] and batch.source_id[index] == expected["source_id"]
                assert batch.difference[index].item() == pytest.approx(expected["yes_votes"] / expected["votes"])
                assert batch.weight[index].item() == pytest.approx(expected["votes"] / frame["votes"].mean())
            seen += batch.row.tolist()
        assert sorted(seen) == part.train.tolist()

    def test_weights(self, pair_folder: Make) -> None:
        assert torch.equal(all_of(pairs_module(pair_folder()).train_dataloader())[0].weight, torch.ones(4))
        votes = pairs_module(pair_folder(), weights="votes")
        votes.prepare()
        assert votes.weight.mean().item() == pytest.approx(1.0)

    def test_weights_need_votes(self, pair_folder: Make) -> None:
        path = pair_folder()
        frame = pd.read_csv(path)
        frame.assign(difference=frame["yes_votes"] / frame["votes"]).drop(columns=["yes_votes", "votes"]).to_csv(
            path, index=False
        )
        with pytest.raises(UserError, match=r"data\.weights: votes needs the column votes"):
            pairs_module(path, weights="votes").prepare()

    def test_evaluation_parts_in_order_and_whole(self, pair_folder: Make) -> None:
        data = pairs_module(pair_folder(8, 2), batch_size=3)
        (part,) = data.parts
        for loader, rows in ((data.val_dataloader(), part.val), (data.test_dataloader(), part.test)):
            assert torch.cat([batch.row for batch in all_of(loader)]).tolist() == rows.tolist()

    def test_no_validation_part(self, pair_folder: Make) -> None:
        assert pairs_module(pair_folder(), split={"val": 0}).val_dataloader() == []

    def test_workers_change_nothing(self, pair_folder: Make) -> None:
        path = pair_folder(6, 3)
        alone, helped = (pairs_module(path, workers=workers) for workers in (0, 2))
        for loader in ("train_dataloader", "test_dataloader"):
            a, b = all_of(getattr(alone, loader)()), all_of(getattr(helped, loader)())
            assert len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))

    def test_in_memory_changes_nothing(self, pair_folder: Make) -> None:
        path = pair_folder()
        a, b = pairs_module(path), pairs_module(path, in_memory=True)
        first = all_of(b.train_dataloader())
        for image in path.parent.rglob("*.png"):
            image.unlink()
        again = all_of(b.train_dataloader())
        assert all(same(x, y) for x, y in zip(first, again, strict=True))
        with pytest.raises(UserError, match="no image"):
            all_of(a.train_dataloader())

    def test_select(self, pair_folder: Make) -> None:
        data = pairs_module(pair_folder(6, 2), split={"folds": 3, "val": 0})
        for part in data.parts:
            data.select(part, seed=part.index)
            assert sorted(torch.cat([b.row for b in all_of(data.train_dataloader())]).tolist()) == part.train.tolist()
            assert torch.cat([b.row for b in all_of(data.test_dataloader())]).tolist() == part.test.tolist()

    def test_calibration_pairs(self, pair_folder: Make) -> None:
        data = pairs_module(pair_folder(6, 2))
        rows = torch.cat([batch.row for batch in data.calibration_batches(5)]).tolist()
        assert rows == data.parts[0].train[:5].tolist()

    def test_to_float_is_done_once(self, pair_folder: Make) -> None:
        batch = to_float(all_of(pairs_module(pair_folder()).train_dataloader())[0])
        assert batch.reference.dtype == torch.float32 and batch.reference.min() >= 0 and batch.reference.max() <= 1
        assert same(to_float(batch), batch)

    def test_lightning_shuffles_anew_each_epoch(self, pair_folder: Make, tmp_path: Path) -> None:
        """Lightning must call set_epoch where it looks for it; a batch sampler of one's own is easily passed over."""

        class Watch(L.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.seen: dict[int, list[int]] = {}
                self.weight = torch.nn.Parameter(torch.zeros(()))

            def training_step(self, batch: PairBatch, index: int) -> Tensor:
                assert batch.reference.dtype == torch.float32
                self.seen.setdefault(self.current_epoch, []).extend(batch.row.tolist())
                return self.weight * batch.difference.sum()

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD([self.weight], lr=0.1)

        data, watch = pairs_module(pair_folder(6, 2), split={"val": 0}), Watch()
        data.select(data.parts[0], seed=11)
        L.Trainer(
            accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False, max_epochs=3, default_root_dir=tmp_path,
        ).fit(watch, datamodule=data)  # fmt: skip
        train = data.parts[0].train
        assert watch.seen == {epoch: epoch_order(train, 12, 11, epoch).tolist() for epoch in range(3)}


class TestFaults:
    def test_no_table(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"data\.table: no such file or folder .*gone\.csv"):
            pairs_module(tmp_path / "gone.csv").prepare()

    def test_no_labels(self, pair_folder: Make) -> None:
        path = pair_folder()
        pd.read_csv(path).drop(columns=["yes_votes", "votes"]).to_csv(path, index=False)
        with pytest.raises(UserError, match="has no labels; it needs the column difference, or yes_votes and votes"):
            pairs_module(path).prepare()

    def test_a_missing_label(self, pair_folder: Make) -> None:
        path = pair_folder()
        frame = pd.read_csv(path).drop(columns=["yes_votes", "votes"]).assign(difference=0.25)
        frame.loc[[3, 5], "difference"] = np.nan
        frame.to_csv(path, index=False)
        with pytest.raises(UserError, match=r"pair 'p1_1' has no difference \(2 pairs\); label or drop it"):
            pairs_module(path).prepare()

    def test_constant_labels(self, pair_folder: Make) -> None:
        path = pair_folder(yes_votes=[3] * 12, votes=[6] * 12)
        with pytest.raises(UserError, match=r"every difference is 0\.5; constant labels can neither train nor rank"):
            pairs_module(path).prepare()

    @pytest.mark.parametrize(
        ("key", "value", "least"), [("image_size", 8, 16), ("batch_size", 0, 1), ("workers", -1, 0)]
    )
    def test_impossible_numbers(self, pair_folder: Make, key: str, value: int, least: int) -> None:
        with pytest.raises(UserError, match=rf"data\.{key} is {value}; it must be at least {least}"):
            pairs_module(pair_folder(), **{key: value})

    def test_split_is_checked_at_construction(self, pair_folder: Make) -> None:
        with pytest.raises(UserError, match=r"data\.split has no key 'fold'"):
            pairs_module(pair_folder(), split={"fold": 5})

    def test_a_leaking_table_is_refused(self, pair_folder: Make) -> None:
        path = pair_folder(split=["train", "test"] * 6)
        with pytest.raises(UserError, match="source_id 's0' stands in split test and train"):
            pairs_module(path).prepare()
        study = DATAMODULES.build("user_study", answers=str(path))
        with pytest.raises(UserError, match="a photo must be on one side only"):
            study.prepare()

    def test_by_row_is_marked(self, pair_folder: Make) -> None:
        assert pairs_module(pair_folder(), split={"by": "row"}).leaky
        assert not pairs_module(pair_folder()).leaky

    def test_sizes_that_differ(self, pair_folder: Make, write_photo: Callable[..., Path]) -> None:
        path = pair_folder(6, 1)
        write_photo(path.parent / "candidates" / "m0_s2.png", 5, (30, 20))
        data = pairs_module(path, resize="none", batch_size=6, split={"val": 0, "test": 0.2})
        with pytest.raises(
            UserError, match=r"pair 'p2_0': \(24, 20\) against \(30, 20\) pixels; data\.resize: none needs"
        ):
            data.check_images(lambda done, total: None)
        with pytest.raises(UserError, match=r"a 30x20 image among 24x20 ones; set data\.resize to squash"):
            all_of(data.load([[(row, 3.0) for row in (0, 2, 4)]]))  # type: ignore[arg-type]
        pairs_module(path).check_images(lambda done, total: None)

    def test_an_image_that_workers_cannot_read(self, pair_folder: Make) -> None:
        path = pair_folder(4, 1)
        for image in (path.parent / "photos").iterdir():
            image.write_bytes(image.read_bytes()[:60])
        loader = pairs_module(path, workers=1).train_dataloader()
        with pytest.raises(UserError, match=r"photos/s\d\.png is corrupt"):
            all_of(loader)
        loader._iterator._shutdown_workers()  # type: ignore[union-attr]  # left to the garbage collector it takes 5 s


class TestImages:
    def test_hashes_are_of_the_content(self, pair_folder: Make) -> None:
        path = pair_folder(4, 2)
        data = pairs_module(path)
        steps: list[tuple[int, int]] = []
        hashes = data.image_hashes(lambda done, total: steps.append((done, total)))
        files = sorted(str(file) for file in path.parent.rglob("*.png"))
        assert sorted(hashes) == files and steps == [(i + 1, 12) for i in range(12)]
        for file in files:
            assert hashes[file] == hashlib.blake2b(Path(file).read_bytes(), digest_size=16).digest()

    def test_a_missing_image(self, pair_folder: Make) -> None:
        path = pair_folder()
        (path.parent / "photos" / "s3.png").unlink()
        with pytest.raises(UserError, match=r"no image .*photos/s3\.png"):
            pairs_module(path).image_hashes()

    def test_check_images_names_the_first_and_counts(self, pair_folder: Make) -> None:
        path = pair_folder()
        for name in ("s2", "s4"):
            file = path.parent / "photos" / f"{name}.png"
            file.write_bytes(file.read_bytes()[:100])
        (path.parent / "photos" / "s5.png").unlink()
        steps: list[tuple[int, int]] = []
        with pytest.raises(UserError, match=r"photos/s2\.png is corrupt: .* \(and 2 more\)"):
            pairs_module(path).check_images(lambda done, total: steps.append((done, total)))
        assert steps[-1] == (18, 18), "all are read before it speaks"

    def test_preprocessing_names_what_matters(self, pair_folder: Make) -> None:
        path = pair_folder()
        kinds = {pairs_module(path, **k).preprocessing for k in ({}, {"image_size": 32}, {"resize": "letterbox"})}
        assert len(kinds) == 3
        assert pairs_module(path, batch_size=9, workers=2).preprocessing == pairs_module(path).preprocessing


class TestPairTable:
    def test_invert_scale_clip(self, pair_folder: Make) -> None:
        path = pair_folder(3, 2)
        pd.read_csv(path).assign(mos=[0, 20, 50, 80, 100, 104]).to_csv(path, index=False)
        data = pairs_module(path, columns={"difference": "mos"}, scale=100.0, clip=True, invert=True)
        assert data.table.frame["difference"].tolist() == pytest.approx([1.0, 0.8, 0.5, 0.2, 0.0, 0.0])
        with pytest.raises(UserError, match="outside"):
            pairs_module(path, columns={"difference": "mos"}, scale=100.0).prepare()
        with pytest.raises(UserError, match=r"data\.columns has no key 'diference'; did you mean 'difference'"):
            pairs_module(path, columns={"diference": "mos"}, scale=100.0)
        with pytest.raises(UserError, match=r"data\.scale is 0; it must be positive"):
            pairs_module(path, scale=0.0)

    def test_invert_needs_a_label(self, pair_folder: Make) -> None:
        path = pair_folder()
        pd.read_csv(path).drop(columns=["yes_votes", "votes"]).to_csv(path, index=False)
        with pytest.raises(UserError, match=r"data\.invert: .* has no difference to turn round"):
            pairs_module(path, invert=True).prepare()

    def test_parquet(self, pair_folder: Make) -> None:
        path = pair_folder()
        pd.read_csv(path, dtype={"pair_id": str}).to_parquet(path.with_suffix(".parquet"), index=False)
        a, b = pairs_module(path), pairs_module(path.with_suffix(".parquet"))
        assert a.table.content_hash() == b.table.content_hash()
        assert all(same(x, y) for x, y in zip(all_of(a.train_dataloader()), all_of(b.train_dataloader()), strict=True))

    def test_real_scores(self, test_data: Callable[[str], Path]) -> None:
        table = test_data("live_subset") / "dmos.csv"
        columns = {"pair_id": "candidate", "source_id": "reference", "origin": "type", "difference": "dmos"}
        data = pairs_module(table, columns=columns, scale=100, clip=True, split={"folds": -1, "val": 0})
        own = pd.read_csv(table)
        np.testing.assert_allclose(data.table.frame["difference"], (own["dmos"] / 100).clip(0, 1))
        assert len(data.table) == 57 and len(data.parts) == own["reference"].nunique() == 4
        for part in data.parts:
            assert own["reference"][part.test].nunique() == 1
            assert not set(own["reference"][part.test]) & set(own["reference"][part.train])
        data.check_images(lambda done, total: None)


ANSWERS = ["User Code", "Ground Truth Image", "Super Resolution Image", "Answer", "Timestamp"]


class TestUserStudy:
    @pytest.fixture
    def study(self, tmp_path: Path, write_photo: Callable[..., Path]) -> Callable[..., PairDataModule]:
        """Photos 001.png .. 004.png, outputs of two models in subfolders; `rows` are written as the answers."""
        for number in range(1, 5):
            write_photo(tmp_path / "HQ" / f"{number:03d}.png", number)
            for model in ("BSRGAN", "Real_ESRGAN"):
                write_photo(tmp_path / "SR" / model / f"{model}_{number:03d}.png", 100 + number)

        def make(rows: list[list[Any]] | pd.DataFrame, **keywords: Any) -> PairDataModule:
            frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=ANSWERS)
            frame.to_csv(tmp_path / "answers.csv", index=False)
            folders = {"references": str(tmp_path / "HQ"), "candidates": str(tmp_path / "SR")}
            own = {"image_size": 16, "split": {"val": 0, "test": 0.3}, **folders, **keywords}
            made = DATAMODULES.build("user_study", answers=str(tmp_path / "answers.csv"), **own)
            assert isinstance(made, PairDataModule)
            return made

        return make

    @staticmethod
    def answers(*given: tuple[str, str, str], start: int = 0) -> list[list[str]]:
        return [
            [user, f"{image.rsplit('_', 1)[-1]}", image, answer, f"2024-05-01 10:{start + minute:02d}:00"]
            for minute, (user, image, answer) in enumerate(given)
        ]

    def test_answers_become_votes(self, study: Callable[..., PairDataModule], tmp_path: Path) -> None:
        rows = self.answers(
            ("u1", "BSRGAN_001.png", "Yes"),
            ("u2", "BSRGAN_001.png", "No"),
            ("u3", "BSRGAN_001.png", " yes "),
            ("u1", "Real_ESRGAN_002.png", "NO"),
            ("u2", "Real_ESRGAN_002.png", "No"),
            ("u1", "Real_ESRGAN_001.png", "No"),
        )
        frame = study(rows).table.frame.set_index("pair_id")
        assert frame[["yes_votes", "votes"]].to_numpy().tolist() == [[2, 3], [0, 1], [0, 2]]
        assert list(frame.index) == ["BSRGAN_001", "Real_ESRGAN_001", "Real_ESRGAN_002"]
        assert frame["difference"].tolist() == pytest.approx([2 / 3, 0.0, 0.0])
        assert frame["source_id"].tolist() == ["001", "001", "002"]
        assert frame["origin"].tolist() == ["BSRGAN", "Real_ESRGAN", "Real_ESRGAN"]
        assert frame.loc["Real_ESRGAN_002", "reference"] == str(tmp_path / "HQ" / "002.png")
        assert frame.loc["Real_ESRGAN_002", "candidate"] == str(tmp_path / "SR" / "Real_ESRGAN" / "Real_ESRGAN_002.png")

    def test_a_users_last_answer_counts(self, study: Callable[..., PairDataModule]) -> None:
        rows = self.answers(
            ("u1", "BSRGAN_001.png", "No"),
            ("u1", "BSRGAN_001.png", "Yes"),
            ("u2", "BSRGAN_001.png", "Yes"),
            ("u1", "BSRGAN_002.png", "No"),
        )
        for order in (rows, rows[::-1]):  # newest first is how the platform exports
            frame = study(order).table.frame
            assert frame[["yes_votes", "votes"]].to_numpy().tolist() == [[2, 2], [0, 1]]

    def test_exclude_users(self, study: Callable[..., PairDataModule]) -> None:
        rows = self.answers(
            ("7", "BSRGAN_001.png", "Yes"),
            ("u2", "BSRGAN_001.png", "No"),
            ("u2", "BSRGAN_002.png", "Yes"),
            ("u3", "BSRGAN_003.png", "Yes"),
        )
        frame = study(rows, exclude_users=["7", "u3"]).table.frame
        assert frame[["pair_id", "yes_votes", "votes"]].to_numpy().tolist() == [
            ["BSRGAN_001", 0, 1],
            ["BSRGAN_002", 1, 1],
        ]
        with pytest.raises(UserError, match=r"has no answer left after data\.exclude_users"):
            study(rows, exclude_users=["7", "u2", "u3"]).prepare()

    def test_min_votes(self, study: Callable[..., PairDataModule]) -> None:
        rows = self.answers(
            ("u1", "BSRGAN_001.png", "Yes"),
            ("u2", "BSRGAN_001.png", "No"),
            ("u1", "BSRGAN_002.png", "No"),
            ("u2", "BSRGAN_002.png", "No"),
            ("u1", "BSRGAN_003.png", "No"),
        )
        assert study(rows, min_votes=2).table.frame["pair_id"].tolist() == ["BSRGAN_001", "BSRGAN_002"]
        with pytest.raises(UserError, match=r"no pair of .* has 3 votes \(the most is 2\)"):
            study(rows, min_votes=3).prepare()

    def test_endings_may_differ(self, study: Callable[..., PairDataModule], tmp_path: Path) -> None:
        """The CSV says .png, the disk has .jpg, and inside the .jpg is a PNG."""
        source = tmp_path / "SR" / "BSRGAN" / "BSRGAN_001.png"
        source.rename(source.with_suffix(".jpg"))
        rows = self.answers(
            ("u1", "BSRGAN_001.png", "Yes"), ("u1", "BSRGAN_002.jpeg", "No"), ("u1", "BSRGAN_003", "No")
        )
        data = study(rows, split={"val": 0, "folds": 3})
        assert data.table.frame["candidate"].iloc[0].endswith("BSRGAN_001.jpg")
        data.check_images(lambda done, total: None)
        assert all_of(data.train_dataloader())

    def test_scores_per_pair(self, study: Callable[..., PairDataModule]) -> None:
        frame = pd.DataFrame(
            {
                "img_names": ["BSRGAN_001.png", "Real_ESRGAN_001.png", "BSRGAN_004.png"],
                "userStudyScores": [0.25, 0.5, 1],
            }
        )
        table = study(frame).table.frame
        assert table["difference"].tolist() == [0.25, 0.5, 1.0] and table["source_id"].tolist() == ["001", "001", "004"]
        assert "votes" not in table.columns
        for bad, part in (
            (["a", 0.5, 1], "score of 'BSRGAN_001.png' is not a number"),
            ([25.0, 0.5, 1], r"outside \[0, 1\]"),
        ):
            with pytest.raises(UserError, match=part):
                study(frame.assign(userStudyScores=bad)).prepare()
        with pytest.raises(UserError, match="pair_id 'BSRGAN_001' occurs more than once"):
            study(frame.assign(img_names=["BSRGAN_001.png"] * 3)).prepare()

    def test_own_pair_table(self, pair_folder: Make) -> None:
        path = pair_folder(5, 2)
        data = DATAMODULES.build("user_study", answers=str(path), min_votes=10, split={"val": 0}, image_size=16)
        kept = pd.read_csv(path).query("votes >= 10")["pair_id"].tolist()
        assert data.table.frame["pair_id"].tolist() == kept and 0 < len(kept) < 10
        frame = pd.read_csv(path)
        frame.assign(difference=frame["yes_votes"] / frame["votes"]).drop(columns=["votes", "yes_votes"]).to_csv(
            path, index=False
        )
        with pytest.raises(UserError, match="has no votes; use the datamodule 'pairs'"):
            DATAMODULES.build("user_study", answers=str(path)).prepare()

    @pytest.mark.parametrize(
        ("change", "part"),
        [
            (lambda rows: [], "has no rows"),
            (
                lambda rows: [[*rows[0][:3], "maybe", rows[0][4]], *rows[1:]],
                r"row 2: Answer is 'maybe'; only Yes and No count",
            ),
            (lambda rows: [[*rows[0][:3], "", rows[0][4]], *rows[1:]], r"row 2: Answer is ''"),
            (
                lambda rows: [[*rows[0][:2], "SwinIR_001.png", *rows[0][3:]], *rows[1:]],
                r"'SwinIR_001\.png' needs an image 'SwinIR_001\.\*' in .*SR, and there is none",
            ),
            (
                lambda rows: [[*rows[0][:2], "BSRGAN_009.png", *rows[0][3:]], *rows[1:]],
                r"'BSRGAN_009\.png' needs an image '009\.\*' in .*HQ, and there is none",
            ),
        ],
    )
    def test_faults(self, study: Callable[..., PairDataModule], change: Callable[[Any], Any], part: str) -> None:
        rows = self.answers(("u1", "BSRGAN_001.png", "Yes"), ("u1", "BSRGAN_002.png", "No"))
        with pytest.raises(UserError, match=part) as error:
            study(change(rows)).prepare()
        assert "\n" not in str(error.value)

    def test_two_files_of_one_name(
        self, study: Callable[..., PairDataModule], tmp_path: Path, write_photo: Callable[..., Path]
    ) -> None:
        rows = self.answers(("u1", "BSRGAN_001.png", "Yes"), ("u1", "BSRGAN_002.png", "No"))
        write_photo(tmp_path / "HQ" / "more" / "001.png", 9)
        with pytest.raises(
            UserError, match=r"'BSRGAN_001\.png' fits both .*001\.png and .*001\.png; remove or rename one"
        ):
            study(rows).prepare()

    def test_folders_are_needed(self, study: Callable[..., PairDataModule], tmp_path: Path) -> None:
        rows = self.answers(("u1", "BSRGAN_001.png", "Yes"), ("u1", "BSRGAN_002.png", "No"))
        with pytest.raises(UserError, match="names images only; give the folders"):
            study(rows, references=None).prepare()
        with pytest.raises(UserError, match=r"data\.candidates: no such file or folder"):
            study(rows, candidates=str(tmp_path / "none")).prepare()

    def test_some_other_csv(self, study: Callable[..., PairDataModule]) -> None:
        with pytest.raises(
            UserError, match=r"has the columns a, b; expected a pair table \(pair_id, \.\.\.\), answers \(User Code"
        ):
            study(pd.DataFrame({"a": [1], "b": [2]})).prepare()

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"data\.answers: no such file or folder"):
            DATAMODULES.build("user_study", answers=str(tmp_path / "gone.csv")).prepare()
        (tmp_path / "empty.csv").write_text("")
        with pytest.raises(UserError, match=r"data\.answers: .* cannot be read as a table"):
            DATAMODULES.build("user_study", answers=str(tmp_path / "empty.csv")).prepare()


class TestScenes:
    def make(self, folder: Path, **keywords: Any) -> PairDataModule:
        own = {
            "scenes": 4,
            "candidates_per_scene": 3,
            "size": 64,
            "image_size": 32,
            "split": {"folds": 2, "val": 0},
            **keywords,
        }
        made = DATAMODULES.build("scenes", folder=str(folder), **own)
        assert isinstance(made, PairDataModule)
        return made

    def test_batches(self, tmp_path: Path) -> None:
        data = self.make(tmp_path, weights="votes")
        frame = data.table.frame
        assert len(frame) == 12 and frame["source_id"].nunique() == 4 and (frame["votes"] == 30).all()
        for part in data.parts:
            data.select(part, 0)
            batches = [to_float(batch) for batch in all_of(data.train_dataloader())]
            assert sum(len(batch.row) for batch in batches) == len(part.train)
            assert batches[0].reference.shape[1:] == (3, 32, 32)
            assert not torch.equal(batches[0].reference, batches[0].candidate)

    def test_a_set_is_rendered_once(self, tmp_path: Path) -> None:
        first = self.make(tmp_path)
        first.prepare()
        times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        again = self.make(tmp_path, image_size=64)
        assert again.table.content_hash() == first.table.content_hash()
        assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()} == times

    def test_settings_have_folders_of_their_own(self, tmp_path: Path) -> None:
        hashes = set()
        for keywords in ({}, {"seed": 1}, {"votes": 12}, {"scenes": 3}):
            hashes.add(self.make(tmp_path, **keywords).table.content_hash())
        assert len(hashes) == 4 and len(list(tmp_path.iterdir())) == 4

    def test_deterministic(self, tmp_path: Path) -> None:
        a, b = self.make(tmp_path / "a", scenes=2), self.make(tmp_path / "b", scenes=2)
        assert a.table.content_hash() == b.table.content_hash()
        for x, y in zip(a.dataset_paths(), b.dataset_paths(), strict=True):
            assert np.array_equal(np.asarray(Image.open(x)), np.asarray(Image.open(y)))

    def test_bad_settings(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="scenes=0"):
            self.make(tmp_path, scenes=0).prepare()


@pytest.mark.parametrize("name", DATAMODULES.names())
def test_every_datamodule_takes_the_common_keywords(name: str) -> None:
    """An experiment may exchange its data and keep the rest."""
    common = {"split", "image_size", "resize", "batch_size", "workers", "in_memory"}
    factory = DATAMODULES.get(name).factory
    assert issubclass(factory, (PairDataModule, ImageDataModule))  # type: ignore[arg-type]
    common |= {"augment", "least_crop"}
    common |= {"weights", "object_crop"} if issubclass(factory, PairDataModule) else set()  # type: ignore[arg-type]
    assert common <= set(DATAMODULES.get(name).keywords)


class TestWorkers:
    """``workers: auto``, on a machine of sixteen cores."""

    @pytest.fixture(autouse=True)
    def sixteen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("semfid.io.workers.cores", lambda: 16)
        monkeypatch.setattr("semfid.io.workers.can_fork", lambda: True)
        for room in ("workers", "shared_memory"):
            monkeypatch.setattr(f"semfid.io.{room}.free_room", lambda: 10**9)

    def test_small_work_has_none(self, pair_folder: Make) -> None:
        assert pairs_module(pair_folder()).train_dataloader().num_workers == 0

    def test_each_has_work_and_a_batch(self, pair_folder: Make) -> None:
        data = pairs_module(pair_folder())
        for images, batches, number in ((800, 100, 3), (800, 2, 2), (10**6, 10**4, 15), (255, 100, 0)):
            assert data.workers_for(images, batches, 1000) == number
        assert data.workers_for(10**6, 10**4, 10**8) == 2, "half of the room, two batches each"

    @pytest.mark.parametrize(("augment", "expected"), [(None, 0), (["flip"], 2)])
    def test_kept_images_are_decoded_once_for_all(
        self, pair_folder: Make, augment: list[str] | None, expected: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Kept images need no worker unless they are augmented; then they are decoded before the workers start."""
        monkeypatch.setattr("semfid.io.workers.IMAGES_PER_WORKER", 4)
        monkeypatch.setattr("semfid.io.workers.cores", lambda: 3)
        path = pair_folder()
        data, plain = (pairs_module(path, in_memory=own, augment=augment, batch_size=2) for own in (True, False))
        loader = data.train_dataloader()
        assert loader.num_workers == expected
        kept = data.dataset._kept
        assert kept is not None and bool(kept) == bool(expected)
        for mine, its in zip(loader, plain.train_dataloader(), strict=True):
            assert torch.equal(mine.reference, its.reference) and torch.equal(mine.candidate, its.candidate)

    def test_a_number_is_taken_as_it_is(self, pair_folder: Make) -> None:
        assert pairs_module(pair_folder(), workers=2).train_dataloader().num_workers == 2
        with pytest.raises(UserError, match=r"data\.workers=2 keeps up to"):
            pairs_module(pair_folder(), workers=2).workers_for(10**6, 100, 10**9)
