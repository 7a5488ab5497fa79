"""The pair table: what it refuses, what survives a round trip, how it is split."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semfid.io.pair_table as pairs
from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.io.pair_table import (
    PairTable,
    PairTableError,
    assign_folds,
    assign_splits,
    check_pairs,
    read_pairs,
    refuse_leak,
    write_pairs,
)


def frame_of(count: int = 4, **columns: Any) -> pd.DataFrame:
    rows = {
        "pair_id": [f"p{i}" for i in range(count)],
        "source_id": [f"s{i}" for i in range(count)],
        "reference": [f"r{i}.png" for i in range(count)],
        "candidate": [f"c{i}.png" for i in range(count)],
    }
    return pd.DataFrame({**rows, **columns})


def table_of(frame: pd.DataFrame, root: Path = Path("/data")) -> PairTable:
    return PairTable(frame, root, "T.csv")


def refusal(frame: pd.DataFrame) -> str:
    with pytest.raises(PairTableError) as error:
        check_pairs(table_of(frame))
    text = str(error.value)
    assert text.startswith("T.csv") and "\n" not in text
    return text


class TestChecks:
    def test_a_plain_table_passes_untouched(self) -> None:
        frame = frame_of(3, difference=[0.0, 0.5, 1.0], extra=["a", "b", "c"])
        checked = check_pairs(table_of(frame))
        pd.testing.assert_frame_equal(checked.frame, frame)
        assert len(checked) == 3
        assert checked.paths("candidate")[1] == Path("/data/c1.png")

    def test_no_rows(self) -> None:
        assert "has no rows" in refusal(frame_of(0))

    @pytest.mark.parametrize("column", pairs.REQUIRED)
    def test_missing_column(self, column: str) -> None:
        text = refusal(frame_of().drop(columns=column))
        assert f"lacks the column {column}; it has " in text

    @pytest.mark.parametrize("column", pairs.REQUIRED)
    @pytest.mark.parametrize("blank", ["", "  "])
    def test_empty_name(self, column: str, blank: str) -> None:
        frame = frame_of()
        frame.loc[2, column] = blank
        if column == "pair_id":
            assert f"pair_id is empty for pair {blank!r}" in refusal(frame)
        else:
            assert f"{column} is empty for pair 'p2'" in refusal(frame)

    def test_repeated_pair(self) -> None:
        assert "pair_id 'p1' occurs more than once" in refusal(frame_of(4, pair_id=["p0", "p1", "p1", "p3"]))

    @pytest.mark.parametrize("value", [-0.01, 1.01, 55.0, np.inf, -np.inf])
    def test_difference_outside(self, value: float) -> None:
        text = refusal(frame_of(3, difference=[0.0, value, 1.0]))
        assert f"difference of pair 'p1' is {value:g}, outside [0, 1]" in text

    def test_several_are_counted(self) -> None:
        assert "difference of pair 'p1' and 2 more is 2," in refusal(frame_of(4, difference=[0.0, 2.0, 3.0, 4.0]))

    def test_difference_may_be_absent(self) -> None:
        check_pairs(table_of(frame_of(3, difference=[0.0, np.nan, 1.0])))

    @pytest.mark.parametrize("column", ["votes", "yes_votes"])
    def test_half_the_votes(self, column: str) -> None:
        assert "only one of the columns yes_votes and votes" in refusal(frame_of(2, **{column: [1, 2]}))

    @pytest.mark.parametrize(("yes", "votes"), [(3, 2), (-1, 2), (0, 0), (np.nan, 2), (1, np.nan)])
    def test_votes_that_do_not_add_up(self, yes: float, votes: float) -> None:
        text = refusal(frame_of(2, yes_votes=[1, yes], votes=[4, votes]))
        assert f"pair 'p1' has {yes:g} yes of {votes:g} votes" in text

    def test_votes_give_the_difference(self) -> None:
        checked = check_pairs(table_of(frame_of(3, yes_votes=[0, 1, 4], votes=[4, 4, 4])))
        assert checked.frame["difference"].tolist() == [0.0, 0.25, 1.0]

    def test_difference_against_votes(self) -> None:
        text = refusal(frame_of(2, yes_votes=[1, 3], votes=[4, 4], difference=[0.25, 0.6]))
        assert "difference of pair 'p1' is 0.6 but its votes give 0.75" in text
        check_pairs(table_of(frame_of(2, yes_votes=[1, 1], votes=[3, 3], difference=[0.333, 0.3333])))

    @pytest.mark.parametrize("side", ["validation", "", "Train", "nan"])
    def test_unknown_split(self, side: str) -> None:
        text = refusal(frame_of(2, split=["train", side]))
        assert f"split of pair 'p1' is {side!r}; use train, val or test" in text

    @pytest.mark.parametrize(("column", "sides"), [("split", ["train", "test", "val"]), ("fold", [0, 1, 2])])
    def test_a_source_on_two_sides(self, column: str, sides: list[Any]) -> None:
        frame = frame_of(3, source_id=["a", "b", "b"], **{column: sides})
        text = refusal(frame)
        names = " and ".join(str(side) for side in sorted(sides[1:]))
        assert f"source_id 'b' stands in {column} {names} (1 such sources)" in text
        with pytest.raises(PairTableError):
            table_of(frame).with_frame(frame)

    @pytest.mark.parametrize("folds", [[0, 1, np.nan], [0, 1, 0.5], [0, 1, -1]])
    def test_a_fold_that_is_none(self, folds: list[float]) -> None:
        """A pair without a fold would be trained on by every fold and tested by none."""
        assert "fold of pair 'p2'" in refusal(frame_of(3, fold=folds))

    def test_refuse_leak_counts_sources(self) -> None:
        frame = frame_of(4, source_id=["a", "a", "b", "b"], split=["train", "test", "train", "val"])
        with pytest.raises(PairTableError, match=r"source_id 'a' stands in split test and train \(2 such sources\)"):
            refuse_leak(frame, "split", "x")


class TestReading:
    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "no.csv", tmp_path):
            with pytest.raises(PairTableError, match=r"no pair table .*give the path of a \.csv or \.parquet file"):
                read_pairs(path)

    @pytest.mark.parametrize("name", ["empty.csv", "empty.parquet", "noise.parquet", "noise.csv"])
    def test_unreadable(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"" if name.startswith("empty") else bytes(range(128, 256)) * 9)
        with pytest.raises(PairTableError, match="cannot be read as a table") as error:
            read_pairs(tmp_path / name)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("column", ["difference", "votes", "yes_votes", "fold"])
    def test_text_among_numbers_names_the_row(self, tmp_path: Path, column: str) -> None:
        frame = frame_of(3, yes_votes=[1, 1, 1], votes=[1, 1, 1])
        frame.assign(**{column: ["0", "often", "1"]}).to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(PairTableError, match=rf"t\.csv, row 3: {column} is 'often', not a number"):
            read_pairs(tmp_path / "t.csv")

    def test_names_stay_text(self, tmp_path: Path) -> None:
        """007 is no number, NA is a name, and a spreadsheet's byte-order mark is no part of a column's name."""
        text = "pair_id,source_id,reference,candidate,difference\n007,NA,null.png,1e5,0.5\n08,None,nan,2,\n"
        (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
        frame = read_pairs(tmp_path / "t.csv").frame
        assert frame["pair_id"].tolist() == ["007", "08"]
        assert frame["source_id"].tolist() == ["NA", "None"]
        assert frame["reference"].tolist() == ["null.png", "nan"]
        assert frame["candidate"].tolist() == ["1e5", "2"]
        assert frame["difference"].isna().tolist() == [False, True]

    def test_paths_are_relative_to_the_table(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        frame_of(1, candidate=["/else/x.png"]).to_csv(tmp_path / "deep" / "t.csv", index=False)
        table = read_pairs(tmp_path / "deep" / "t.csv")
        assert table.paths("reference") == [tmp_path / "deep" / "r0.png"]
        assert table.paths("candidate") == [Path("/else/x.png")]

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_another_schema(self, tmp_path: Path, ending: str) -> None:
        own = pd.DataFrame({"image": [11, 12], "ref": [1, 2], "dmos": [25.0, 104.0]})
        own.to_csv(tmp_path / "t.csv", index=False)
        own.to_parquet(tmp_path / "t.parquet", index=False)
        columns = {
            "pair_id": "image",
            "candidate": "image",
            "source_id": "ref",
            "reference": "ref",
            "difference": "dmos",
        }
        table = read_pairs(tmp_path / f"t.{ending}", columns, scale=100.0, clip=True)
        assert table.frame["pair_id"].tolist() == ["11", "12"]
        assert table.frame["difference"].tolist() == [0.25, 1.0]
        assert table.paths("reference") == [tmp_path / "1", tmp_path / "2"]
        with pytest.raises(PairTableError, match=r"difference of pair '12' is 1\.04, outside"):
            read_pairs(tmp_path / f"t.{ending}", columns, scale=100.0)
        with pytest.raises(PairTableError, match="lacks the column mos; it has image, ref, dmos"):
            read_pairs(tmp_path / f"t.{ending}", {**columns, "difference": "mos"})

    def test_a_pseudo_label_beside_votes(self, tmp_path: Path) -> None:
        """Votes speak of the study's label, not of the pseudo-label that is asked for."""
        frame_of(2, yes_votes=[1, 3], votes=[4, 4], c2c=[0.9, 0.1]).to_csv(tmp_path / "t.csv", index=False)
        table = read_pairs(tmp_path / "t.csv", {"difference": "c2c"})
        assert table.frame["difference"].tolist() == [0.9, 0.1]


