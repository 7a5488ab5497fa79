"""What the overview and the lists say, against plain Python over the answers themselves."""

from __future__ import annotations

import itertools
import shutil
import statistics as plain
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sqlalchemy import delete, select, text, update
from study_rows import HOUR, fill_answers, fill_pairs
from study_support import Postgres

from user_study.analysis import overview, pair_list, participant_list, statistics, trap_list
from user_study.core.folder import create_study
from user_study.core.settings import StudySettings
from user_study.database.engine import Database, open_database
from user_study.database.schema import pair, participant, response
from user_study.participant import roles
from user_study.trial import exclusion, screening

NOW = 100 * HOUR


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A study with 160 answers on both kinds of database; only to be read."""
    name = None
    if request.param == "postgresql":
        if postgres.reason:
            pytest.skip(postgres.reason)
        name = postgres.new()
    made = create_study(tmp_path_factory.mktemp("read"), StudySettings(), postgres.url(name) if name else None)
    fill_pairs(made.database, main=12, traps=4, quota=12)
    fill_answers(made.database, people=10, now=NOW)
    yield made.database
    made.database.close()
    if name:
        postgres.drop(name)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files to copy: a study with the same answers, and one without pairs."""
    made = {}
    for kind in ("answers", "empty"):
        folder = create_study(tmp_path_factory.mktemp(kind), StudySettings())
        if kind == "answers":
            fill_pairs(folder.database, main=12, traps=4, quota=12)
            fill_answers(folder.database, people=10, now=NOW)
        folder.database.close()
        made[kind] = folder.path / "study.db"
    return made


def copied(file: Path, to: Path) -> Iterator[Database]:
    shutil.copy(file, to / "study.db")
    opened = open_database(f"sqlite:///{to}/study.db")
    yield opened
    opened.close()


@pytest.fixture
def own(templates: dict[str, Path], tmp_path: Path) -> Iterator[Database]:
    """A study with 160 answers that a test may change."""
    yield from copied(templates["answers"], tmp_path)


@pytest.fixture
def empty(templates: dict[str, Path], tmp_path: Path) -> Iterator[Database]:
    """A study without pairs."""
    yield from copied(templates["empty"], tmp_path)


def test_nothing_yet(empty: Database) -> None:
    with empty.read() as c:
        found, figures = overview.progress(c, NOW), overview.reliability(c)
        assert (found.target, found.answers, found.pairs, found.per_hour, found.hours_left) == (0, 0, 0, 0.0, None)
        assert found.share == 0.0 and found.people == overview.People()
        assert np.isnan(figures.agreement.alpha) and np.isnan(figures.split_half) and sum(figures.scores) == 0
        assert overview.curve(c) == []
        assert pair_list.list_pairs(c, pair_list.Filter(page=9)).page == 1
        assert participant_list.list_participants(c, participant_list.Filter()).rows == []
        assert (
            trap_list.list_traps(c) == [] and pair_list.view(c, 1) is None and participant_list.view(c, "P-0") is None
        )


def test_progress_is_that_of_the_answers(filled: Database) -> None:
    with filled.read() as c:
        found = overview.progress(c, NOW)
        rows = c.execute(select(response)).all()
        counted = [row for row in rows if row.counted]
        assert (found.target, found.answers, found.pairs, found.complete) == (12 * 12, len(counted), 12, 0)
        assert Counter(row.answer for row in counted) == {"yes": found.yes, "no": found.no}
        hour = [row.answered_at for row in counted if row.answered_at >= NOW - HOUR]
        seen = min(row.answered_at for row in rows if row.answered_at >= NOW - HOUR)
        assert found.per_hour == pytest.approx(len(hour) * HOUR / (NOW - seen))
        assert found.hours_left == pytest.approx((144 - len(counted)) / found.per_hour)
        traps = [row for row in rows if row.kind == "trap"]
        assert (found.traps_seen, found.traps_right) == (len(traps), sum(row.correct for row in traps))
        assert found.people.joined == 10 and found.people.active == 1  # the others were seen hours ago


