"""Alembic's entry: runs inside the transaction that `user_study.database.migrate` holds."""

from __future__ import annotations

from alembic import context

from user_study.database.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
    transactional_ddl=False,  # the transaction is the caller's
)
context.run_migrations()
