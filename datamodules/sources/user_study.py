"""Human judgements: this project's own export, and the source project's two CSV formats."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from datamodules.base import LoaderConfig, PairDataModule, existing
from datamodules.sources.answer_times import WAYS, Clock, TimeError
from registry import DATAMODULES
from semfid.errors import UserError, did_you_mean
from semfid.io.file_pairs import without_suffix
from semfid.io.listing import list_images, nfc
from semfid.io.pair_table import PairTable, as_paths, check_pairs, read_frame, read_pairs

ANSWERS = ("User Code", "Ground Truth Image", "Super Resolution Image", "Answer", "Timestamp")
SCORES = ("img_names", "userStudyScores")
PERSON = ["User Code", "candidate"]  # and what is judged


@DATAMODULES.register(
    "user_study",
    summary="human yes/no judgements (pair table with votes, or the source project's CSVs)",
    shared=LoaderConfig,
)
class UserStudyData(PairDataModule):
    """Pairs with human labels.

    Args:
        answers: one of three files, told apart by their columns:

            * this project's pair table with yes_votes and votes (paths relative to it; `references` and `candidates`
              are not used);
            * the study platform's answers, ``User Code, Ground Truth Image, Super Resolution Image, Answer, Timestamp``:
              one row per answer, counted to votes (a person's later answer to the same pair replaces the earlier);
            * scores per pair, ``img_names, userStudyScores``.
        references: folder of the ground-truth photos.
        candidates: folder of the super-resolved images, searched with its subfolders.
        exclude_users: user codes whose answers do not count; one that nobody has is an error.
        min_votes: pairs with fewer answers are left out.

    The ground truth of ``<anything>_<photo>.png`` is ``<photo>``. File endings in the CSV need not be those on the disk.
    """

    def __init__(
        self,
        answers: str,
        references: str | None = None,
        candidates: str | None = None,
        exclude_users: list[str] | None = None,
        min_votes: int = 1,
        *,
        loader: LoaderConfig,
    ) -> None:
        super().__init__(loader)
        self.answers, self.references, self.candidates = answers, references, candidates
        self.exclude_users, self.min_votes = [str(user).strip() for user in exclude_users or []], min_votes

    def load_table(self) -> PairTable:
        path = existing(self.answers, "data.answers")
        columns = set(read_frame(path, where="data.answers").columns)
        if self.exclude_users and "User Code" not in columns:
            raise UserError(
                f"data.exclude_users: {path} has no column User Code, which names people; remove exclude_users"
            )
        if "pair_id" in columns:
            table = read_pairs(path)
            if "votes" not in table.frame.columns:
                raise UserError(
                    f"data.answers: {path} has no votes; use the datamodule 'pairs' for labels without votes"
                )
            return table.with_frame(_enough(table.frame, self.min_votes, path))
        if {"Super Resolution Image", "Answer"} <= columns:
            frame = count_answers(path, self.exclude_users)
        elif set(SCORES) <= columns:
            frame = read_scores(path)
        else:
            raise UserError(
                f"data.answers: {path} has the columns {', '.join(sorted(columns))}; expected a pair table (pair_id, ...), "
                f"answers ({', '.join(ANSWERS)}) or scores ({', '.join(SCORES)})"
            )
        if self.references is None or self.candidates is None:
            raise UserError(f"data: {path} names images only; give the folders data.references and data.candidates")
        frame = _enough(frame, self.min_votes, path) if "votes" in frame.columns else frame
        return check_pairs(
            _locate(
                frame, path, existing(self.references, "data.references"), existing(self.candidates, "data.candidates")
            )
        )


def count_answers(path: Path, exclude_users: list[str]) -> pd.DataFrame:
    """Answers to votes, one row per super-resolved image: columns candidate, photo, yes_votes, votes.

    Raises:
        UserError: no rows, an answer that is neither yes nor no, a user to be left out who is not there, or a time of which
            hangs what counts and that cannot be told.
    """
    rows = read_frame(path, where="data.answers", needs=("Super Resolution Image", "Answer"))
    if len(rows) == 0:
        raise UserError(f"data.answers: {path} has no rows")
    answer = rows["Answer"].str.strip().str.lower()
    unknown = ~answer.isin(["yes", "no"])
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        raise UserError(
            f"data.answers: {path}, row {row + 2}: Answer is {rows['Answer'].iloc[row]!r}; only Yes and No count"
        )
    rows = rows.assign(
        yes=(answer == "yes").astype(int), candidate=as_paths(rows["Super Resolution Image"].str.strip(), path.parent)
    )
    if "User Code" in rows.columns:
        rows = rows.assign(**{"User Code": rows["User Code"].str.strip()})
        _refuse_strangers(rows["User Code"], exclude_users, path)
        rows = last_answers(rows[~rows["User Code"].isin(exclude_users)], path)
    votes = rows.groupby("candidate", sort=True)["yes"].agg(yes_votes="sum", votes="count").reset_index()
    if len(votes) == 0:
        raise UserError(f"data.answers: {path} has no answer left after data.exclude_users")
    return votes.assign(photo=votes["candidate"].map(photo_of))


def last_answers(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Of each person and pair the last answer. Without a code nobody can be told apart: such answers count one by one.

    Answers of one time are in the file's order, which is that of time where the file is sorted by it, newest first or last.

    Raises:
        UserError: a time that cannot be read, or that cannot tell which of two answers was the later.
    """
    known = rows["User Code"] != ""
    if "Timestamp" not in rows.columns or (rows["Timestamp"].str.strip() == "").all():
        return rows[~known | ~rows.duplicated(PERSON, keep="last")]  # the file's order
    again = known & rows.duplicated(PERSON, keep=False)
    clock = Clock.of_column(time for time in rows["Timestamp"] if time.strip())
    readings = [rows.assign(time=_seconds(rows["Timestamp"], again, clock, order, path)) for order in clock.orders]
    kept = [_last(reading, known, path) for reading in readings]
    for one in kept[1:]:
        both = (
            kept[0]
            .loc[known[kept[0].index], [*PERSON, "yes"]]
            .merge(one.loc[known[one.index], [*PERSON, "yes"]], on=PERSON)
        )
        if (both["yes_x"] != both["yes_y"]).any():
            user, name = both.loc[both["yes_x"] != both["yes_y"], PERSON].iloc[0]
            raise UserError(
                f"data.answers: {path}: which answer of {user!r} to {name!r} was the later hangs on whether its times begin with "
                f"days or months; {WAYS}"
            )
    return kept[0]


def _last(rows: pd.DataFrame, known: pd.Series[bool], path: Path) -> pd.DataFrame:
    """The last of each person and pair by the column time."""
    steps = rows["time"].dropna().diff().dropna()
    if (steps < 0).any() and (steps > 0).any():
        alike = known & rows.duplicated([*PERSON, "time"], keep=False)
        torn = rows[alike].groupby([*PERSON, "time"])["yes"].nunique() > 1
        if torn.any():
            user, name, _ = torn[torn].index[0]
            raise UserError(
                f"data.answers: {path}: {user!r} answered {name!r} Yes and No at one time; drop one of the rows, or sort the "
                "file by time"
            )
    elif (steps < 0).any():
        rows = rows[::-1]
    rows = rows.sort_values("time", kind="stable")
    return rows[~known[rows.index] | ~rows.duplicated(PERSON, keep="last")]


def _seconds(times: pd.Series[str], again: pd.Series[bool], clock: Clock, month_first: bool, path: Path) -> list[float]:
    """Of each row; NaN where no time is given and none is needed."""
    found = []
    for row, (time, needed) in enumerate(zip(times, again, strict=True)):
        try:
            found.append(clock.seconds(time, month_first) if time.strip() or needed else float("nan"))
        except TimeError as error:
            raise UserError(f"data.answers: {path}, row {int(times.index[row]) + 2}: {error}") from error
    return found


def _refuse_strangers(codes: pd.Series[str], exclude_users: list[str], path: Path) -> None:
    known = sorted(set(codes) - {""})
    for user in exclude_users:
        if user not in known:
            zeros = [code for code in known if code.lstrip("0") == user.lstrip("0")]
            near = f"; did you mean {zeros[0]!r}? write it in quotes" if zeros else did_you_mean(user, known)
            raise UserError(
                f"data.exclude_users: {path} has no answer of a user {user!r}{near} (there are {len(known)} users, such as "
                f"{', '.join(known[:3]) or 'none'})"
            )


def read_scores(path: Path) -> pd.DataFrame:
    """Scores per pair: columns candidate, photo, difference.

    Raises:
        UserError: an image twice, or a score that is no number.
    """
    rows = read_frame(path, where="data.answers", needs=SCORES)
    rows = rows.assign(
        candidate=as_paths(rows["img_names"].str.strip(), path.parent),
        difference=pd.to_numeric(rows["userStudyScores"], errors="coerce"),
    )
    broken = rows["difference"].isna()
    if broken.any():
        raise UserError(f"data.answers: {path}: the score of {rows['img_names'][broken].iloc[0]!r} is not a number")
    rows = rows[["candidate", "difference"]]
    return rows.assign(photo=rows["candidate"].map(photo_of))


def photo_of(candidate: str) -> str:
    """Stem of the ground truth: what follows the last ``_`` of the super-resolved image's name, where no network's suffix
    stands behind it.
    """
    return without_suffix(Path(candidate).stem)[0].rsplit("_", 1)[-1]


def origin_of(candidate: str) -> str:
    """What stands before the last ``_``: the model that made the image."""
    name, suffix = without_suffix(Path(candidate).stem)
    return name.rpartition("_")[0] or suffix or "unknown"


def _enough(frame: pd.DataFrame, min_votes: int, path: Path) -> pd.DataFrame:
    kept = frame[frame["votes"] >= min_votes]
    if len(kept) == 0:
        raise UserError(
            f"data.min_votes: no pair of {path} has {min_votes} votes (the most is {int(frame['votes'].max())})"
        )
    return kept


def _locate(frame: pd.DataFrame, path: Path, references: Path, candidates: Path) -> PairTable:
    """Find the files, whatever their endings and subfolders, and give the rows this project's columns."""
    photos, outputs = _files_by_stem(references), _files_by_stem(candidates)
    found: dict[str, list[str]] = {"reference": [], "candidate": []}
    for photo, candidate in zip(frame["photo"], frame["candidate"], strict=True):
        for column, files, stem, folder in (
            ("reference", photos, photo, references),
            ("candidate", outputs, Path(candidate).stem, candidates),
        ):
            matches = files.get(nfc(stem), [])
            wanted = nfc(Path(candidate).name)
            exact = [match for match in matches if nfc(match.name) == wanted] if column == "candidate" else []
            chosen = exact or matches
            if not chosen:
                raise UserError(f"{path}: {candidate!r} needs an image '{stem}.*' in {folder}, and there is none")
            if len(chosen) > 1:
                raise UserError(
                    f"{path}: {candidate!r} fits both {chosen[0]} and {chosen[1]}; remove or rename one of them"
                )
            found[column].append(str(chosen[0].resolve()))
    columns = [column for column in ("yes_votes", "votes", "difference") if column in frame.columns]
    rows = (
        frame[columns]
        .reset_index(drop=True)
        .assign(
            pair_id=[Path(candidate).stem for candidate in frame["candidate"]],
            source_id=list(frame["photo"]),
            origin=[origin_of(candidate) for candidate in frame["candidate"]],
            **found,
        )
    )
    return PairTable(rows, Path("/"), str(path))


def _files_by_stem(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    listing = list_images(folder)
    if listing.summary():
        warnings.warn(listing.summary(), stacklevel=3)
    for file in listing.paths:
        files.setdefault(nfc(file.stem), []).append(file)
    return files
