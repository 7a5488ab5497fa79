"""From the consent to the end: consent, instructions, the trial page, the last page."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from user_study.core.settings import StudySettings
from user_study.participant import joining, queries
from user_study.participant.data_pages import gone
from user_study.participant.deps import ParticipantRequest, change, goto, see
from user_study.participant.entry_pages import board
from user_study.trial.assignment import READY, spins_left
from user_study.trial.person import Person

ALL_DONE = "You have answered every pair that was meant for you. That is a real help."
SO_FAR = "Everything you answered is stored. You may go on at any time."
END_OF_PRACTICE = (
    "The practice is over, and the study ends here for you. "
    "Not every eye reads these pictures alike; thank you for trying."
)
ANSWERS = {"no": ("No", "N"), "unsure": ("Not sure", "U"), "yes": ("Yes", "Y")}


def consent(request: ParticipantRequest) -> Response:
    """The text and its two ticks."""
    return _consent(request) if request.signed_in.step == "consent" else request.go_on()


def _consent(request: ParticipantRequest, fault: str | None = None) -> Response:
    heading = "Before you begin"
    version = joining.consent_hash(request.settings)
    return request.show("consent.html", heading, 400 if fault else 200, consent_hash=version, fault=fault)


def agree(request: ParticipantRequest) -> Response:
    """Consent given, or declined; who declines is erased at once."""
    person = request.signed_in
    if person.step != "consent":
        return request.go_on()
    if request.text("decline"):
        with request.database.write() as c:
            joining.erase(c, person.id, request.settings, request.now)
        return gone(request, "You do not take part")
    version = joining.consent_hash(request.settings)
    if request.text("version") != version:
        return _consent(request, "The text has changed since you opened it. Please read it again.")
    if not (request.text("adult") and request.text("agree")):
        return _consent(request, "Tick both boxes to take part, or choose “I do not agree”.")
    request.database.transact(lambda c: joining.consent(c, person.id, version, request.now))
    return goto("/instructions")


def instructions(request: ParticipantRequest) -> Response:
    """What is asked, with examples; may be read again at any time."""
    if request.signed_in.step == "consent":
        return request.go_on()
    with request.read() as c:
        changed, same = (queries.examples(c, truth) for truth in ("yes", "no"))
    training = request.settings.training.items > 0 and request.signed_in.step in ("instructions", "training")
    swap = swapped(request.settings, request.signed_in)
    return request.show(
        "instructions.html", "What to look for", changed=changed, same=same, training=training, swap=swap
    )


def understood(request: ParticipantRequest) -> Response:
    """On to the practice."""
    person = request.signed_in
    if person.step == "instructions":
        request.database.transact(lambda c: joining.acknowledge_instructions(c, person.id))
        return goto("/study")
    return request.go_on()


def study(request: ParticipantRequest) -> Response:
    """The trial page; its script asks the JSON interface for pairs."""
    person, settings = request.signed_in, request.settings
    if person.step not in READY:
        return request.go_on()
    swap = swapped(settings, person)
    shown = [answer for answer in ("yes", "unsure", "no") if answer in settings.choices]
    if not swap:
        shown.reverse()
    return request.show(
        "study.html",
        answers=[(answer, *ANSWERS[answer]) for answer in shown],
        left_answer=shown[0],
        right_answer=shown[-1],
        facts=json.dumps(page_facts(settings, person)),
    )


def swapped(settings: StudySettings, person: Person) -> bool:
    """Whether Yes is on the left for this person, where the study wants sides of answers balanced over people."""
    return settings.key_swap and person.id % 2 == 1


def page_facts(settings: StudySettings, person: Person) -> dict[str, Any]:
    """What the script must know before the first reply."""
    game = settings.game
    return {
        "person": person.code,
        "breakEvery": settings.break_every,
        "spinEvery": game.spin_every if game.enabled and game.max_spins else 0,
        "wheel": list(game.wheel) if game.enabled else None,
        "board": game.enabled and settings.leaderboard,
        "swap": swapped(settings, person),
        "unsure": "unsure" in settings.choices,
        "desktop": not settings.phones,
    }


def finish(request: ParticipantRequest) -> Response:
    """Thanks, code, own figures, and what the traps were. Who was excluded reads the same as everybody."""
    person, settings = request.signed_in, request.settings
    if person.step in ("consent", "instructions"):
        return request.go_on()
    with request.read() as c:
        code, link = joining.completion(c, settings, person.id) or ("", None)
        rows = board(c, request)
    figures = [(f"{person.valid:,}", "pairs answered")]
    if settings.game.enabled:
        figures.append((f"{person.score:,}", "points"))
    failed = person.step == "finished" and person.training_passed_at is None
    return request.show(
        "finish.html",
        "Thank you",
        lead=END_OF_PRACTICE if failed else ALL_DONE if person.step == "finished" else SO_FAR,
        code=code,
        prolific_link=link,
        figures=figures,
        spins=spins_left(settings, person),
        wheel=json.dumps(list(settings.game.wheel)),
        traps_seen=person.traps_seen,
        traps_right=person.traps_right,
        rows=rows,
        may_go_on=request.state == "live" and not failed and person.valid < settings.per_person_cap,
    )


ROUTES: list[Route] = [
    see("/consent", consent, needs_person=True),
    change("/consent", agree, needs_person=True),
    see("/instructions", instructions, needs_person=True),
    change("/instructions", understood, needs_person=True),
    see("/study", study, needs_person=True),
    see("/finish", finish, needs_person=True),
]
