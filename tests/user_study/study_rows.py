"""A study with answers, written straight into the tables: what the admin pages and the statistics are tested on."""

from __future__ import annotations

from collections import Counter

import numpy as np
from sqlalchemy import insert, select, update

from user_study.core.settings import StudySettings
from user_study.database.engine import Database
from user_study.database.schema import assignment, image, pair, participant, response

HOUR = 3_600_000
ORIGINS = ("blocky", "smooth", "crisp")


def fill_pairs(
    database: Database, main: int = 12, traps: int = 4, training: int = 2, quota: int = 30, now: int = 0
) -> None:
    """Pairs of all kinds with two pictures that lie nowhere."""
    rows = [
        *(("main", f"photo_{k:03d}.png | {ORIGINS[k % 3]}", ORIGINS[k % 3], None) for k in range(main)),
        *(("trap", f"trap_{k}", "", "yes" if k % 2 else "no") for k in range(traps)),
        *(("training", f"practice_{k}", "", "yes" if k % 2 else "no") for k in range(training)),
    ]
    with database.write() as c:
        for k in range(2):
            c.execute(
                insert(image).values(
                    token=f"token-{k}", sha256=f"{k:064d}", file=f"{k:064d}.png", media_type="image/png",
                    width=64, height=48, bytes=100,
                )
            )  # fmt: skip
        pictures = [row.id for row in c.execute(select(image.c.id).where(image.c.token.like("token-%")))]
        c.execute(
            insert(pair),
            [
                {
                    "pair_key": key, "source_key": key.split(" ")[0], "origin": origin, "kind": kind, "truth": truth,
                    "reference_image": pictures[0], "candidate_image": pictures[1],
                    "reference_name": f"{key}.png", "candidate_name": f"{key}_sr.png",
                    "quota": quota, "shuffle": (k * 0.37) % 1, "created_at": now,
                }
                for k, (kind, key, origin, truth) in enumerate(rows)
            ],
        )  # fmt: skip


def fill_answers(
    database: Database,
    people: int = 10,
    now: int = 100 * HOUR,
    span_ms: int = 10 * HOUR,
    seed: int = 0,
    careless: int = 1,
    settings: StudySettings | None = None,
) -> None:
    """Everybody answers every main pair and every trap once, over the `span_ms` before `now`; counters fit.

    The last `careless` people toss coins and take half a second.
    """
    generator = np.random.default_rng(seed)
    unsure = (settings or StudySettings()).answers == "unsure"
    with database.write() as c:
        pairs = c.execute(select(pair).where(pair.c.kind != "training").order_by(pair.c.id)).all()
        truth = {row.id: {"yes": 0.97, "no": 0.03}.get(row.truth or "", generator.beta(0.8, 0.8)) for row in pairs}
        c.execute(
            insert(participant),
            [
                {
                    "code": f"P-{k:05d}", "nickname": f"person {k}", "nickname_key": f"person {k}", "resume_hash": f"{k:064d}",
                    "door": "nickname", "step": "main", "created_at": now - span_ms, "last_seen_at": now - k * HOUR,
                    "valid": len(pairs),
                }
                for k in range(people)
            ],
        )  # fmt: skip
        keys = list(c.execute(select(participant.c.id).order_by(participant.c.code)).scalars())
        moments = np.sort(generator.integers(now - span_ms, now + 1, people * len(pairs)))
        steps = [(person, row) for row in pairs for person in range(people)]
        generator.shuffle(steps)
        given, answers = [], []
        votes: dict[int, Counter[str]] = {row.id: Counter() for row in pairs}
        traps: dict[int, list[int]] = {key: [] for key in keys}
        for number, (person, row) in enumerate(steps):
            coin = person >= people - careless
            yes = generator.random() < (0.5 if coin else truth[row.id])
            answer = "unsure" if unsure and generator.random() < 0.1 else "yes" if yes else "no"
            at, main = int(moments[number]), row.kind == "main"
            common = {
                "participant_id": keys[person], "pair_id": row.id, "kind": row.kind, "position": number,
                "reference_left": number % 2, "assigned_at": at - 3000,
            }  # fmt: skip
            given.append(
                common | {"token": f"a{number}", "slot": 0, "state": "answered", "expires_at": at, "closed_at": at}
            )
            answers.append(
                common | {
                    "answer": answer, "correct": None if main else int(answer == row.truth), "counted": int(main),
                    "why_not": None if main else "kind", "answered_at": at, "server_ms": 3000, "input": "key",
                    "rt_ms": float(generator.gamma(4, 120 if coin else 700)), "settings_id": 1, "version": "test",
                }
            )  # fmt: skip
            if main:
                votes[row.id][answer] += 1
            else:
                traps[keys[person]].append(int(answer == row.truth))
        c.execute(insert(assignment), given)
        ids = dict(c.execute(select(assignment.c.token, assignment.c.id)).tuples().all())
        c.execute(insert(response), [row | {"assignment_id": ids[f"a{k}"]} for k, row in enumerate(answers)])
        for key, vote in votes.items():
            c.execute(update(pair).where(pair.c.id == key).values(done=vote.total(), **vote))
        for key, right in traps.items():
            c.execute(
                update(participant).where(participant.c.id == key).values(traps_seen=len(right), traps_right=sum(right))
            )
