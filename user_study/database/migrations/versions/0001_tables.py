"""The tables of a study."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    tables = (
        _admin,
        _audit,
        _image,
        _invitation,
        _participant,
        _settings_and_study,
        _ledger,
        _pair,
        _session,
        _standing_event,
        _upload,
        _assignment,
        _response,
    )
    for make in tables:
        make()
    op.create_index("ix_pair_next", "pair", ["kind", "active", sa.text("(done + open)"), "shuffle"])
    op.create_index("ix_pair_stratum", "pair", ["kind", "active", sa.text("(done + open)"), "origin", "shuffle"])


def _admin() -> None:
    op.create_table(
        "admin",
        _id(),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin")),
        sa.UniqueConstraint("name", name=op.f("uq_admin_name")),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        _id(),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("target", sa.String(length=200), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )


def _image() -> None:
    op.create_table(
        "image",
        _id(),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("file", sa.String(length=100), nullable=False),
        sa.Column("media_type", sa.String(length=40), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("sha256", name=op.f("uq_image_sha256")),
        sa.UniqueConstraint("token", name=op.f("uq_image_token")),
    )


def _invitation() -> None:
    op.create_table(
        "invitation",
        _id(),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), server_default="", nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("uses_left >= 0", name=op.f("ck_invitation_uses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitation_token_hash")),
    )


def _participant() -> None:
    op.create_table(
        "participant",
        _id(),
        sa.Column("code", sa.String(length=12), nullable=False),
        sa.Column("nickname", sa.String(length=40), nullable=False),
        sa.Column("nickname_key", sa.String(length=80), nullable=False),
        sa.Column("resume_hash", sa.String(length=64), nullable=False),
        sa.Column("door", sa.String(length=12), nullable=False),
        sa.Column("role", sa.String(length=12), server_default="participant", nullable=False),
        sa.Column("external_id", sa.String(length=100), nullable=True),
        sa.Column("external_study", sa.String(length=100), nullable=True),
        sa.Column("external_session", sa.String(length=100), nullable=True),
        sa.Column("step", sa.String(length=12), server_default="consent", nullable=False),
        sa.Column("consent_hash", sa.String(length=16), nullable=True),
        sa.Column("consented_at", sa.BigInteger(), nullable=True),
        sa.Column("training_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("training_passed_at", sa.BigInteger(), nullable=True),
        sa.Column("on_leaderboard", sa.Integer(), server_default="1", nullable=False),
        sa.Column("standing", sa.String(length=10), server_default="included", nullable=False),
        sa.Column("standing_reason", sa.Text(), nullable=True),
        sa.Column("standing_by", sa.String(length=80), nullable=True),
        sa.Column("standing_at", sa.BigInteger(), nullable=True),
        sa.Column("flags", sa.Text(), server_default="[]", nullable=False),
        sa.Column("warned_at", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("valid", sa.Integer(), server_default="0", nullable=False),
        sa.Column("score", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scored_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spins", sa.Integer(), server_default="0", nullable=False),
        sa.Column("traps_seen", sa.Integer(), server_default="0", nullable=False),
        sa.Column("traps_right", sa.Integer(), server_default="0", nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("completion_code", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("standing IN ('included', 'excluded')", name=op.f("ck_participant_standing")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_participant")),
        sa.UniqueConstraint("code", name=op.f("uq_participant_code")),
        sa.UniqueConstraint("external_id", name=op.f("uq_participant_external_id")),
        sa.UniqueConstraint("nickname_key", name=op.f("uq_participant_nickname_key")),
        sa.UniqueConstraint("resume_hash", name=op.f("uq_participant_resume_hash")),
    )


def _settings_and_study() -> None:
    op.create_table(
        "settings_version",
        _id(),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("hash", sa.String(length=16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_version")),
    )
    op.create_table(
        "study",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_study")),
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        _id(),
        sa.Column("participant_id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("ref", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        _foreign("ledger", "participant_id", "participant", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        sa.UniqueConstraint("participant_id", "kind", "ref", name=op.f("uq_ledger_participant_id_kind_ref")),
    )


def _pair() -> None:
    op.create_table(
        "pair",
        _id(),
        sa.Column("pair_key", sa.String(length=200), nullable=False),
        sa.Column("source_key", sa.String(length=200), nullable=False),
        sa.Column("origin", sa.String(length=200), server_default="", nullable=False),
        sa.Column("kind", sa.String(length=10), server_default="main", nullable=False),
        sa.Column("truth", sa.String(length=10), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.Column("reference_image", KEY, nullable=False),
        sa.Column("candidate_image", KEY, nullable=False),
        sa.Column("reference_name", sa.String(length=300), nullable=False),
        sa.Column("candidate_name", sa.String(length=300), nullable=False),
        sa.Column("extra", sa.Text(), server_default="{}", nullable=False),
        sa.Column("quota", sa.Integer(), nullable=False),
        sa.Column("open", sa.Integer(), server_default="0", nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("yes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("no", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unsure", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reference_left", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reference_right", sa.Integer(), server_default="0", nullable=False),
        sa.Column("shuffle", sa.Float(), nullable=False),
        sa.Column("active", sa.Integer(), server_default="1", nullable=False),
        sa.Column("retired_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind <> 'main' OR done + open <= quota", name=op.f("ck_pair_quota")),
        sa.CheckConstraint("kind IN ('main', 'trap', 'training')", name=op.f("ck_pair_kind")),
        sa.CheckConstraint("done = yes + no + unsure", name=op.f("ck_pair_answers")),
        sa.CheckConstraint(
            "open >= 0 AND done >= 0 AND yes >= 0 AND no >= 0 AND unsure >= 0", op.f("ck_pair_counters")
        ),
        _foreign("pair", "candidate_image", "image"),
        _foreign("pair", "reference_image", "image"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair")),
        sa.UniqueConstraint("pair_key", name=op.f("uq_pair_pair_key")),
    )


def _session() -> None:
    op.create_table(
        "session",
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("participant_id", KEY, nullable=True),
        sa.Column("admin_id", KEY, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        _foreign("session", "admin_id", "admin", "CASCADE"),
        _foreign("session", "participant_id", "participant", "CASCADE"),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_session")),
    )


def _standing_event() -> None:
    op.create_table(
        "standing_event",
        _id(),
        sa.Column("participant_id", KEY, nullable=False),
        sa.Column("standing", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rules_hash", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        _foreign("standing_event", "participant_id", "participant", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing_event")),
    )
    op.create_index(op.f("ix_standing_event_participant_id"), "standing_event", ["participant_id"])


def _upload() -> None:
    op.create_table(
        "upload",
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("admin_id", KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        _foreign("upload", "admin_id", "admin", "CASCADE"),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_upload")),
    )


def _assignment() -> None:
    op.create_table(
        "assignment",
        _id(),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("participant_id", KEY, nullable=False),
        sa.Column("pair_id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("repeat_no", sa.Integer(), server_default="0", nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("reference_left", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("assigned_at", sa.BigInteger(), nullable=False),
        sa.Column("shown_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        _foreign("assignment", "pair_id", "pair"),
        _foreign("assignment", "participant_id", "participant", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
        sa.UniqueConstraint("token", name=op.f("uq_assignment_token")),
    )
    op.create_index("ix_assignment_expiry", "assignment", ["expires_at"], **_where("state = 'open'"))
    op.create_index(
        "uq_assignment_once",
        "assignment",
        ["participant_id", "pair_id", "repeat_no"],
        unique=True,
        **_where("state IN ('open', 'answered') AND kind <> 'training'"),
    )
    op.create_index("ix_assignment_person", "assignment", ["participant_id"])
    op.create_index(
        "uq_assignment_open", "assignment", ["participant_id", "slot"], unique=True, **_where("state = 'open'")
    )


def _response() -> None:
    op.create_table(
        "response",
        _id(),
        sa.Column("assignment_id", KEY, nullable=True),
        sa.Column("participant_id", KEY, nullable=True),
        sa.Column("pair_id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("answer", sa.String(length=10), nullable=False),
        sa.Column("correct", sa.Integer(), nullable=True),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("why_not", sa.String(length=20), nullable=True),
        sa.Column("reference_left", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("assigned_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=False),
        sa.Column("rt_ms", sa.Float(), nullable=True),
        sa.Column("load_ms", sa.Float(), nullable=True),
        sa.Column("server_ms", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.String(length=10), nullable=True),
        sa.Column("view", sa.String(length=10), nullable=True),
        sa.Column("toggles", sa.Integer(), nullable=True),
        sa.Column("zoom_max", sa.Float(), nullable=True),
        sa.Column("blurs", sa.Integer(), nullable=True),
        sa.Column("blur_ms", sa.Float(), nullable=True),
        sa.Column("viewport_width", sa.Integer(), nullable=True),
        sa.Column("viewport_height", sa.Integer(), nullable=True),
        sa.Column("pixel_ratio", sa.Float(), nullable=True),
        sa.Column("shown_width", sa.Float(), nullable=True),
        sa.Column("browser", sa.String(length=40), nullable=True),
        sa.Column("category", sa.String(length=12), nullable=True),
        sa.Column("where_x", sa.Float(), nullable=True),
        sa.Column("where_y", sa.Float(), nullable=True),
        sa.Column("late", sa.Integer(), server_default="0", nullable=False),
        sa.Column("settings_id", KEY, nullable=False),
        sa.Column("version", sa.String(length=20), nullable=False),
        _foreign("response", "assignment_id", "assignment", "SET NULL"),
        _foreign("response", "pair_id", "pair"),
        _foreign("response", "participant_id", "participant", "SET NULL"),
        _foreign("response", "settings_id", "settings_version"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_response")),
        sa.UniqueConstraint("assignment_id", name=op.f("uq_response_assignment_id")),
    )
    op.create_index(op.f("ix_response_pair_id"), "response", ["pair_id"])
    op.create_index("ix_response_person", "response", ["participant_id", "id"])


def _id() -> sa.Column[int]:
    return sa.Column("id", KEY, autoincrement=True, nullable=False)


def _foreign(table: str, column: str, target: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], op.f(f"fk_{table}_{column}"), ondelete=ondelete)


def _where(condition: str) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {f"{dialect}_where": sa.text(condition) for dialect in ("sqlite", "postgresql")}
