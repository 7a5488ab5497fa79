"""Labels of whole images against plain loops, and that nothing is done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cosine
from torch import Tensor

from metrics.label import image_labels
from metrics.label.image_labels import Caches, Tools, pair_differences
from metrics.label.label_table import Outcome, Request, label_table
from models.captioners import Captioner, LabelError
from models.dual_encoders import DualEncoder
from models.text_encoders.hashed_words import HashedWords
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.images import pixel_hash, read_image
from semfid.io.pair_table import read_pairs
from semfid.io.sharding import Shard
from semfid.progress import silent

COLOURS = ("red", "green", "blue")
PROMPT = "What?"


class Says(Captioner):
    """Names the picture's strongest colour and its size; counts what it is shown, and can break off like a killed process."""

    identity = "says-1"
    batch_size = 2

    def __init__(self, stop_after: int = -1, silent: str = "") -> None:
        self.seen: list[str] = []
        self.stop_after, self.silent = stop_after, silent

    def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
        assert prompt == PROMPT
        if 0 <= self.stop_after < len(self.seen) + len(images):
            raise KeyboardInterrupt
        self.seen += [pixel_hash(image) for image in images]
        said = []
        for image in images:
            colour = COLOURS[int(np.asarray(image).mean((0, 1)).argmax())]
            if colour == "blue" and self.silent == "fails":
                raise LabelError("it will not talk of blue things")
            said.append("" if colour == self.silent else f"a {colour} thing of {image.width} by {image.height}")
        return said


class Embeds(HashedWords):
    def __init__(self) -> None:
        super().__init__(64)
        self.seen: list[str] = []

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        return super()._embed(texts)


class Sees(DualEncoder):
    """Mean colours of the quarters, and letters of the alphabet; reads twenty letters."""

    identity, dim, image_size, batch_size = "sees-1", 12, 2, 3

    def __init__(self) -> None:
        self.pictures, self.sentences = 0, 0

    def cut(self, texts: Sequence[str]) -> list[str]:
        return [text for text in texts if len(text) > 25]

    def _embed_pixels(self, images: Tensor) -> Tensor:
        self.pictures += len(images)
        return images.flatten(1)

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        self.sentences += len(texts)
        return torch.tensor([[float(text[:25].count(letter)) for letter in "abcdefgilnrt"] for text in texts])


def photo(path: Path, seed: int, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3))
    pixels[:, :, seed % 3] += 60  # its colour
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three photos of four candidates; one candidate is the photo itself under another name, two are one picture."""
    root, rows = tmp_path / "set", []
    for source in range(3):
        photo(root / f"photos/{source}.png", source, (20, 16))
        for number in range(4):
            path = f"out/{source}_{number}.png"
            photo(root / path, 10 + 3 * source + number, (20 + number, 16))
            rows.append(
                {"pair_id": f"p{source}{number}", "source_id": f"s{source}", "reference": f"photos/{source}.png",
                 "candidate": path, "origin": f"m{number}", "difference": 0.25 * number, "note": "kept, as it is"}
            )  # fmt: skip
    shutil.copy(root / "photos/0.png", root / "out/0_0.png")
    Image.open(root / "out/1_1.png").save(root / "out/2_1.bmp")
    rows[9]["candidate"] = "out/2_1.bmp"
    pd.DataFrame(rows).to_csv(root / "pairs.csv", index=False)
    return root / "pairs.csv"


def run(
    table: Path, out: Path, kind: Any, tools: Tools, shard: Shard | None = None, cache: str = "cache", **words: Any
) -> Outcome:
    request = Request(kind, PROMPT, **words)
    return label_table(
        read_pairs(table), out, request, tools, Caches(table.parent.parent / cache), silent, shard or Shard()
    )


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False).set_index("pair_id")


class TestAgainstPlainLoops:
    def test_c2c(self, table: Path) -> None:
        out = table.parent / "out.csv"
        done = run(table, out, "c2c", Tools(Says(), Embeds()))
        assert (done.rows, done.labelled, dict(done.errors), done.warnings) == (12, 12, {}, [])
        rows, plain = read(out), HashedWords(64)
        for _, row in rows.iterrows():
            texts = [
                Says().caption([read_image(table.parent / row[side])], PROMPT)[0] for side in ("reference", "candidate")
            ]
            assert [row["caption_reference"], row["caption_candidate"]] == texts
            x, y = plain.embed(texts).astype(float)
            assert float(row["c2c"]) == pytest.approx(min(1.0, max(0.0, cosine(x, y))), abs=1e-6)
        assert rows["c2c"].astype(float).nunique() > 4

    def test_c2i_and_i2i(self, table: Path) -> None:
        out, both = table.parent / "out.csv", table.parent / "both.csv"
        assert run(table, out, "c2i", Tools(Says(), tower=Sees())).labelled == 12
        assert run(out, both, "i2i", Tools(tower=Sees())).labelled == 12
        rows = read(both)
        assert "caption_candidate" not in rows, "only the reference's caption is needed"
        for name, row in rows.iterrows():
            x, y = Sees().embed_images([read_image(table.parent / row[side]) for side in ("reference", "candidate")])
            (text,) = Sees().embed_texts([row["caption_reference"]])
            same = name == "p00"
            assert float(row["i2i"]) == pytest.approx(0 if same else cosine(x, y), abs=2e-6)
            assert float(row["c2i"]) == pytest.approx(0 if same else cosine(text, y), abs=2e-6)

    def test_pair_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In blocks."""
        monkeypatch.setattr(image_labels, "PAIRS", 7)
        draw = np.random.default_rng(0)
        x, y = (draw.normal(size=(n, 5)) for n in (6, 9))
        x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
        x[3] = 0
        a, b = draw.integers(0, 6, 40), draw.integers(0, 9, 40)
        vectors = [{str(at): row for at, row in enumerate(side)} for side in (x, y)]
        found = pair_differences(vectors, [[*map(str, a), "none"], [*map(str, b), "0"]])
        assert np.isnan(found[-1])
        for value, i, j in zip(found[:-1], a, b, strict=True):
            assert np.isnan(value) if i == 3 else value == pytest.approx(min(1, max(0, cosine(x[i], y[j]))), abs=1e-6)
        assert pair_differences(vectors, [[], []]).shape == (0,)


