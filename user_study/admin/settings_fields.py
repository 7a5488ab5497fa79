"""Every setting of a study as its form shows it: what it is called, how it is written, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["line", "text", "whole", "number", "tick", "choice", "wholes", "lines"]


@dataclass(frozen=True)
class Field:
    """One setting; `key` is its place in a settings file, `kind` how it is written in the form."""

    key: str
    title: str
    kind: Kind
    help: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Settings that stand together."""

    name: str
    title: str
    fields: tuple[Field, ...]


GROUPS = (
    Group(
        "texts",
        "What people read",
        (
            Field("title", "Title", "line", "Stands at the top of every page."),
            Field("contact", "Contact", "line", "Who asks, and how to reach them: name, institution, e-mail address."),
            Field(
                "question",
                "Question",
                "line",
                "Stands above every pair. People answer with Yes when the meaning differs.",
            ),
            Field(
                "definition",
                "Definition",
                "text",
                "What counts as a difference and what does not; in the instructions and at hand later.",
            ),
            Field(
                "consent_text",
                "Consent",
                "text",
                "People agree to this text before they begin; its fingerprint is stored with their consent.",
            ),
            Field(
                "retention_text",
                "How long data are kept",
                "text",
                "Part of the consent page and of the privacy page.",
            ),
        ),
    ),
    Group(
        "answers_group",
        "Answers and pairs",
        (
            Field(
                "answers",
                "Answers",
                "choice",
                "“Not sure” counts as half a Yes in the scores; the reference study had Yes and No alone.",
                (("binary", "No, Yes"), ("unsure", "No, Yes, Not sure")),
            ),
            Field(
                "quota",
                "Answers per pair",
                "whole",
                "30 answers place a score within about 0.17; 15 within 0.23. It may grow later, not shrink.",
            ),
            Field(
                "per_person_cap",
                "Most pairs per person",
                "whole",
                "Beyond it a person has finished. 60 to 120 keep people awake and nobody dominant.",
            ),
            Field("break_every", "Break after every … trials", "whole", "A pause is offered; 0: never."),
            Field(
                "lease_s",
                "Seconds to answer",
                "whole",
                "So long a pair is kept for the person who sees it; then another gets it. Renewed while the page "
                "is visible.",
            ),
            Field(
                "follow_up_category",
                "Ask what changed after a Yes",
                "tick",
                "A detail, a local structure, or the meaning of the whole. Takes people longer.",
            ),
            Field(
                "follow_up_where",
                "Ask where after a Yes",
                "tick",
                "One click on the image; exported as a position. Takes people longer.",
            ),
            Field(
                "key_swap",
                "Exchange the keys for half of the people",
                "tick",
                "So that a favourite hand does not favour an answer.",
            ),
            Field(
                "phones",
                "Let phones take part",
                "tick",
                "Small screens hide small changes; answers say how large the images were shown.",
            ),
        ),
    ),
    Group(
        "checks",
        "Traps, repeats, practice",
        (
            Field("trap_rate", "Share of traps", "number", "0.1: about one trial in ten has a known answer."),
            Field(
                "repeat_rate",
                "Share of repeats",
                "number",
                "Pairs that the person has seen before, sides exchanged: does the answer stay?",
            ),
            Field("repeat_gap", "Trials before a repeat", "whole", "At least so many other trials stand between."),
            Field("training.items", "Practice pairs", "whole", "With feedback, before the main part; 0: none."),
            Field("training.pass", "Right ones to pass", "whole", "Not more than there are."),
            Field("training.attempts", "Tries", "whole", "After the last one the person cannot go on."),
        ),
    ),
    Group(
        "rules",
        "Rules of exclusion",
        (
            Field(
                "rules.min_traps",
                "Traps before judging",
                "whole",
                "Of 8 traps with 6 needed, a coin-flipper passes in 14 % of the cases, an attentive person fails "
                "in 1 %.",
            ),
            Field("rules.trap_pass", "Share of traps to get right", "number", "Below it a person is excluded."),
            Field("rules.warn_after_misses", "Warn after … missed traps", "whole", "Once, in friendly words."),
            Field(
                "rules.floor_ms",
                "Fastest answer that counts (ms)",
                "whole",
                "Answers faster than this are stored but do not count.",
            ),
            Field(
                "rules.fast_median_ms",
                "Flag: median time below (ms)",
                "whole",
                "One flag asks for your review; two exclude.",
            ),
            Field(
                "rules.fast_share",
                "Flag: share of answers below the floor",
                "number",
                "More than this share raises a flag.",
            ),
            Field("rules.timing_min", "Trials before times are judged", "whole", "Also for leaving the window."),
            Field("rules.same_share", "Flag: share of the same answer", "number", "Somebody who presses one key."),
            Field(
                "rules.same_min",
                "Trials before sameness is judged",
                "whole",
                "Traps are half Yes and half No, so honest people vary.",
            ),
            Field(
                "rules.repeat_agreement",
                "Flag: repeats answered the same, below",
                "number",
                "Share of repeats with the same answer as before.",
            ),
            Field("rules.repeat_min", "Repeats before they are judged", "whole", "Fewer say nothing."),
            Field(
                "rules.blur_share",
                "Flag: share of trials with the window left",
                "number",
                "The person was elsewhere in between.",
            ),
        ),
    ),
    Group(
        "game",
        "Points and prizes",
        (
            Field(
                "leaderboard",
                "Show a leaderboard",
                "tick",
                "People may leave it. Excluded people and testers are not on it.",
            ),
            Field("prizes", "Prizes", "lines", "One a line, from the first place on; shown beside the leaderboard."),
            Field("game.enabled", "Points and the roulette", "tick", "Off: only progress is shown."),
            Field(
                "game.points",
                "Points per valid answer",
                "whole",
                "Traps pay the same, so that points tell nothing.",
            ),
            Field(
                "game.streak",
                "Points for traps in a row",
                "whole",
                "Given with the next spin if no trap was missed since the last.",
            ),
            Field("game.spin_every", "A spin after every … valid answers", "whole", "Drawn on the server."),
            Field("game.wheel", "Wheel", "wholes", "Points of its segments, with commas. Their mean should be near 0."),
            Field("game.max_spins", "Most spins per person", "whole", "0: no roulette."),
            Field("game.floor", "Lowest score", "whole", "A spin never takes a score below this."),
        ),
    ),
    Group(
        "doors",
        "How people come and go",
        (
            Field(
                "open_registration",
                "Open door",
                "tick",
                "Everybody who knows the address may join with a nickname. Off: only by invitation or Prolific.",
            ),
            Field(
                "prolific.completion_code",
                "Prolific: completion code",
                "line",
                "People return to Prolific with it. Empty: everybody gets a code of their own.",
            ),
            Field(
                "prolific.screened_out_code",
                "Prolific: screened-out code",
                "line",
                "For people who do not pass the practice.",
            ),
            Field(
                "keep_answers_on_delete",
                "Keep answers of people who delete themselves",
                "tick",
                "Without any link to the person. Say so in the texts above. Off: their answers go, and the "
                "places open again.",
            ),
        ),
    ),
)
FIELDS = {field.key: field for group in GROUPS for field in group.fields}
