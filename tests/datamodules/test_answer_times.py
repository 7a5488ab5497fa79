"""The later answer of a person counts, however the times are written; codes are text, and nobody is left out by mistake."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest

from datamodules.sources.answer_times import Clock, TimeError
from datamodules.sources.user_study import count_answers
from registry import DATAMODULES
from semfid.errors import UserError

COLUMNS = ["User Code", "Ground Truth Image", "Super Resolution Image", "Answer", "Timestamp"]

# the earlier of two times, the later one, and a third of another person; the later is the smaller as text but in the first row
WAYS = {
    "iso": ("2024-05-03 09:58:00", "2024-05-03 10:02:00", "2024-05-03 10:00:00"),
    "am and pm": ("5/3/2024 9:58:00 AM", "5/3/2024 10:02:00 AM", "5/3/2024 10:00:00 AM"),
    "noon": ("5/3/2024 11:58 AM", "5/3/2024 12:02 PM", "5/3/2024 10:00 PM"),
    "midnight": ("5/3/2024 12:10:00 AM", "5/3/2024 1:02:00 AM", "5/13/2024 10:00 p.m."),
    "months first": ("9/30/2024 10:00", "10/1/2024 10:00", "10/1/2024 11:00"),
    "days first": ("30/9/2024 10:00", "1/10/2024 10:00", "1/10/2024 11:00"),
    "days with dashes": ("30-09-2024 10:00", "01-10-2024 10:00", "01-10-2024 11:00"),
    "dots": ("30.09.2024 09:00", "02.10.2024 09:00", "01.10.2024 09:00"),
    "milliseconds of 12 and 13 digits": ("999999999000", "1000000000000", "1000000000500"),
    "seconds of 9 and 10 digits": ("999999999", "1000000000.25", "1000000001"),
    "milliseconds since a page was opened": ("9500", "10250", "11000"),
    "zones": ("2024-05-03T23:58+02:00", "2024-05-03T22:10Z", "2024-05-03T22:10:00.5-0130"),
    "a zone by name": ("2024-05-03 23:58:00 GMT+02:00", "2024-05-03 22:10:00 UTC", "2024-05-03 22:10:00 UTC"),
    "short": ("2024-9-30", "2024-10-1", "2024-10-1"),
    "parts of a second": ("2024-05-03 10:02:00.9", "2024-05-03 10:02:00.91", "2024-05-03 10:02:01"),
    "slashes, year first": ("2024/9/30 10:00:00", "2024/10/1 9:00:00", "2024/10/1 9:00:00"),
    "month by name": ("3 May 2024 10:02", "1 June 2024 09:00", "1 June 2024 09:00"),
    "month before day": ("May 3, 2024 9:02 AM", "May 3, 2024 1:02 PM", "May 3, 2024 1:02 PM"),
    "a browser's": (
        "Fri May 03 2024 23:58:00 GMT+0200 (Central European Summer Time)",
        "Fri May 03 2024 22:10:00 GMT+0000 (UTC)",
        "Sat May 04 2024 00:10:00 GMT+0100",
    ),
    "a mail's": ("Fri, 03 May 2024 23:58:00 +0200", "Fri, 03 May 2024 22:10:00 GMT", "Fri, 03 May 2024 22:10:00 GMT"),
}


def answers(folder: Path, *rows: tuple[str, str, str], name: str = "SwinIR_a.png") -> Path:
    """User, answer and time of each row; all on one pair."""
    path = folder / "answers.csv"
    pd.DataFrame([[user, "a.png", name, answer, time] for user, answer, time in rows], columns=COLUMNS).to_csv(
        path, index=False
    )
    return path


def yes_of(path: Path, leave_out: list[str] | None = None) -> list[int]:
    (row,) = count_answers(path, leave_out or []).to_dict("records")
    return [row["yes_votes"], row["votes"]]


@pytest.mark.parametrize("way", WAYS)
def test_the_later_answer_counts(tmp_path: Path, way: str) -> None:
    early, late, other = WAYS[way]
    rows = [("u0", "No", early), ("u0", "Yes", late), ("u1", "No", other)]
    for order in itertools.permutations(rows):
        assert yes_of(answers(tmp_path, *order)) == [1, 2], order
    turned = [("u0", "Yes", early), ("u0", "No", late), ("u1", "No", other)]
    for order in itertools.permutations(turned):
        assert yes_of(answers(tmp_path, *order)) == [0, 2], order


@pytest.mark.parametrize(
    "time",
    [
        "yesterday", "5/3/24 10:02", "13/13/2024 10:00", "2024-02-30 10:00", "2024-05-03 25:00", "2024-05-03 13:00 PM", "1.7E+12",
        "45415.4,1", "2024-05-03 10:02:00+99:00", "10:02:00", "2024-05-03T", "-5", "NaT",
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_read_is_refused_with_its_row(tmp_path: Path, time: str) -> None:
    for row in range(3):
        times = ["2024-05-03 10:00:00", "2024-05-03 10:01:00"]
        times.insert(row, time)
        path = answers(tmp_path, *zip(["u0", "u1", "u1"], ["Yes", "No", "Yes"], times, strict=True))
        with pytest.raises(UserError, match=rf"row {row + 2}: the time .* write times as 2024-05-03 10:02:00") as error:
            yes_of(path)
        assert "\n" not in str(error.value)


def test_times_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    mixed = answers(
        tmp_path,
        ("u0", "Yes", "2024-05-03 10:00Z"),
        ("u1", "No", "2024-05-03 10:00Z"),
        ("u2", "No", "2024-05-03 10:00"),
    )
    with pytest.raises(UserError, match=r"row 4: the time '2024-05-03 10:00' has no zone, unlike others"):
        yes_of(mixed)
    numbers = answers(tmp_path, ("u0", "Yes", "2024-05-03 10:00"), ("u1", "No", "1714730520123"))
    with pytest.raises(UserError, match=r"row 3: the time '1714730520123' cannot be read"):
        yes_of(numbers)
    missing = answers(tmp_path, ("u0", "Yes", "2024-05-03 10:00"), ("u0", "No", ""))
    with pytest.raises(UserError, match="row 3: the time '' cannot be read"):
        yes_of(missing)
    assert yes_of(answers(tmp_path, ("u0", "Yes", "2024-05-03 10:00"), ("u1", "No", ""))) == [1, 2]  # needs none


def test_days_and_months_are_told_apart_by_the_column_or_refused_where_it_matters(tmp_path: Path) -> None:
    torn = [("u0", "No", "5/6/2024 10:00"), ("u0", "Yes", "6/5/2024 10:00")]
    with pytest.raises(
        UserError, match=r"'u0' to 'SwinIR_a\.png' was the later hangs on whether its times begin with days or months"
    ):
        yes_of(answers(tmp_path, *torn))
    assert yes_of(answers(tmp_path, *torn, ("u1", "No", "4/30/2024 10:00"))) == [1, 2]
    assert yes_of(answers(tmp_path, *torn, ("u1", "No", "30/4/2024 10:00"))) == [0, 2]
    same = [("u0", "Yes", "5/6/2024 10:00"), ("u0", "Yes", "6/5/2024 10:00")]
    assert yes_of(answers(tmp_path, *same)) == [1, 1]
    with pytest.raises(UserError, match=r"row 3: the time '30/4/2024' cannot be: month must be in 1\.\.12"):
        yes_of(answers(tmp_path, ("u0", "Yes", "4/30/2024"), ("u1", "No", "30/4/2024")))


def test_answers_of_one_time_are_in_the_order_of_a_sorted_file(tmp_path: Path) -> None:
    noon, one = "02.10.2024 12:00", "02.10.2024 13:00"
    rows = [("u1", "No", "01.10.2024 12:00"), ("u0", "No", noon), ("u0", "Yes", noon), ("u2", "No", one)]
    assert yes_of(answers(tmp_path, *rows)) == [1, 3]
    assert yes_of(answers(tmp_path, *rows[::-1])) == [1, 3]  # newest first
    with pytest.raises(UserError, match=r"'u0' answered 'SwinIR_a\.png' Yes and No at one time"):
        yes_of(answers(tmp_path, rows[3], *rows[:3]))
    untimed = [("u0", "No", ""), ("u1", "No", " "), ("u0", "Yes", "")]
    assert yes_of(answers(tmp_path, *untimed)) == [1, 2]


def test_a_clock_reads_times_with_and_without_zones() -> None:
    clock = Clock.of_column(["2024-05-03T00:00:00+02:00"])
    assert clock.seconds("2024-05-03T00:00:00+02:00") == clock.seconds("2024-05-02T22:00Z") == 1714687200.0
    assert Clock.of_column(["1"]).seconds("1714687200123") == 1714687200.123
    with pytest.raises(TimeError, match="has a zone, unlike others"):
        Clock.of_column(["2024-05-03", "2024-05-03"]).seconds("2024-05-03Z")


@pytest.mark.parametrize(
    ("left_out", "says"),
    [
        (["u9"], r"no answer of a user 'u9' \(there are 4 users, such as 007, NA, u0\)"),
        (["7"], r"no answer of a user '7'; did you mean '007'\? write it in quotes"),
        (["u0 1"], r"no answer of a user 'u0 1'; did you mean 'u[01]' or 'u[01]'\?"),
        (["nobody"], r"no answer of a user 'nobody' \(there are 4 users"),
        (["u0", ""], r"no answer of a user '' "),
    ],
)
def test_users_that_nobody_is_are_refused(tmp_path: Path, left_out: list[str], says: str) -> None:
    path = answers(tmp_path, *((user, "Yes", "2024-05-03") for user in ("u0", "u1 ", "007", "NA")))
    with pytest.raises(UserError, match=rf"data\.exclude_users: .*{says}"):
        yes_of(path, left_out)


@pytest.mark.parametrize(
    ("left_out", "left"), [(["u1"], 3), (["007"], 3), (["NA"], 3), (["NA", "u0", "u1"], 1), ([], 4)]
)
def test_codes_are_text(tmp_path: Path, left_out: list[str], left: int) -> None:
    path = answers(tmp_path, *((user, "Yes", "2024-05-03") for user in ("u0", "u1 ", "007", "NA")))
    assert yes_of(path, left_out) == [left, left]


def test_users_cannot_be_left_out_where_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("img_names,userStudyScores\nSwinIR_a.png,0.5\n")
    with pytest.raises(UserError, match=r"data\.exclude_users: .* has no column User Code.*remove exclude_users"):
        DATAMODULES.build("user_study", answers=str(tmp_path / "scores.csv"), exclude_users=["u0"]).load_table()