def test_identical_images_are_exactly_0(table: Path) -> None:
    """Under another name too, and where the captioner says nothing."""
    captioner = Says(silent="red")
    assert captioner.caption([read_image(table.parent / "photos/0.png")], PROMPT) == [""]
    for kind, tools in (
        ("c2c", Tools(captioner, Embeds())), ("c2i", Tools(captioner, tower=Sees())), ("i2i", Tools(tower=Sees()))
    ):  # fmt: skip
        out = table.parent / f"{kind}.csv"
        run(table, out, kind, tools)
        assert float(read(out).loc["p00", kind]) == 0.0
        others = [float(value) for value in read(out).drop("p00")[kind] if value != ""]
        assert len(others) >= 6 and (kind == "c2c" or min(others) > 0), "captions may be alike, pictures are not"


class TestNothingTwice:
    def test_counts(self, table: Path) -> None:
        """15 files of 13 pictures in 12 pairs."""
        tools = Tools(Says(), Embeds(), Sees())
        run(table, table.parent / "c2c.csv", "c2c", Tools(tools.captioner, tools.embedder))
        assert (
            isinstance(tools.captioner, Says) and isinstance(tools.embedder, Embeds) and isinstance(tools.tower, Sees)
        )
        assert len(tools.captioner.seen) == len({*tools.captioner.seen}) == 13
        captions = {
            *read(table.parent / "c2c.csv")["caption_reference"],
            *read(table.parent / "c2c.csv")["caption_candidate"],
        }
        assert sorted(tools.embedder.seen) == sorted(captions)
        run(table, table.parent / "c2i.csv", "c2i", Tools(tools.captioner, tower=tools.tower))
        assert len(tools.captioner.seen) == 13, "captions are known from c2c"
        run(table, table.parent / "i2i.csv", "i2i", Tools(tower=tools.tower))
        assert tools.tower.pictures == 13 and tools.tower.sentences == 3
        before = (table.parent / "c2c.csv").read_bytes()
        run(table, table.parent / "c2c.csv", "c2c", Tools(tools.captioner, tools.embedder))
        assert (table.parent / "c2c.csv").read_bytes() == before
        assert len(tools.captioner.seen) == 13 and len(tools.embedder.seen) == len(captions)

    @pytest.mark.parametrize("after", [0, 4, 12])
    def test_killed_and_started_again(self, table: Path, after: int) -> None:
        whole, out = table.parent / "whole.csv", table.parent / "out.csv"
        run(table, whole, "c2c", Tools(Says(), Embeds()), cache="other")
        first, second = Says(after), Says()
        with pytest.raises(KeyboardInterrupt):
            run(table, out, "c2c", Tools(first, Embeds()))
        assert not out.exists()
        for path in (table.parent.parent / "cache/captions").rglob("*.jsonl"):  # killed while it wrote a line
            path.write_bytes(path.read_bytes() + b'{"image": "12')
        run(table, out, "c2c", Tools(second, Embeds()))
        assert out.read_bytes() == whole.read_bytes()
        assert len(first.seen) + len(second.seen) == 13

    def test_shards(self, table: Path) -> None:
        whole, out = table.parent / "whole.csv", table.parent / "out.csv"
        (table.parent / "out/0_3.png").write_bytes(b"no image")
        run(table, whole, "c2c", Tools(Says(), Embeds()), cache="other")
        seen, waiting, rows = [], [], 0
        for index in (2, 0, 1):
            captioner = Says()
            done = run(table, out, "c2c", Tools(captioner, Embeds()), Shard(index, 3))
            assert out.exists() == (done.waiting == 0)
            waiting.append(done.waiting)
            seen += captioner.seen
            rows += done.rows
        assert waiting == [2, 1, 0] and rows == 12
        assert out.read_bytes() == whole.read_bytes() and not (table.parent / "out_parts").exists()
        assert read(out)["label_error"].astype(bool).sum() == 1
        lonely = table.parent / "lonely.csv"
        for index in range(9):  # most have no rows
            assert run(table, lonely, "c2i", Tools(Says(), tower=Sees()), Shard(index, 9)).waiting == 8 - index
        assert len(read(lonely)) == 12
        # a part that was made with other settings is nobody's
        run(table, out, "c2c", Tools(Says(), Embeds()), Shard(0, 3))
        assert run(table, out, "captions", Tools(Says()), Shard(1, 3)).waiting == 2


