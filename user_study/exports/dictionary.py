"""README.md of an export: what each file and column means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS: dict[str, dict[str, str]] = {
    "pairs.csv": {
        "img_names, userStudyScores": "file name of the output and its score: what the source project's loader reads",
        "pair_id, source_id, origin": "name of the pair, of its photo, and of the model (or other origin) of the output",
        "reference, candidate": "the photo and the output: paths relative to this folder, lossless WebP",
        "yes_votes, votes": "answers that say the meaning changed, and all answers; a 'not sure' is half a yes",
        "difference": "yes_votes / votes, in [0, 1]: 0 = same meaning, 1 = everybody saw a change",
        "wilson_low, wilson_high": "95 % score interval of the rate (Wilson 1927)",
        "beta_mean": "(yes_votes + 0.5) / (votes + 1): mean under Jeffreys' prior, never 0 or 1",
        "entropy": "Shannon entropy of the rate in bits: 0 = all agree, 1 = half say yes",
        "yes, no, unsure": "answers of each kind",
        "quota": "answers wanted",
        "split": "train, val or test: the imported table's, or drawn by photo with the seed in study.json; not with few photos",
        "(further columns)": "of the imported pair table; `imported_` in front where the name is one of the above",
    },
    "responses.csv": {
        "response_id": "number of the answer, in the order of storing",
        "pair_id, source_id, origin": "as in pairs.csv",
        "participant": "pseudonym; empty for somebody who was erased and whose answers the study keeps",
        "kind": "main, trap (known truth), repeat (own earlier pair, sides exchanged), training",
        "truth": "of traps and training: yes = the meaning changed",
        "answer": "yes, no or unsure, to the question in study.json",
        "correct": "1 / 0 for traps, training, and repeats (1: answered as before)",
        "counted": "1: the answer is in the votes of pairs.csv",
        "why_not": "why it is not: kind (trap, repeat, training), fast, held (key), unseen, surplus (pair was full), excluded, "
        "tester, undone",
        "position": "of the person's trials, from 1",
        "reference_left": "1: the photo was on the left",
        "assigned_at, answered_at": "UTC by the server's clock",
        "rt_ms": "by the browser, from both images decoded to the answer",
        "load_ms": "by the browser, from the trial's start to both images decoded",
        "server_ms": "by the server, from the trial on the screen to the answer",
        "input, view": "key, mouse, touch or pen; side by side or toggled in place at the answer",
        "toggles, zoom_max": "times toggled; largest zoom",
        "blurs, blur_ms": "times the page lost the focus, and for how long",
        "viewport_width, viewport_height, shown_width, pixel_ratio": "in CSS pixels; shown_width is the left image's",
        "browser": "family and major version",
        "category, where_x, where_y": "after a Yes, where the study asks: what changed, and where on the output (as shares)",
        "late": "1: the answer came after its lease had ended",
        "settings_id, settings_hash, version": "settings in force (study.json) and program",
    },
    "participants.csv": {
        "participant": "pseudonym",
        "door": "nickname, invitation or prolific",
        "role": "participant or tester (never counted)",
        "standing, standing_reason, standing_by, standing_at": "included or excluded, why, by the rules or whom, when",
        "flags": "rules that ask for a review",
        "step": "how far the person is: consent, instructions, training, main, finished",
        "answers, counted": "to main pairs (not taken back), and those that count",
        "yes_share": "of the answers to main pairs",
        "traps_seen, traps_right, trap_low, trap_high": "traps answered, right ones, 95 % Wilson interval of the rate",
        "repeats_seen, repeats_same": "repeated pairs, those answered as before",
        "median_rt_ms": "over main pairs, traps and repeats",
        "training_attempts, training_passed_at": "tries at the training; when it was passed",
        "consented_at, created_at, last_seen_at, finished_at": "UTC",
        "nickname, external_id, external_study, external_session": "only on request; a ' in front keeps spreadsheets from "
        "running formulae",
    },
    "traps.csv": {
        "pair_id, kind, truth": "a trap or a training pair, and its right answer",
        "active, retired_reason": "0: retired, and why",
        "seen, right": "answers of all but testers",
        "passing_seen, passing_right, low, high": "of people who are not excluded, with Wilson's interval",
        "suspect": "1: more than 20 % of passing people fail it; look at it",
    },
    "legacy.csv": {
        "User Code": "pseudonym",
        "Ground Truth Image, Super Resolution Image": "file names of the import",
        "Answer": "Yes or No (a 'not sure' is left out)",
        "Timestamp": "UTC, newest first; the format of the reference study, CRLF line ends",
    },
    "crowdkit.csv": {"task, worker, label": "pair_id, pseudonym, answer: what crowd-kit's aggregations take"},
}
ABOUT = {
    "pairs.csv": "One row per pair with at least one answer: a pair table, which `data.name: user_study` reads as it is.",
    "responses.csv": "One row per answer.",
    "participants.csv": "One row per person.",
    "traps.csv": "One row per trap and training pair.",
    "legacy.csv": "One row per answer that counts, in the reference study's format.",
    "crowdkit.csv": "One row per answer that counts.",
}


def readme(facts: Mapping[str, Any], with_images: bool) -> str:
    """Text of the file."""
    counts = facts["counts"]
    raw = facts["kind"] == "raw"
    lines = [
        f"# Answers of the study “{facts['settings']['title'].strip()}”",
        "",
        f"Exported {facts['exported_at']} by semfid {facts['program']['version']}. Question: {facts['settings']['question']}",
        "",
        f"{counts['main_pairs']} pairs, {counts['answers_counted']} answers that count of {counts['answers_wanted']} wanted; "
        f"{counts['main_pairs_without_answer']} pairs have none yet and are not in pairs.csv.",
        "",
        "This is a **raw** export: with excluded people, testers, and answers that do not count (not those that were taken back, "
        "except in responses.csv)."
        if raw
        else "This is a **clean** export: without excluded people, testers, and answers that do not count. People appear under "
        "pseudonyms.",
        "",
        "`study.json` holds the settings and their versions, the exclusion rules, counts, reliability, and each file's sha256.",
    ]
    if with_images:
        lines += [
            "",
            "Pictures are in `HQ/` and `SR/` under their imported names. Train on them with",
            "",
            "    semfid ablate experiments/regressor_user_study.yaml data.answers=pairs.csv",
        ]
    for name in facts["files"]:
        lines += ["", f"## {name}", "", ABOUT[name], "", "| column | meaning |", "|---|---|"]
        lines += [f"| {column} | {meaning} |" for column, meaning in COLUMNS[name].items()]
    return "\n".join(lines) + "\n"
