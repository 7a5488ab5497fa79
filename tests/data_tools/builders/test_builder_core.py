"""Units, journals, folders and shards: whatever happens, the same folder comes out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from data_tools.builders.core.attempt import Made
from data_tools.builders.core.build_context import Call, open_build
from data_tools.builders.core.errors import UnitError
from data_tools.builders.core.executor import Worker
from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Journal, latest_entries
from data_tools.builders.core.tables import ERROR_COLUMNS, build_frame, error_rows, put_frame, put_pairs
from data_tools.builders.core.verify import verify
from data_tools.builders.core.work_items import Unit, generator, make_unit, recipe_of
from models.hub import device_of
from semfid.errors import UserError
from semfid.io.sharding import Shard, parse_shard, shard_of_process
from semfid.progress import silent

ALL = Shard()
SAMPLES = [f"photo{number}" for number in range(12)]
COLUMNS = {
    **{"pair_id": "text", "source_id": "text", "reference": "text", "candidate": "text"},
    **{"draw": "number", "votes_of": "integer", "good": "flag"},
}


class Killed(BaseException):
    """Stands for the end of the process."""


def call(shard: Shard = ALL, retry_failed: bool = False) -> Call:
    return Call(lambda text: None, silent, shard, retry_failed)


def units_of(samples: Sequence[str], recipe: str = "r1") -> list[Unit]:
    return [make_unit("paint", sample, variant, recipe, ["source " + sample]) for sample in samples for variant in "ab"]


def painted(batch: Sequence[Unit]) -> list[Made | UnitError]:
    """A file of random bytes each; photo3 cannot be made, photo5 b is rejected."""
    results: list[Made | UnitError] = []
    for unit in batch:
        rng = generator(7, *unit.slot)
        name = f"out/{unit.sample}_{unit.variant}.bin"
        facts = {"draw": rng.random(), "candidate": name, "votes_of": 3, "good": True}
        if unit.sample == "photo3":
            results.append(UnitError("photo3 is no good"))
        else:
            rejected = "too dull" if unit.slot[1:] == ("photo5", "b") else ""
            results.append(Made({name: rng.bytes(40)}, facts, rejected))
    return results


def mended(batch: Sequence[Unit]) -> list[Made | UnitError]:
    names = [f"out/{unit.sample}_{unit.variant}.bin" for unit in batch]
    return [Made({name: b"x"}, {"draw": 0.5, "candidate": name}) for name in names]


Maker = Callable[[Sequence[Unit]], list[Made | UnitError]]


def build(
    out: Path,
    shard: Shard = ALL,
    make: Maker = painted,
    retry: bool = False,
    batch: int = 1,
    table: str = "pairs.csv",
) -> None:
    with open_build(out, "test", {"seed": 7}, call(shard, retry)) as worker:
        worker.run(units_of([one for one in SAMPLES if shard.holds(one)]), make, lambda done, total: None, batch)
        with worker.folder.merging():
            merge(worker.folder, table)


def merge(folder: BuildFolder, table: str = "pairs.csv") -> None:
    entries = latest_entries(folder.journals)
    rows = [
        {**entry.facts(), "pair_id": "-".join(slot[1:]), "source_id": slot[1], "reference": f"{slot[1]}.jpg"}
        for slot, entry in entries.items()
        if entry.status == "done"
    ]
    if rows:
        put_pairs(folder, table, build_frame(rows, COLUMNS, ["pair_id"]))
    put_frame(folder, "errors.csv", build_frame(error_rows(entries), ERROR_COLUMNS, ["stage", "sample", "variant"]))


def content(out: Path) -> dict[str, str]:
    """Every file but the journals, which tell of when and by whom; of the work folder, what is no lock."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.parent.name != "journals" and path.suffix != ".lock"
    }


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, str]:
    build(tmp_path / "whole")
    return content(tmp_path / "whole")


def test_a_build_has_its_files_and_tables(tmp_path: Path, whole: dict[str, str]) -> None:
    assert {name for name in whole if name.startswith("out/")} == {
        f"out/{sample}_{variant}.bin" for sample in SAMPLES if sample != "photo3" for variant in "ab"
    }
    table = (tmp_path / "whole" / "pairs.csv").read_text().splitlines()
    assert len(table) == 1 + 21 and table[0] == ",".join(COLUMNS) and not any("photo5-b" in line for line in table)
    errors = (tmp_path / "whole" / "errors.csv").read_text()
    assert errors.splitlines()[1:] == [f"paint,photo3,{variant},photo3 is no good,1" for variant in "ab"]