class TestTables:
    def test_columns_and_what_made_them(self, table: Path, tmp_path: Path) -> None:
        out, more = tmp_path / "elsewhere/out.csv", tmp_path / "elsewhere/more.parquet"
        run(table, out, "c2c", Tools(Says(), Embeds()))
        run(out, more, "i2i", Tools(tower=Sees()))
        rows = pd.read_parquet(more)
        assert list(rows["note"]) == ["kept, as it is"] * 12 and list(rows["difference"][:4]) == [0, 0.25, 0.5, 0.75]
        assert [*rows.columns[-5:]] == ["caption_reference", "caption_candidate", "c2c", "label_error", "i2i"]
        assert all((more.parent / path).is_file() for path in (*rows["reference"], *rows["candidate"]))
        said = {"captioner": "says-1", "prompt": PROMPT}
        assert json.loads((tmp_path / "elsewhere/more.labels.json").read_text())["columns"] == {
            "caption_reference": said, "caption_candidate": said,
            "c2c": {**said, "embedder": "hashed_words-1-64-pairs"}, "i2i": {"tower": "sees-1"},
        }  # fmt: skip

    def test_all_pairs(self, table: Path) -> None:
        out, again = table.parent / "out.csv", table.parent / "again.csv"
        run(table, out, "i2i", Tools(tower=Sees()), pairs="all")
        rows = read(out)
        assert len(rows) == 12 + 3 * 6 and list(rows["pairing"]) == ["reference"] * 12 + ["candidates"] * 18
        one = rows.loc["p12~p13"]
        assert (one["source_id"], one["origin"], one["reference"], one["candidate"]) == (
            "s1", "m2~m3", "out/1_2.png", "out/1_3.png"
        )  # fmt: skip
        assert one["difference"] == "" and one["note"] == "" and 0 < float(one["i2i"]) < 1
        run(out, again, "i2i", Tools(tower=Sees()), pairs="all")
        assert again.read_bytes() == out.read_bytes(), "pairs of pairs are not made"
        frame = pd.read_csv(table).assign(votes=4, yes_votes=[0, 1, 2, 3] * 3)
        frame.to_csv(table, index=False)
        with pytest.raises(UserError, match="holds votes, and nobody has voted on pairs of two candidates"):
            run(table, out, "i2i", Tools(tower=Sees()), pairs="all")

    def test_captions_of_the_table(self, table: Path) -> None:
        frame = pd.read_csv(table)
        frame.assign(caption_reference="A dog. ", caption_candidate=["a dog", "a cat", ""] * 4).to_csv(
            table, index=False
        )
        out = table.parent / "out.csv"
        done = run(table, out, "c2c", Tools(embedder=Embeds()))
        assert [value == "" for value in read(out)["c2c"]][1:6] == [False, True, False, False, True]
        assert float(read(out).loc["p03", "c2c"]) == 0 and "have an empty caption" in done.warnings[0]
        frame.to_csv(table, index=False)
        with pytest.raises(UserError, match="has no column caption_reference; `semfid label captions` makes it"):
            run(table, out, "c2c", Tools(embedder=Embeds()))


