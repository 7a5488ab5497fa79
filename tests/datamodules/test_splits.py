"""data.split: what the YAML may say, and which pairs train, select and are tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datamodules.splits import SplitConfig, split_table
from semfid.errors import UserError
from semfid.io.pair_table import PairTable, assign_folds, assign_splits, write_pairs


def table_of(sources: list[str], **columns: Any) -> PairTable:
    frame = pd.DataFrame(
        {
            "pair_id": [f"p{i:03d}" for i in range(len(sources))],
            "source_id": sources,
            "reference": "r.png",
            "candidate": "c.png",
            "difference": np.linspace(0, 1, len(sources)),
        }
    )
    return PairTable(frame.assign(**columns), Path("/"), "T.csv")


def split(table: PairTable, **keys: Any) -> tuple[PairTable, list[Any]]:
    return split_table(table, SplitConfig.parse(keys))


SOURCES = [f"s{i % 12}" for i in range(48)]


def names(table: PairTable, rows: Any, column: str = "source_id") -> set[str]:
    return set(table.frame[column].to_numpy()[rows])


class TestParsing:
    @pytest.mark.parametrize("value", [None, {}])
    def test_defaults(self, value: Any) -> None:
        assert SplitConfig.parse(value) == SplitConfig(by="source", folds=None, val=0.1, test=0.2, seed=0, file=None)

    @pytest.mark.parametrize(
        ("keys", "part"),
        [
            (
                {"fold": 5},
                r"data\.split has no key 'fold'; did you mean 'folds'\? \(it takes: by, folds, repeats, val, test, seed, file\)",
            ),
            ({"by": "photo"}, r"data\.split\.by is 'photo'; it must be source or row"),
            ({"folds": "5"}, "it must be a whole number >= 2, or -1"),
            ({"folds": 2.5}, "it must be a whole number >= 2, or -1"),
            ({"folds": True}, "it must be a whole number >= 2, or -1"),
            ({"val": 1.0}, r"it must be a share in \[0, 1\)"),
            ({"val": -0.1}, r"it must be a share in \[0, 1\)"),
            ({"val": "0.1"}, r"it must be a share in \[0, 1\)"),
            ({"val": True}, r"it must be a share in \[0, 1\)"),
            ({"test": 0}, r"it must be a share in \(0, 1\]"),
            ({"test": 1.5}, r"it must be a share in \(0, 1\]"),
            ({"seed": -1}, "it must be a whole number >= 0"),
            ({"seed": 1.5}, "it must be a whole number >= 0"),
            ({"file": 3}, "it must be a path"),
        ],
    )
    def test_mistakes(self, keys: dict[str, Any], part: str) -> None:
        with pytest.raises(UserError, match=part):
            SplitConfig.parse(keys)


class TestOneSplit:
    def test_shares_and_partition(self) -> None:
        table, (part,) = split(table_of(SOURCES), val=0.25, test=0.25)
        sides = [names(table, rows) for rows in (part.train, part.val, part.test)]
        assert [len(side) for side in sides] == [6, 3, 3]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
        assert sorted(np.concatenate([part.train, part.val, part.test]).tolist()) == list(range(48))
        assert (table.frame["split"].to_numpy()[part.test] == "test").all()

    def test_equals_the_pair_tables_own(self) -> None:
        table, _ = split(table_of(SOURCES), val=0.2, test=0.3, seed=4)
        expected = assign_splits(table_of(SOURCES), 0.2, 0.3, 4).frame["split"]
        assert table.frame["split"].tolist() == expected.tolist()

    def test_no_validation_part(self) -> None:
        _, (part,) = split(table_of(SOURCES), val=0)
        assert len(part.val) == 0 and len(part.train) + len(part.test) == 48

    def test_seed(self) -> None:
        drawn = {tuple(split(table_of(SOURCES), seed=seed)[1][0].test.tolist()) for seed in range(5)}
        assert len(drawn) == 5

    def test_a_table_keeps_its_own(self) -> None:
        own = ["test" if s in ("s1", "s2") else "train" for s in SOURCES]
        table, (part,) = split(table_of(SOURCES, split=own), val=0.5)
        assert names(table, part.test) == {"s1", "s2"} and len(part.val) == 0

    def test_nothing_to_train_on(self) -> None:
        with pytest.raises(UserError, match="no pair has split 'train'"):
            split(table_of(SOURCES, split=["test"] * 48))

    def test_by_row_leaks_on_purpose(self) -> None:
        table, (part,) = split(table_of(SOURCES), by="row", val=0.25, test=0.25)
        assert [len(rows) for rows in (part.train, part.val, part.test)] == [24, 12, 12]
        assert names(table, part.train) & names(table, part.test), "that is the effect to show"


class TestFolds:
    @given(
        st.lists(st.integers(0, 9), min_size=12, max_size=40).filter(lambda s: len(set(s)) >= 5),
        st.integers(2, 5),
        st.integers(0, 3),
    )
    @example([0] * 8 + [1, 2, 3, 4], 2, 0)
    def test_each_pair_is_tested_once_and_never_trained_on_then(
        self, sources: list[int], folds: int, seed: int
    ) -> None:
        rows = [f"s{i}" for i in sources]
        bare, without = split(table_of(rows), folds=folds, seed=seed, val=0)
        if min(len(names(bare, part.train)) for part in without) == 1:  # folds are even in pairs, not in sources
            with pytest.raises(UserError, match=r"data\.split\.val=0\.2 leaves no source to train on; set val: 0"):
                split(table_of(rows), folds=folds, seed=seed, val=0.2)
            return
        table, parts = split(table_of(rows), folds=folds, seed=seed, val=0.2)
        assert [part.index for part in parts] == list(range(folds))
        assert Counter(np.concatenate([part.test for part in parts]).tolist()) == Counter(range(len(sources)))
        for part in parts:
            sides = [names(table, rows) for rows in (part.train, part.val, part.test)]
            assert all(sides) and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
            assert len(part.train) + len(part.val) + len(part.test) == len(sources)

    def test_share_of_validation(self) -> None:
        table, parts = split(table_of(SOURCES), folds=4, val=0.34)
        for part in parts:
            assert len(names(table, part.val)) == 3 and len(names(table, part.train)) == 6, "34 % of the 9 left"
        assert all(len(part.val) == 0 for part in split(table_of(SOURCES), folds=4, val=0)[1])

    def test_validation_parts_differ_between_folds(self) -> None:
        table, parts = split(table_of(SOURCES), folds=4, val=0.2)
        assert len({frozenset(names(table, part.val)) for part in parts}) > 1

    def test_leave_one_source_out(self) -> None:
        table, parts = split(table_of(["a", "a", "b", "c", "c", "d"]), folds=-1, val=0)
        assert [len(names(table, part.test)) for part in parts] == [1, 1, 1, 1]

    def test_validation_leaves_nothing(self) -> None:
        with pytest.raises(UserError, match=r"data.split.val=0\.9 leaves no source to train on; set val: 0"):
            split(table_of(["a", "b", "c"]), folds=-1, val=0.9)

    def test_too_many(self) -> None:
        with pytest.raises(UserError, match="has 3 sources, so folds=4 is impossible"):
            split(table_of(["a", "b", "c", "a"]), folds=4)

    def test_by_row(self) -> None:
        table, parts = split(table_of(SOURCES), folds=4, by="row", val=0.25)
        assert [len(part.test) for part in parts] == [12] * 4 and [len(part.val) for part in parts] == [9] * 4
        assert names(table, parts[0].train) & names(table, parts[0].test)

    def test_a_tables_folds_are_used(self) -> None:
        own = [int(s[1:]) % 3 for s in SOURCES]
        for keys in ({}, {"folds": 3}):
            table, parts = split(table_of(SOURCES, fold=own), val=0, **keys)
            assert [names(table, part.test) for part in parts] == [
                {f"s{i}" for i in range(12) if i % 3 == f} for f in range(3)
            ]

    def test_order_of_the_table_does_not_matter(self) -> None:
        table = table_of(SOURCES)
        shuffled = table.with_frame(table.frame.sample(frac=1.0, random_state=2))
        for a, b in zip(split(table, folds=3)[1], split(shuffled, folds=3)[1], strict=True):
            for side in ("train", "val", "test"):
                assert names(table, getattr(a, side), "pair_id") == names(shuffled, getattr(b, side), "pair_id")


class TestRepeats:
    """Each repeat is a split of its own seed; what a repeat is made of says `engine.config.expansion`."""

    @pytest.mark.parametrize(
        "keys", [{"repeats": 3}, {"repeats": 2, "folds": -1}, {"repeats": 2, "folds": 3, "file": "x.csv"}]
    )
    def test_only_of_folds_that_are_drawn(self, keys: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=r"data\.split\.repeats is \d: it draws folds several times; give"):
            SplitConfig.parse(keys)
        assert SplitConfig.parse({"repeats": 1}).repeats == 1

    @pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "3", None])
    def test_a_whole_number(self, wrong: Any) -> None:
        with pytest.raises(UserError, match=r"data\.split\.repeats is .*; it must be a whole number >= 1"):
            SplitConfig.parse({"folds": 3, "repeats": wrong})

    def test_a_tables_own_folds_cannot_be_drawn_again(self) -> None:
        table = table_of(SOURCES)
        own = table.with_frame(table.frame.assign(fold=[int(s[1:]) % 2 for s in table.frame["source_id"]]))
        with pytest.raises(UserError, match=r"repeats is 2, but .* has a column fold.*remove one of the two"):
            split(own, folds=2, repeats=2)

    def test_other_seeds_are_other_folds(self) -> None:
        drawn = [split(table_of(SOURCES), folds=3, repeats=3, seed=seed)[1] for seed in (0, 1, 0)]
        tests = [[part.test.tolist() for part in parts] for parts in drawn]
        assert tests[0] == tests[2] != tests[1]


class TestFile:
    @pytest.fixture
    def write(self, tmp_path: Path) -> Callable[..., str]:
        def write(table: PairTable, column: str, ending: str = "csv", drop: int = 0) -> str:
            path = tmp_path / f"split.{ending}"
            if ending == "parquet":
                write_pairs(table, path)
            else:
                table.frame[["pair_id", column]].iloc[drop:].sample(frac=1.0, random_state=0).to_csv(path, index=False)
            return str(path)

        return write

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_a_split_is_given_back(self, write: Callable[..., str], ending: str) -> None:
        drawn, (expected,) = split(table_of(SOURCES), seed=7)
        _, (part,) = split(table_of(SOURCES), file=write(drawn, "split", ending), seed=1)
        for side in ("train", "val", "test"):
            assert getattr(part, side).tolist() == getattr(expected, side).tolist()

    def test_folds_are_given_back(self, write: Callable[..., str]) -> None:
        dealt = assign_folds(table_of(SOURCES), 3, seed=9)
        _, parts = split(table_of(SOURCES), file=write(dealt, "fold"), val=0)
        assert [part.test.tolist() for part in parts] == [
            np.flatnonzero(dealt.frame["fold"] == fold).tolist() for fold in range(3)
        ]

    def test_it_goes_before_the_tables_own(self, write: Callable[..., str]) -> None:
        drawn, (expected,) = split(table_of(SOURCES), seed=7)
        own = ["train" if int(s[1:]) else "test" for s in SOURCES]
        _, (part,) = split(table_of(SOURCES, split=own), file=write(drawn, "split"))
        assert part.test.tolist() == expected.test.tolist()

    def test_faults(self, write: Callable[..., str], tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"data\.split\.file: no file .*gone\.csv"):
            split(table_of(SOURCES), file=str(tmp_path / "gone.csv"))
        drawn, _ = split(table_of(SOURCES))
        with pytest.raises(UserError, match=r"has no row for pair 'p000' \(2 pairs\)"):
            split(table_of(SOURCES), file=write(drawn, "split", drop=2))
        drawn.frame[["pair_id"]].to_csv(tmp_path / "bare.csv", index=False)
        with pytest.raises(UserError, match=r"needs the columns pair_id and split \(or fold\)"):
            split(table_of(SOURCES), file=str(tmp_path / "bare.csv"))
        drawn.frame.assign(split=["train", "test"] * 24)[["pair_id", "split"]].to_csv(
            tmp_path / "leak.csv", index=False
        )
        mixed = [f"s{i // 2}" for i in range(48)]
        with pytest.raises(UserError, match="source_id 's0' stands in split test and train"):
            split(table_of(mixed), file=str(tmp_path / "leak.csv"))
        drawn.frame.assign(split="training")[["pair_id", "split"]].to_csv(tmp_path / "word.csv", index=False)
        with pytest.raises(UserError, match="is 'training'; use train, val or test"):
            split(table_of(SOURCES), file=str(tmp_path / "word.csv"))


def test_everything_is_tested() -> None:
    """For measures that need no training; the table's own columns do not matter then."""
    sides = ["train" if source < "s5" else "test" for source in SOURCES]
    for table in (table_of(SOURCES), table_of(SOURCES, split=sides), table_of(SOURCES, fold=[0] * len(SOURCES))):
        found, (part,) = split(table, test=1)
        assert part.test.tolist() == list(range(len(SOURCES))) and len(part.train) == len(part.val) == 0
        assert set(found.frame["split"]) == {"test"} and "fold" not in found.frame.columns