@pytest.mark.parametrize("after", [0, 1, 5, 13, 23])
def test_killed_and_gone_on_is_the_same_to_the_byte(tmp_path: Path, whole: dict[str, str], after: int) -> None:
    made: list[str] = []

    def dying(batch: Sequence[Unit]) -> list[Made | UnitError]:
        if len(made) == after:
            raise Killed
        made.append(batch[0].sample)
        return painted(batch)

    out = tmp_path / "killed"
    with pytest.raises(Killed):
        build(out, make=dying)
    assert len((out / "journals" / "0-of-1.jsonl").read_text().splitlines()) == after
    (out / ".work" / "files" / "0-of-1").mkdir(parents=True, exist_ok=True)
    (out / ".work" / "files" / "0-of-1" / "half.bin").write_bytes(b"on its way")
    again: list[Unit] = []

    def counting(batch: Sequence[Unit]) -> list[Made | UnitError]:
        again.extend(batch)
        return painted(batch)

    build(out, make=counting)
    assert len(again) == 24 - after, "finished work is not done twice"
    assert content(out) == whole


def test_killed_between_file_and_journal(
    tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, append = tmp_path / "killed", Journal.append

    def dying(journal: Journal, unit: Unit, *rest: object, **named: object) -> object:
        if unit.sample == "photo4":
            raise Killed
        return append(journal, unit, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append", dying)
    with pytest.raises(Killed):
        build(out)
    assert (out / "out" / "photo4_a.bin").is_file()
    monkeypatch.undo()
    build(out)
    assert content(out) == whole


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_shards_give_the_same_to_the_byte(tmp_path: Path, whole: dict[str, str], order: tuple[int, ...]) -> None:
    for index in order:
        build(tmp_path / "shards", Shard(index, 3))
    assert content(tmp_path / "shards") == whole
    held = [[sample for sample in SAMPLES if Shard(index, 3).holds(sample)] for index in range(3)]
    assert sorted(sample for part in held for sample in part) == sorted(SAMPLES) and all(held)


def test_batches_and_another_number_of_shards_on_resume(tmp_path: Path, whole: dict[str, str]) -> None:
    build(tmp_path / "mixed", Shard(1, 3), batch=4)
    build(tmp_path / "mixed", batch=5)
    assert content(tmp_path / "mixed") == whole


def test_a_batch_that_fails_is_tried_one_by_one(tmp_path: Path, whole: dict[str, str]) -> None:
    def fragile(batch: Sequence[Unit]) -> list[Made | UnitError]:
        if any(unit.sample == "photo3" for unit in batch):
            raise UnitError("photo3 is no good")
        return painted(batch)

    build(tmp_path / "fragile", make=fragile, batch=6)
    assert content(tmp_path / "fragile") == whole


def test_parquet_does_not_depend_on_shards(tmp_path: Path) -> None:
    build(tmp_path / "a", table="pairs.parquet")
    for index in range(3):
        build(tmp_path / "b", Shard(index, 3), table="pairs.parquet")
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.parametrize("cut", [1, 30])
def test_a_truncated_journal_loses_its_last_line_only(tmp_path: Path, whole: dict[str, str], cut: int) -> None:
    out = tmp_path / "cut"
    build(out)
    journal = out / "journals" / "0-of-1.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert len(latest_entries(out / "journals")) == 23
    build(out)
    assert content(out) == whole
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_journal_line_that_is_no_line_is_named(tmp_path: Path) -> None:
    build(tmp_path / "b")
    journal = tmp_path / "b" / "journals" / "0-of-1.jsonl"
    journal.write_text("{}\n" + journal.read_text())
    with pytest.raises(UserError, match=r"0-of-1\.jsonl, line 1: not a journal's line"):
        build(tmp_path / "b")


def test_two_builders_on_one_shard(tmp_path: Path) -> None:
    out = tmp_path / "b"
    with open_build(out, "test", {"seed": 7}, call(Shard(0, 2))):
        with pytest.raises(UserError, match="another process is building shard 0-of-2 of"):
            build(out, Shard(0, 2))
        with pytest.raises(UserError, match=r"other processes are building .* in 2 shards; .*--shard i/2"):
            build(out, Shard(0, 1))
        build(out, Shard(1, 2))
    build(out)


def test_errors_are_tried_again_only_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "b"
    seen: list[Unit] = []

    def counting(batch: Sequence[Unit]) -> list[Made | UnitError]:
        seen.extend(batch)
        return painted(batch)

    build(out)
    build(out, make=counting)
    assert not seen
    build(out, make=counting, retry=True)
    assert [unit.slot[1:] for unit in seen] == [("photo3", "a"), ("photo3", "b")]
    assert (out / "errors.csv").read_text().splitlines()[1].endswith(",2")
    build(out, make=mended, retry=True)
    assert len((out / "errors.csv").read_text().splitlines()) == 1


def test_files_that_are_gone_and_units_that_changed_are_made_again(tmp_path: Path) -> None:
    out = tmp_path / "b"
    build(out)
    before = content(out)
    (out / "out" / "photo1_a.bin").unlink()
    (out / "out" / "photo2_b.bin").write_bytes(b"short")
    build(out)
    assert content(out) == before
    with open_build(out, "test", {"seed": 7}, call()) as worker:
        assert worker.pending(units_of(SAMPLES)) == []
        assert len(worker.pending(units_of(SAMPLES, "r2"))) == 24
        one = units_of(SAMPLES[:1], "r2")[:1]
        worker.run(one, lambda batch: [Made({"out/other.bin": b"new"})], lambda done, total: None)
    assert not (out / "out" / "photo0_a.bin").exists(), "the file of the unit as it was"
    assert (out / "out" / "other.bin").exists()


def test_other_settings_are_refused(tmp_path: Path) -> None:
    settings = {"seed": 7, "filters": {"area": 0.02}}
    with open_build(tmp_path / "b", "test", {**settings, "seed": 8}, call()):
        pass
    with open_build(tmp_path / "b", "test", settings, call()) as worker:  # nothing was made of the other seed
        worker.run(units_of(SAMPLES[:1]), painted, lambda done, total: None)
    with (
        pytest.raises(UserError, match=r"was built with filters\.area=0\.02, and now it is 0\.05"),
        open_build(tmp_path / "b", "test", {"seed": 7, "filters": {"area": 0.05}}, call()),
    ):
        pass
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("text")
    with pytest.raises(UserError, match="files in it that no builder made"):
        build(tmp_path / "mine")


def test_a_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import data_tools.builders.core.folder as module

    out, count, replace = tmp_path / "full", [0], os.replace

    def full(source: Path, target: Path) -> None:
        count[0] += 1
        if count[0] > 9:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(UserError, match=r"^cannot write .*No space left on device; nothing is lost: free some space"):
        build(out)
    monkeypatch.undo()
    build(out)
    assert content(out) == whole


def test_many_errors_in_a_row_stop_the_build(tmp_path: Path) -> None:
    def broken(batch: Sequence[Unit]) -> list[Made | UnitError]:
        raise RuntimeError("no kernel image")

    folder = BuildFolder(tmp_path / "b", Shard())
    worker = Worker(folder, Journal(folder.journals / "0-of-1.jsonl"), {}, give_up_after=4)
    with pytest.raises(
        UserError, match=r"paint: 4 units in a row failed, .*RuntimeError: no kernel image; .*--retry-failed"
    ):
        worker.run(units_of(SAMPLES), broken, lambda done, total: None)
    assert len(latest_entries(folder.journals)) == 4


def test_verify_names_what_is_missing_changed_or_extra(tmp_path: Path) -> None:
    out = tmp_path / "b"
    build(out)
    found = verify(out, lambda done, total: None)
    assert found.fine and found.errors == 2 and found.checked == 22 + 2
    (out / "out" / "photo1_a.bin").unlink()
    data = bytearray((out / "out" / "photo2_b.bin").read_bytes())
    data[3] ^= 1
    (out / "out" / "photo2_b.bin").write_bytes(data)
    (out / "out" / "stranger.bin").write_bytes(b"")
    (out / "pairs.csv").write_text("pair_id\n")
    found = verify(out, lambda done, total: None)
    assert (found.missing, found.changed, found.extra) == (
        ["out/photo1_a.bin"],
        ["out/photo2_b.bin", "pairs.csv"],
        ["out/stranger.bin"],
    )
    with pytest.raises(UserError, match="is not the folder of a build"):
        verify(tmp_path, lambda done, total: None)


def test_ids_and_seeds_depend_on_what_they_should() -> None:
    a = make_unit("s", "x", "v", recipe_of({"a": 1, "b": 2}), ["h"])
    assert a.id == make_unit("s", "x", "v", recipe_of({"b": 2, "a": 1}), ["h"], work=3).id
    others = [
        make_unit("t", "x", "v", recipe_of({"a": 1, "b": 2}), ["h"]),
        make_unit("s", "x", "v", recipe_of({"a": 1, "b": 3}), ["h"]),
        make_unit("s", "x", "v", recipe_of({"a": 1, "b": 2}), ["i"]),
        make_unit("s", "x", "w", recipe_of({"a": 1, "b": 2}), ["h"]),
    ]
    assert len({unit.id for unit in [a, *others]}) == 5
    draws = {generator(*slot).random() for slot in [(0, "s", "x", "v"), (1, "s", "x", "v"), (0, "s", "y", "v")]}
    assert len(draws) == 3
    assert generator(0, "s", "x", "v").random() == generator(0, "s", "x", "v").random()
    assert isinstance(generator(0, "s", "x", "v"), np.random.Generator)


def test_shards_by_hand_and_by_launcher() -> None:
    assert parse_shard("2/8") == Shard(2, 8)
    for text in ("8/8", "1", "-1/2", "a/b", "1/0"):
        with pytest.raises(UserError, match="give i/n with i from 0"):
            parse_shard(text)
    assert shard_of_process({}) == Shard(0, 1)
    assert shard_of_process({"RANK": "1", "WORLD_SIZE": "4"}) == Shard(1, 4)
    assert shard_of_process({"SLURM_PROCID": "3", "SLURM_NTASKS": "5"}) == Shard(3, 5)
    assert shard_of_process({"SLURM_NTASKS": "5"}) == Shard(0, 1), "a shell of salloc is no task"
    assert device_of("build", "cpu", {"LOCAL_RANK": "1"}) == "cpu"
    with pytest.raises(UserError, match="no device 'cuda:77'"):
        device_of("build", "cuda:77")