class TestFaults:
    def test_empty_captions_do_not_train(self, table: Path) -> None:
        out = table.parent / "out.csv"
        done = run(table, out, "c2c", Tools(Says(silent="green"), Embeds()))
        rows = read(out)
        blank = rows["c2c"] == ""
        assert blank.sum() == 12 - done.labelled > 0 and not done.errors
        assert [
            bool(a and b) for a, b in zip(rows["caption_reference"], rows["caption_candidate"], strict=True)
        ] == list(~blank)
        (warning,) = done.warnings
        assert "of 13 images have an empty caption: their pairs get no difference" in warning
        with pytest.raises(UserError, match=rf"has no difference \({blank.sum()} pairs\); label or drop it"):
            DATAMODULES.build("pairs", table=str(out), columns={"difference": "c2c"}, image_size=16).prepare()
        run(table, out, "c2c", Tools(Says(silent="green"), Embeds()), drop_unlabelled=True)
        assert list(read(out).index) == list(rows.index[~blank])

    def test_images_that_cannot_be_read_or_captioned(self, table: Path) -> None:
        (table.parent / "out/0_3.png").write_bytes(b"no image")
        (table.parent / "photos/1.png").unlink()
        out = table.parent / "out.csv"
        done = run(table, out, "c2c", Tools(Says(silent="fails"), Embeds()))
        rows = read(out)
        assert "0_3.png" in rows.loc["p03", "label_error"] and rows.loc["p03", "c2c"] == ""
        assert all("no image" in rows.loc[f"p1{number}", "label_error"] for number in range(4))
        assert "photos/2.png: it will not talk of blue things" in rows.loc["p20", "label_error"]
        assert {*done.errors} == {*rows.index[rows["label_error"] != ""]}
        assert done.labelled == sum(rows["c2c"] != "") >= 2
        with pytest.raises(UserError, match=r"no pair of .* got a label"):
            broken = table.parent / "broken.csv"
            pd.read_csv(table).iloc[4:8].to_csv(broken, index=False)
            run(broken, out, "i2i", Tools(tower=Sees()), drop_unlabelled=True)

    def test_captions_that_are_too_long_or_say_nothing(self, table: Path) -> None:
        class Odd(Says):
            identity = "odd-1"

            def _caption(self, images: Sequence[Image.Image], prompt: str) -> list[str]:
                longer = "a red thing, and then many more words"
                return ["!?!" if image.width == 20 else longer for image in images]

        out = table.parent / "out.csv"
        frame = pd.read_csv(table)
        frame.loc[5:, "reference"] = "out/2_2.png"
        frame.to_csv(table, index=False)
        done = run(table, out, "c2i", Tools(Odd(), tower=Sees()))
        assert "1 of 2 captions are longer than the text tower reads" in done.warnings[0]
        assert "smaller captioner.max_new_tokens" in done.warnings[0]
        assert "1 of 2 captions hold no word that the model knows, such as '!?!'" in done.warnings[1]
        assert list(read(out)["c2i"] == "") == [False, *[True] * 4, *[False] * 7]

    def test_vectors_that_are_no_numbers(self, table: Path) -> None:
        class Broken(Sees):
            identity = "broken-1"

            def _embed_pixels(self, images: Tensor) -> Tensor:
                return images.flatten(1) / 0.0

        with pytest.raises(UserError, match="gave vectors that are not numbers; set its precision to float32"):
            run(table, table.parent / "out.csv", "i2i", Tools(tower=Broken()))
        assert not [*(table.parent.parent / "cache/embeddings").rglob("*.safetensors")]