class TestWriting:
    rich = frame_of(
        5,
        yes_votes=[0, 1, 2, 3, 3],
        votes=[7, 7, 7, 3, 9],
        difference=[0.0, 1 / 7, 2 / 7, 1.0, 1 / 3],
        origin=["", "a,b", 'say "x"', "é", "line"],
        split=["train", "val", "test", "train", "train"],
        caption=["one", "", "three, four", "zebra", "NA"],
        score=[0.1 + 0.2, 1e-17, 5.0, 1 / 3, 123456.789],
    )

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_round_trip(self, tmp_path: Path, ending: str) -> None:
        table = table_of(self.rich, tmp_path)
        write_pairs(table, tmp_path / f"t.{ending}")
        back = read_pairs(tmp_path / f"t.{ending}")
        pd.testing.assert_frame_equal(back.frame, self.rich, check_dtype=False, check_exact=True)
        assert back.content_hash() == table.content_hash()
        assert sorted([entry.name for entry in tmp_path.iterdir()]) == [f"t.{ending}"]

    def test_content_hash_ignores_order_and_place(self) -> None:
        shuffled = self.rich.sample(frac=1.0, random_state=1)[sorted(self.rich.columns, reverse=True)]
        assert PairTable(shuffled, Path("/b"), "other").content_hash() == table_of(self.rich).content_hash()

    @pytest.mark.parametrize("column", ["candidate", "difference", "split", "caption", "score"])
    def test_content_hash_sees_every_cell(self, column: str) -> None:
        changed = self.rich.copy()
        changed.loc[3, column] = "q" if isinstance(changed.loc[3, column], str) else changed.loc[3, column] / 2
        assert table_of(changed).content_hash() != table_of(self.rich).content_hash()

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_csv_keeps_every_bit(self, tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
        path = tmp_path_factory.mktemp("bits") / "t.csv"
        table = table_of(frame_of(len(values), difference=np.abs(values)), path.parent)
        write_pairs(table, path)
        assert read_pairs(path).frame["difference"].tolist() == table.frame["difference"].tolist()

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_an_invalid_table_is_not_written(self, tmp_path: Path, ending: str) -> None:
        with pytest.raises(PairTableError):
            write_pairs(table_of(frame_of(2, difference=[0.0, 3.0])), tmp_path / f"t.{ending}")
        assert [entry.name for entry in tmp_path.iterdir()] == []

    @pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
    @pytest.mark.parametrize("before", [None, b"old"])
    def test_a_failing_write_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bytes | None
    ) -> None:
        target = tmp_path / "t.csv"
        if before is not None:
            target.write_bytes(before)

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, step, full)
        with pytest.raises(UserError, match=r"cannot write .*No space left on device; free some space"):
            write_whole(target, b"new content")
        assert [path.name for path in tmp_path.iterdir()] == ([] if before is None else ["t.csv"])
        assert before is None or target.read_bytes() == before

    def test_a_reader_never_sees_half_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target, seen = tmp_path / "sub" / "t.bin", []
        replace = os.replace
        monkeypatch.setattr(
            os, "replace", lambda a, b: (seen.append((target.exists(), Path(a).read_bytes())), replace(a, b))
        )
        write_whole(target, b"x" * 100_000)
        assert seen == [(False, b"x" * 100_000)] and target.read_bytes() == b"x" * 100_000
        assert target.stat().st_mode & 0o777 == 0o644

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("")
        with pytest.raises(UserError, match="cannot write"):
            write_whole(tmp_path / "f" / "t.csv", b"x")


