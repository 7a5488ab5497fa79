"""The tables of a study. Times are UTC in epoch milliseconds; yes/no columns are 0 or 1 on both databases.

Counters on `pair` (`open`, `done`, `yes`, `no`, `unsure`) change in the same transaction as the rows that they count; CHECK
constraints make a quota that is exceeded an error of the database, not a matter of discipline.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the key is INTEGER
Key = BigInteger().with_variant(Integer, "sqlite")

study = Table(  # one row per fact: state (draft, live, paused, closed), live_since, secret, strata, settings in force
    "study", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False)
)

settings_version = Table(  # the newest row is in force; `body` is the JSON of user_study.core.settings.StudySettings
    "settings_version",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("created_at", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("hash", String(16), nullable=False),
    Column("body", Text, nullable=False),
)

image = Table(  # one row per distinct picture; `token` is all that a URL says, the file is in images/<sha256>.<ending>
    "image",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("token", String(32), nullable=False, unique=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("file", String(100), nullable=False),
    Column("media_type", String(40), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
)

pair = Table(
    "pair",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("pair_key", String(200), nullable=False, unique=True),  # pair_id of the pair table
    Column("source_key", String(200), nullable=False),  # source_id: the photo
    Column("origin", String(200), nullable=False, server_default=""),  # SR model; strata of the assignment
    Column("kind", String(10), nullable=False, server_default="main"),  # main, trap, training
    Column("truth", String(10)),  # of traps and training: yes (the meaning changed) or no
    Column("explanation", Text),  # of training and examples: what to see
    Column("reference_image", Key, ForeignKey("image.id"), nullable=False),
    Column("candidate_image", Key, ForeignKey("image.id"), nullable=False),
    Column("reference_name", String(300), nullable=False),  # file names of the import, for the exports
    Column("candidate_name", String(300), nullable=False),
    Column("extra", Text, nullable=False, server_default="{}"),  # JSON: the table's further columns
    Column("quota", Integer, nullable=False),  # answers wanted (of main pairs)
    Column("open", Integer, nullable=False, server_default="0"),  # assignments out now
    Column("done", Integer, nullable=False, server_default="0"),  # answers that count
    Column("yes", Integer, nullable=False, server_default="0"),
    Column("no", Integer, nullable=False, server_default="0"),
    Column("unsure", Integer, nullable=False, server_default="0"),
    Column("reference_left", Integer, nullable=False, server_default="0"),  # times shown with the reference left
    Column("reference_right", Integer, nullable=False, server_default="0"),
    Column("shuffle", Float, nullable=False),  # in [0, 1), drawn at import: breaks ties
    Column("active", Integer, nullable=False, server_default="1"),  # 0: retired
    Column("retired_reason", Text),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("open >= 0 AND done >= 0 AND yes >= 0 AND no >= 0 AND unsure >= 0", name="counters"),
    CheckConstraint("kind <> 'main' OR done + open <= quota", name="quota"),
    CheckConstraint("done = yes + no + unsure", name="answers"),
    CheckConstraint("kind IN ('main', 'trap', 'training')", name="kind"),
)
Index("ix_pair_next", pair.c.kind, pair.c.active, (pair.c.done + pair.c.open), pair.c.shuffle)
Index("ix_pair_stratum", pair.c.kind, pair.c.active, (pair.c.done + pair.c.open), pair.c.origin, pair.c.shuffle)

admin = Table(
    "admin",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("password_hash", String(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

invitation = Table(
    "invitation",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("label", String(200), nullable=False, server_default=""),
    Column("uses_left", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("uses_left >= 0", name="uses"),
)

participant = Table(
    "participant",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("code", String(12), nullable=False, unique=True),  # pseudonym P-XXXXX of every export
    Column("nickname", String(40), nullable=False),
    Column("nickname_key", String(80), nullable=False, unique=True),  # casefolded, NFKC
    Column("resume_hash", String(64), nullable=False, unique=True),
    Column("door", String(12), nullable=False),  # nickname, invitation, prolific
    # participant, tester (hidden, not counted)
    Column("role", String(12), nullable=False, server_default="participant"),
    Column("external_id", String(100), unique=True),  # PROLIFIC_PID
    Column("external_study", String(100)),
    Column("external_session", String(100)),
    # consent, instructions, training, main, finished
    Column("step", String(12), nullable=False, server_default="consent"),
    Column("consent_hash", String(16)),
    Column("consented_at", BigInteger),
    Column("training_attempts", Integer, nullable=False, server_default="0"),
    Column("training_passed_at", BigInteger),
    Column("on_leaderboard", Integer, nullable=False, server_default="1"),
    Column("standing", String(10), nullable=False, server_default="included"),  # included, excluded
    Column("standing_reason", Text),
    Column("standing_by", String(80)),  # "rules" or the admin's name; the rules never undo an admin's word
    Column("standing_at", BigInteger),
    Column("flags", Text, nullable=False, server_default="[]"),  # JSON: names of rules that ask for a review
    Column("warned_at", BigInteger),
    Column("position", Integer, nullable=False, server_default="0"),  # trials assigned in the main part
    Column("valid", Integer, nullable=False, server_default="0"),  # answers for which points were given
    # sum of the ledger, changed with it in one transaction
    Column("score", Integer, nullable=False, server_default="0"),
    Column("scored_at", BigInteger, nullable=False, server_default="0"),  # of the last points: ties go to the earlier
    Column("spins", Integer, nullable=False, server_default="0"),  # drawn so far
    Column("traps_seen", Integer, nullable=False, server_default="0"),
    Column("traps_right", Integer, nullable=False, server_default="0"),
    Column("finished_at", BigInteger),
    Column("completion_code", String(40)),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    CheckConstraint("standing IN ('included', 'excluded')", name="standing"),
)

session = Table(
    "session",
    metadata,
    Column("id_hash", String(64), primary_key=True),  # sha256 of the cookie's value
    Column("participant_id", Key, ForeignKey("participant.id", ondelete="CASCADE")),
    Column("admin_id", Key, ForeignKey("admin.id", ondelete="CASCADE")),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)


def _where(condition: str) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}


assignment = Table(
    "assignment",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("token", String(32), nullable=False, unique=True),
    Column("participant_id", Key, ForeignKey("participant.id", ondelete="CASCADE"), nullable=False),
    Column("pair_id", Key, ForeignKey("pair.id"), nullable=False),
    Column("kind", String(10), nullable=False),  # main, trap, repeat, training
    # 1: the pair for the second time, sides exchanged
    Column("repeat_no", Integer, nullable=False, server_default="0"),
    Column("position", Integer, nullable=False),  # of the participant's trials, from 1
    Column("slot", Integer, nullable=False),  # 0: on the screen, 1: the one that is loaded ahead
    Column("reference_left", Integer, nullable=False),
    Column("state", String(10), nullable=False),  # open, answered, expired, released, undone
    Column("assigned_at", BigInteger, nullable=False),
    Column("shown_at", BigInteger),  # when it came into slot 0; null while it is only loaded ahead
    Column("expires_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
)
Index("uq_assignment_open", assignment.c.participant_id, assignment.c.slot, unique=True, **_where("state = 'open'"))
Index(
    "uq_assignment_once",
    assignment.c.participant_id,
    assignment.c.pair_id,
    assignment.c.repeat_no,
    unique=True,
    **_where("state IN ('open', 'answered') AND kind <> 'training'"),
)
Index("ix_assignment_person", assignment.c.participant_id)
Index("ix_assignment_expiry", assignment.c.expires_at, **_where("state = 'open'"))

response = Table(
    "response",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    # both null once a person has been erased and the study keeps unlinkable answers
    Column("assignment_id", Key, ForeignKey("assignment.id", ondelete="SET NULL"), unique=True),
    Column("participant_id", Key, ForeignKey("participant.id", ondelete="SET NULL")),
    Column("pair_id", Key, ForeignKey("pair.id"), nullable=False, index=True),
    Column("kind", String(10), nullable=False),  # main, trap, repeat, training
    Column("answer", String(10), nullable=False),  # yes, no, unsure
    Column("correct", Integer),  # of traps, training and repeats (the same answer as before)
    Column("counted", Integer, nullable=False),  # 1: in the pair's counters and the clean exports
    # fast, held, unseen, late, surplus, excluded, tester, undone, kind (trap, training, repeat)
    Column("why_not", String(20)),
    Column("reference_left", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("assigned_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger, nullable=False),
    Column("rt_ms", Float),  # of the client, from both images decoded to the answer
    Column("load_ms", Float),  # of the client, from the trial's start to both images decoded
    Column("server_ms", BigInteger, nullable=False),  # from the trial on screen to the answer, by the server's clock
    Column("input", String(10)),  # key, mouse, touch, pen
    Column("view", String(10)),  # side, toggle
    Column("toggles", Integer),
    Column("zoom_max", Float),
    Column("blurs", Integer),
    Column("blur_ms", Float),
    Column("viewport_width", Integer),
    Column("viewport_height", Integer),
    Column("pixel_ratio", Float),
    Column("shown_width", Float),  # CSS pixels of the left image at the answer
    Column("browser", String(40)),  # family and major version
    Column("category", String(12)),  # detail, structure, meaning
    Column("where_x", Float),  # click on the candidate, share of its width and height in [0, 1]
    Column("where_y", Float),
    Column("late", Integer, nullable=False, server_default="0"),
    Column("settings_id", Key, ForeignKey("settings_version.id"), nullable=False),
    Column("version", String(20), nullable=False),  # of the program
)
Index("ix_response_person", response.c.participant_id, response.c.id)

ledger = Table(  # points; a person's score is their sum
    "ledger",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("participant_id", Key, ForeignKey("participant.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(10), nullable=False),  # answer, undo, streak, spin
    Column("ref", BigInteger, nullable=False),  # assignment id of an answer or undo, milestone of a streak or spin
    Column("points", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("participant_id", "kind", "ref"),
)

standing_event = Table(
    "standing_event",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("participant_id", Key, ForeignKey("participant.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("standing", String(10), nullable=False),
    Column("reason", Text, nullable=False),
    Column("rules_hash", String(16), nullable=False),
    Column("actor", String(80), nullable=False),
    Column("at", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(40), nullable=False),
    Column("target", String(200), nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default="{}"),  # JSON; never a password, code or form value
)

upload = Table(  # an import that waits for its confirmation
    "upload",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("admin_id", Key, ForeignKey("admin.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("name", String(200), nullable=False),
    Column("report", Text, nullable=False),  # JSON of the dry run
)
