"""Joining, coming back, consent, data and deletion; on both databases where it matters."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select, text
from study_support import T0, Player, assert_consistent, honest, newcomer, save_settings

from user_study.core import codes, study_state
from user_study.core.folder import StudyFolder
from user_study.core.settings import from_dict
from user_study.database.schema import assignment, ledger, pair, participant, response
from user_study.participant import invitations, joining
from user_study.participant.joining import BadNickname, EntryClosed, External, InvitationUsed, NicknameTaken

on_both = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


def join(study: StudyFolder, nickname: str | None = "Ann", door: str = "nickname", **more):
    with study.database.write() as c:
        return joining.join(c, study_state.facts(c).settings, nickname, door, T0, **more)


@on_both
def test_join_and_come_back(study: StudyFolder) -> None:
    ann, bob = join(study, "  Ann   Lee "), join(study, "Bob")
    assert ann.nickname == "Ann Lee" and ann.code.startswith("P-") and len(ann.code) == 7 and ann.code != bob.code
    for name in ("ann lee", "ＡＮＮ LEE"):
        with pytest.raises(NicknameTaken):
            join(study, name)
    with study.database.read() as c:
        for typed in (ann.resume_code, ann.resume_code.lower().replace("-", " "), f"  {ann.resume_code} "):
            assert joining.resume(c, typed) == ann.id
        for typed in (
            "",
            "nonsense",
            ann.code,
            "x" * 100_000,
            "\x00",
            ann.resume_code[:-1],
            "'; DROP TABLE participant",
        ):
            assert joining.resume(c, typed) is None
        stored = c.execute(select(participant).where(participant.c.id == ann.id)).mappings().one()
    assert ann.resume_code not in json.dumps({key: str(value) for key, value in stored.items()})
    assert len(ann.resume_code.replace("-", "")) * 5 >= 80  # bits


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a", "x" * 25, "x" * 200_000, "<script>alert(1)</script>", "=1+1", "@SUM(A1)", "+x", "-x", "\tab", "a\x00b",
        "a\u202eb", "a\u200bb", "a&b", 'a"b', "a/b", "\ud800x",
    ],
)  # fmt: skip
def test_nicknames_that_cannot_be(name: str) -> None:
    if name == "\tab":  # white space around is taken off
        assert joining.clean_nickname(name) == "ab"
        return
    with pytest.raises(BadNickname):
        joining.clean_nickname(name)


@pytest.mark.parametrize("name", ["Ann", "Jürgen", "小林", "Δέλτα 3", "José-Luis", "x_1.y"])
def test_nicknames_of_the_world(name: str) -> None:
    assert joining.clean_nickname(name) == name


@on_both
def test_invitations_are_used_up(study: StudyFolder) -> None:
    with study.database.write() as c:
        token = invitations.create(c, "course", 2, "me", T0)
        assert invitations.is_good(c, token) and not invitations.is_good(c, token + "x")
    join(study, "Ann", "invitation", invitation=token)
    with pytest.raises(NicknameTaken):  # and the use is not lost
        join(study, "Ann", "invitation", invitation=token)
    join(study, "Bob", "invitation", invitation=token)
    for wrong in (token, "nonsense", None):
        with pytest.raises(InvitationUsed):
            join(study, "Cid", "invitation", invitation=wrong)
    with study.database.write() as c:
        other = invitations.create(c, "", 5, "me", T0)
        invitations.revoke(c, invitations.listed(c)[0].id, "me", T0)
        assert not invitations.is_good(c, other)
        assert token not in str(c.execute(text("SELECT * FROM audit")).all())


@on_both
def test_people_from_prolific_come_back_to_what_they_began(study: StudyFolder) -> None:
    who = External("5f3c2a1b9d", "study1", "session1")
    first, again = join(study, None, "prolific", external=who), join(study, None, "prolific", external=who)
    assert again.id == first.id and again.returned and not again.resume_code and len(first.nickname) <= 24
    for broken in (None, External(""), External("x y"), External("x" * 65), External("ok", "<b>")):
        with pytest.raises(EntryClosed):
            join(study, None, "prolific", external=broken)


def test_closed_doors(study: StudyFolder) -> None:
    save_settings(study, open_registration=False)
    with pytest.raises(EntryClosed, match="by invitation"):
        join(study)
    with study.database.write() as c:
        study_state.set_state(c, "paused", "me", T0)
    with pytest.raises(EntryClosed, match="paused"):
        join(study, None, "prolific", external=External("abc"))
    assert join(study, "Tess", role="tester").id


def test_consent_and_instructions(study: StudyFolder) -> None:
    number = newcomer(study, "Ann", ready=False)
    with study.database.write() as c:
        settings = study_state.facts(c).settings
        text_hash = joining.consent_hash(settings)
        assert text_hash != joining.consent_hash(from_dict({"consent_text": "Other."}))
        joining.acknowledge_instructions(c, number)  # too early: nothing happens
        joining.consent(c, number, text_hash, T0)
        row = c.execute(select(participant.c.step, participant.c.consent_hash)).one()
        assert tuple(row) == ("instructions", text_hash)
        joining.acknowledge_instructions(c, number)
        joining.consent(c, number, text_hash, T0)  # once more: the step stays
        assert c.execute(select(participant.c.step)).scalar_one() == "training"


@on_both
@pytest.mark.parametrize("keep", [False, True])
def test_erase(study: StudyFolder, keep: bool) -> None:
    save_settings(study, keep_answers_on_delete=keep, quota=3)
    ann, bob = Player(study, "Ann"), Player(study, "Bob")
    ann.play(8, choose=honest, browser="Firefox 140", viewport=(10, 10))
    bob.play(8, choose=honest)
    with study.database.read() as c:
        counted = c.execute(
            select(func.count()).where(response.c.participant_id == ann.id, response.c.counted == 1)
        ).scalar_one()
    with study.database.write() as c:
        joining.erase(c, ann.id, study_state.facts(c).settings, T0)
    with study.database.read() as c:
        assert c.execute(select(participant.c.id)).scalars().all() == [bob.id]
        for table in (assignment, ledger):
            assert not c.execute(select(table.c.id).where(table.c.participant_id == ann.id)).first()
        left = c.execute(select(response).where(response.c.participant_id.is_(None))).mappings().all()
        assert len(left) == (counted if keep else 0)
        for row in left:
            assert row["browser"] is None and row["viewport_width"] is None and row["answered_at"] % 86_400_000 == 0
        assert c.execute(select(func.sum(pair.c.open))).scalar_one() <= 2
    assert_consistent(study.database)


def test_my_data_says_everything_but_the_traps(study: StudyFolder) -> None:
    player = Player(study, "Ann")
    player.play(12, choose=honest)
    with study.database.read() as c:
        found = joining.my_data(c, player.id)
    text_ = json.dumps(found)
    assert len(found["answers"]) == 12 and found["participant"]["nickname"] == "Ann" and found["points"]
    assert (
        '"correct"' not in text_
        and '"kind": "trap"' not in text_
        and "resume_hash" not in text_
        and "traps" not in text_
    )


def test_completion(study: StudyFolder) -> None:
    """Prolific's code where the study has one; else a code of the person's own."""
    save_settings(study, prolific={"completion_code": "DONE1", "screened_out_code": "OUT1"}, per_person_cap=2)
    ann = Player(study, "Ann")
    with study.database.read() as c:
        assert joining.completion(c, study_state.facts(c).settings, ann.id) is None
    ann.play()
    someone = join(study, None, "prolific", external=External("abc"))
    with study.database.write() as c:
        from study_support import settle

        settle(c, someone.id)
    other = Player.__new__(Player)
    other.__dict__.update({**ann.__dict__, "id": someone.id})
    other.play()
    with study.database.read() as c:
        settings = study_state.facts(c).settings
        code, link = joining.completion(c, settings, ann.id)
        assert len(code) == 12 and link is None
        assert joining.completion(c, settings, other.id) == (
            "DONE1",
            "https://app.prolific.com/submissions/complete?cc=DONE1",
        )


def test_codes_are_typed_as_people_type() -> None:
    assert codes.tidy("o1il0-abcde") == "01110-ABCDE"
    assert len({codes.resume_code() for _ in range(200)}) == 200