sources_strategy = st.lists(st.integers(0, 12).map(lambda n: f"photo{n}"), min_size=8, max_size=40).filter(
    lambda names: len(set(names)) >= 6
)


def sourced(names: list[str]) -> PairTable:
    return table_of(frame_of(len(names), source_id=names))


def sides(table: PairTable, column: str) -> dict[str, Any]:
    return dict(zip(table.frame["pair_id"], table.frame[column], strict=True))


class TestSplits:
    @given(sources_strategy, st.integers(0, 5), st.sampled_from([(0.0, 0.2), (0.1, 0.2), (0.3, 0.3), (0.15, 0.5)]))
    def test_by_source(self, names: list[str], seed: int, shares: tuple[float, float]) -> None:
        table, (val, test) = sourced(names), shares
        split = assign_splits(table, val, test, seed)
        assert split.frame.groupby("source_id")["split"].nunique().max() == 1
        count = split.frame.drop_duplicates("source_id")["split"].value_counts().to_dict()
        total = len(set(names))
        for side, share in (("val", val), ("test", test)):
            assert count.get(side, 0) == (max(1, round(share * total)) if share else 0)
        assert count["train"] >= 1 and sum(count.values()) == total
        assert sides(assign_splits(table, val, test, seed), "split") == sides(split, "split")
        shuffled = table.with_frame(table.frame.sample(frac=1.0, random_state=seed))
        assert sides(assign_splits(shuffled, val, test, seed), "split") == sides(split, "split")

    def test_seeds_differ(self) -> None:
        table = sourced([f"s{i}" for i in range(30)])
        drawn = {tuple(assign_splits(table, 0.2, 0.2, seed).frame["split"]) for seed in range(8)}
        assert len(drawn) == 8

    @given(sources_strategy, st.integers(0, 5), st.integers(2, 6))
    def test_folds(self, names: list[str], seed: int, folds: int) -> None:
        table = sourced(names)
        dealt = assign_folds(table, folds, seed)
        assert dealt.frame.groupby("source_id")["fold"].nunique().max() == 1
        assert set(dealt.frame["fold"]) == set(range(folds))
        load = Counter(dealt.frame["fold"])
        assert max(load.values()) - min(load.values()) <= max(Counter(names).values()), "folds of nearly equal size"
        shuffled = table.with_frame(table.frame.sample(frac=1.0, random_state=seed))
        assert sides(assign_folds(shuffled, folds, seed), "fold") == sides(dealt, "fold")

    def test_equal_sources_give_equal_folds(self) -> None:
        dealt = assign_folds(sourced([f"s{i % 10}" for i in range(50)]), 5, 0)
        assert sorted(Counter(dealt.frame["fold"]).values()) == [10] * 5

    def test_leave_one_out(self) -> None:
        dealt = assign_folds(sourced(["a", "a", "b", "c", "c", "c"]), -1, 0)
        assert dealt.frame["fold"].nunique() == 3
        assert dealt.frame.groupby("fold")["source_id"].nunique().tolist() == [1, 1, 1]

    @given(st.integers(0, 20))
    def test_by_row_ignores_sources(self, seed: int) -> None:
        table = sourced(["a", "b"] * 20)
        split, dealt = assign_splits(table, 0.25, 0.25, seed, by="row"), assign_folds(table, 4, seed, by="row")
        assert Counter(split.frame["split"]) == {"train": 20, "val": 10, "test": 10}
        assert Counter(dealt.frame["fold"]) == {0: 10, 1: 10, 2: 10, 3: 10}
        with pytest.raises(PairTableError, match="must be on one side only"):
            check_pairs(split)
        with pytest.raises(PairTableError, match="must be on one side only"):
            check_pairs(dealt)

    @pytest.mark.parametrize(("val", "test"), [(-0.1, 0.2), (0.5, 0.5), (0.2, -0.1), (0.9, 0.2)])
    def test_impossible_shares(self, val: float, test: float) -> None:
        with pytest.raises(UserError, match="must be >= 0 and leave something for training"):
            assign_splits(sourced(list("abcdef")), val, test, 0)

    def test_too_few_sources(self) -> None:
        with pytest.raises(UserError, match="has 2 sources: too few"):
            assign_splits(sourced(["a", "b", "a", "b"]), 0.1, 0.1, 0)
        with pytest.raises(UserError, match="has 2 rows: too few"):
            assign_splits(sourced(["a", "b"]), 0.1, 0.1, 0, by="row")

    @pytest.mark.parametrize("folds", [0, 1, 4, -2])
    def test_impossible_folds(self, folds: int) -> None:
        with pytest.raises(UserError, match=rf"has 3 sources, so folds={folds} is impossible; choose 2 to 3, or -1"):
            assign_folds(sourced(["a", "b", "c", "c", "c"]), folds, 0)