NAMES = ["NA", "null", "None", "nan", "N/A", "1e5", "007", "TRUE"]


@pytest.mark.parametrize("column", ["split", "fold"])
def test_a_split_file_takes_back_any_name(tmp_path: Path, column: str) -> None:
    table = table_of(NAMES, pair_id=NAMES)
    drawn = assign_splits(table, 0.25, 0.25, 0) if column == "split" else assign_folds(table, 4, 0)
    drawn.frame.to_csv(tmp_path / "split.csv", index=False)
    taken, _ = split(table, file=str(tmp_path / "split.csv"), val=0)
    assert taken.frame[column].tolist() == drawn.frame[column].tolist()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("p000,train\np000,test\n", "gives pair 'p000' several or no splits; keep one row of it"),
        ("p000,train\n p000 ,train\n", "has no row for pair 'p001'"),
    ],
)
def test_a_split_file_that_contradicts_itself_is_refused(tmp_path: Path, rows: str, says: str) -> None:
    (tmp_path / "split.csv").write_text(f"pair_id,split\n{rows}")
    with pytest.raises(UserError, match=rf"data\.split\.file: .*split\.csv {says}"):
        split(table_of(SOURCES), file=str(tmp_path / "split.csv"))


def test_a_fold_that_is_no_number_is_refused(tmp_path: Path) -> None:
    table = table_of(["a", "b"])
    (tmp_path / "split.csv").write_text("pair_id,fold\np000,0\np001,first\n")
    with pytest.raises(UserError, match=r"split\.csv gives pair 'p001' several or no folds"):
        split(table, file=str(tmp_path / "split.csv"))