def test_rate_of_a_study_that_has_just_begun(empty: Database) -> None:
    fill_pairs(empty, main=6, traps=0)
    fill_answers(empty, people=5, now=NOW, span_ms=600_000)
    with empty.read() as c:
        first = c.execute(select(response.c.answered_at).order_by(response.c.answered_at)).scalars().first()
        assert overview.progress(c, NOW).per_hour == pytest.approx(30 * HOUR / (NOW - first))  # not 30 an hour
        later = overview.progress(c, NOW + 2 * HOUR)
    assert later.per_hour == 0 and later.hours_left is None


def test_reliability_is_that_of_the_answers(filled: Database) -> None:
    with filled.read() as c:
        figures = overview.reliability(c)
        votes: dict[int, Counter[str]] = defaultdict(Counter)
        for row in c.execute(select(response).where(response.c.counted == 1)):
            votes[row.pair_id][row.answer] += 1
    table = np.array([[vote["yes"], vote["no"]] for vote in votes.values()])
    assert figures.agreement == statistics.agreement(table)
    assert figures.split_half == statistics.split_half(table[:, 0], table[:, 1])
    tenths = Counter(min(10 * int(yes) // int(yes + no), 9) for yes, no in table)
    assert figures.scores == tuple(tenths[k] for k in range(10))
    assert figures.filling == ((10, 12),)


def test_not_sure_is_a_category_of_agreement_and_half_a_yes_of_the_score(empty: Database) -> None:
    settings = StudySettings(answers="unsure")
    fill_pairs(empty, main=8, traps=0)
    fill_answers(empty, people=8, settings=settings)
    with empty.read() as c:
        figures = overview.reliability(c, unsure=True)
        votes = select(pair.c.yes, pair.c.no, pair.c.unsure).where(pair.c.kind == "main").order_by(pair.c.pair_key)
        rows = c.execute(votes).all()
        listed = pair_list.list_pairs(c, pair_list.Filter()).rows
    table = np.array([tuple(row) for row in rows])
    assert table[:, 2].sum() > 0 and figures.agreement == statistics.agreement(table)
    assert [row.score for row in listed] == pytest.approx((table[:, 0] + table[:, 2] / 2) / table.sum(axis=1))


def test_figures_are_kept_until_the_counters_move(own: Database) -> None:
    kept = overview.Reliable(pause_ms=1000)
    with own.read() as c:
        first = kept.get(c, overview.progress(c, NOW), False, NOW)
        assert kept.get(c, overview.progress(c, NOW), False, NOW + 5000) is first
    with own.write() as c:
        c.execute(update(pair).where(pair.c.kind == "main", pair.c.id == 1).values(yes=0, no=0, done=0))
    with own.read() as c:
        counters = overview.progress(c, NOW)
        assert kept.get(c, counters, False, NOW + 500) is first  # not twice a second
        assert kept.get(c, counters, False, NOW + 1500) is not first


def test_curve_grows_and_survives_erased_answers(own: Database) -> None:
    with own.write() as c:
        c.execute(delete(response).where(response.c.id.in_((5, 6, 7, 8, 9))))
    with own.read() as c:
        points = overview.curve(c)
    assert len(points) > 30 and points[-1][1] == 1.0
    assert all(a[0] <= b[0] and a[1] < b[1] for a, b in itertools.pairwise(points))


def test_orders_of_pairs(filled: Database) -> None:
    for order in pair_list.ORDERS:
        for down in (False, True):
            with filled.read() as c:
                rows = pair_list.list_pairs(c, pair_list.Filter(order=order, down=down)).rows
            values: list = {
                "key": [row.key for row in rows],
                "origin": [row.origin for row in rows],
                "answers": [row.done for row in rows],
                "score": [row.score for row in rows],
                "uncertainty": [round(row.high - row.low, 9) for row in rows],
                "unsure": [row.unsure for row in rows],
            }[order]
            assert values == sorted(values, reverse=down) and len(rows) == 12, (order, down)


def test_filters_of_pairs(own: Database) -> None:
    with own.write() as c:
        c.execute(update(pair).where(pair.c.id == 2).values(active=0))
        c.execute(update(pair).where(pair.c.id == 3).values(quota=10))
        c.execute(update(pair).where(pair.c.id == 4).values(reference_left=9))
        c.execute(update(pair).where(pair.c.id == 5).values(done=0, yes=0, no=0))

    with own.read() as c:

        def ids(**wanted: str) -> set[int]:
            return {row.id for row in pair_list.list_pairs(c, pair_list.Filter(**wanted)).rows}

        every = set(range(1, 13)) - {2}
        assert ids() == every and ids(state="retired") == {2} and ids(state="complete") == {3}
        assert ids(state="unfinished") == every - {3} and ids(state="untouched") == {5}
        assert ids(flag="one_sided") == {4} and ids(search="photo_00") == every - {11, 12} and ids(search="%") == set()
        assert ids(origin="smooth") == {k for k in every if k % 3 == 2} and ids(state="x", flag="y") == every
        divided = {
            row.id
            for row in c.execute(select(pair).where(pair.c.kind == "main", pair.c.active == 1, pair.c.done >= 10))
            if stats.binomtest(row.yes, row.done).proportion_ci(method="wilson").low
            <= 0.5
            <= stats.binomtest(row.yes, row.done).proportion_ci(method="wilson").high
        }
        assert ids(flag="divided") == divided and divided
        assert pair_list.origins(c) and set(pair_list.origins(c)) == {"blocky", "smooth", "crisp"}


def test_one_pair_with_its_answers(filled: Database) -> None:
    with filled.read() as c:
        found = pair_list.view(c, 1)
        assert found is not None and found.answers_total == len(found.answers) == 10
        assert found.reference.token == "token-0" and found.reference.width == 64
        low, high = stats.binomtest(found.row.yes, found.row.done).proportion_ci(method="wilson")
        assert (found.row.low, found.row.high) == pytest.approx((low, high))
        assert {row.nickname for row in found.answers} == {f"person {k}" for k in range(10)}


def test_participants_with_median_times_and_traps(filled: Database) -> None:
    with filled.read() as c:
        listing = participant_list.list_participants(c, participant_list.Filter(order="traps", down=False))
        shares = [row.trap_share for row in listing.rows]
        assert shares == sorted(shares) and listing.total == 10
        for row in listing.rows:
            times = c.execute(select(response.c.rt_ms).where(response.c.participant_id == row.id)).scalars().all()
            assert row.median_ms == pytest.approx(plain.median(times))
            low, high = stats.binomtest(row.traps_right, row.traps_seen).proportion_ci(method="wilson")
            assert (row.trap_low, row.trap_high) == pytest.approx((low, high))


def test_one_participant(filled: Database) -> None:
    with filled.read() as c:
        found = participant_list.view(c, "P-00003")
        assert found is not None
        mine = c.execute(select(response).where(response.c.participant_id == found.row.id)).all()
        shares = []
        for row in mine:
            others = c.execute(
                select(response.c.answer).where(
                    response.c.pair_id == row.pair_id, response.c.id != row.id, response.c.counted == 1
                )
            ).scalars().all()  # fmt: skip
            if row.kind == "main":
                shares.append(others.count(row.answer) / len(others))
        assert found.agreement == pytest.approx(np.mean(shares))
        bins = np.histogram([min(row.rt_ms, 9_999) for row in mine], bins=np.arange(0, 10_001, 500))[0]
        assert found.histogram == tuple(bins)
        assert found.counts == [("main", 1, None, 12), ("trap", 0, "kind", 4)]


def test_careless_person_is_found_listed_and_comes_back(own: Database) -> None:
    rules = StudySettings().rules
    with own.write() as c:
        key = c.execute(select(participant.c.id).where(participant.c.code == "P-00009")).scalar_one()
        exclusion.exclude(c, key, "by hand", "ada", NOW, screening.rules_hash(rules))
    with own.read() as c:
        assert overview.progress(c, NOW).answers == 9 * 12 and overview.progress(c, NOW).people.excluded == 1
        who = [row.code for row in participant_list.list_participants(c, participant_list.Filter(who="excluded")).rows]
        found = participant_list.view(c, "P-00009")
    assert who == ["P-00009"] and found is not None and found.events[0].reason == "by hand"
    with own.write() as c:
        exclusion.restore(c, key, "a mistake", "ada", NOW)
    with own.read() as c:
        assert overview.progress(c, NOW).answers == 10 * 12


def test_a_tester_leaves_the_counters_for_good(own: Database) -> None:
    with own.write() as c:
        key = c.execute(select(participant.c.id).where(participant.c.code == "P-00000")).scalar_one()
        roles.set_role(c, key, "tester", "ada", NOW)
    with own.read() as c:
        found = overview.progress(c, NOW)
        assert found.answers == 9 * 12 and (found.people.joined, found.people.testers) == (9, 1)
        assert participant_list.list_participants(c, participant_list.Filter(search="person 0")).rows == []
        assert len(participant_list.list_participants(c, participant_list.Filter(who="testers")).rows) == 1
        sums = c.execute(select(pair.c.done, pair.c.yes + pair.c.no + pair.c.unsure).where(pair.c.kind == "main")).all()
        assert all(done == votes == 9 for done, votes in sums)
    with own.write() as c:
        roles.set_role(c, key, "participant", "ada", NOW)
    with own.read() as c:
        assert overview.progress(c, NOW).answers == 9 * 12


def test_a_trap_that_passing_people_fail_is_marked(own: Database) -> None:
    with own.write() as c:
        wrong, right = c.execute(select(pair.c.id).where(pair.c.kind == "trap").order_by(pair.c.id).limit(2)).scalars()
        people = c.execute(select(participant.c.id).order_by(participant.c.id)).scalars().all()
        c.execute(update(response).where(response.c.kind == "trap").values(correct=1))
        fail = response.c.participant_id.in_(people[:3])
        c.execute(update(response).where(response.c.pair_id == wrong, fail).values(correct=0))
        c.execute(
            update(response)
            .where(response.c.pair_id == right, response.c.participant_id == people[0])
            .values(correct=0)
        )
        exclusion.exclude(c, people[9], "guesses", "ada", NOW)
    with own.read() as c:
        rows = {row.id: row for row in trap_list.list_traps(c)}
    assert (rows[wrong].seen, rows[wrong].right, rows[wrong].passing_seen, rows[wrong].passing_right) == (10, 7, 9, 6)
    assert rows[wrong].suspect and not rows[right].suspect
    assert next(iter(rows)) == wrong  # the worst first


def test_overview_reads_no_table_of_answers_whole(filled: Database) -> None:
    """With a million answers a scan of `response` is what would make it slow."""
    if filled.dialect != "sqlite":
        pytest.skip("the plan is read from SQLite")
    plans: list[str] = []
    with filled.read() as c:
        statements: list[str] = []
        connection = c.connection.driver_connection
        connection.set_trace_callback(statements.append)
        overview.progress(c, NOW)
        overview.reliability(c)
        overview.curve(c)
        connection.set_trace_callback(None)
        for statement in statements:
            plans += [row.detail for row in c.execute(text("EXPLAIN QUERY PLAN " + statement.replace(":", r"\:")))]
    scans = [plan for plan in plans if plan.startswith("SCAN response")]
    assert len(statements) >= 6 and len(scans) == 1, plans  # the newest 20,000, by key
