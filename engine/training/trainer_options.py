"""Options of `lightning.Trainer` under which metrics would not be what they are taken for: refused before anything starts."""

from __future__ import annotations

from typing import Any

from engine.config.trainer_section import TrainerSection
from semfid.errors import UserError

LAST_EPOCH = "set selection.monitor=last"
DEFAULT_EPOCHS = 1000  # Lightning's, where neither epochs nor steps are limited


def check_options(trainer: TrainerSection) -> None:
    """Check what needs neither data nor module.

    Raises:
        UserError: options that leave out a part of the test, train nothing, or go by the clock.
    """
    for key in ("limit_test_batches", "limit_predict_batches"):
        if not _whole(getattr(trainer, key)):
            raise UserError(
                f"trainer.{key} leaves out a part of what is evaluated, and the metrics would not say so; remove it (data.split "
                "makes the test smaller)"
            )
    if trainer.overfit_batches:
        raise UserError(
            "trainer.overfit_batches trains and selects on the same few batches; remove it (trainer.limit_train_batches trains "
            "on few)"
        )
    for key in ("limit_train_batches", "max_steps"):
        if getattr(trainer, key) == 0:
            raise UserError(f"trainer.{key} is 0, which trains nothing; remove it")
    for key in ("check_val_every_n_epoch", "accumulate_grad_batches", "log_every_n_steps"):
        if getattr(trainer, key) is not None and getattr(trainer, key) < 1:
            raise UserError(f"trainer.{key} is {getattr(trainer, key)}; it must be at least 1")
    if trainer.max_time is not None:
        raise UserError(
            "trainer.max_time ends a training by the clock, so that its metrics would depend on the machine's speed; remove it "
            "(a run that is cut off goes on at the next call)"
        )
    if (trainer.gradient_clip_val or 0) < 0:
        raise UserError(
            f"trainer.gradient_clip_val is {trainer.gradient_clip_val:g}, which turns gradients round; give 0 or more"
        )
    interval = trainer.val_check_interval
    if isinstance(interval, (int, float)) and interval <= 0:
        raise UserError(f"trainer.val_check_interval is {interval:g}; it must be above 0")
    if interval is not None and not isinstance(interval, (int, float)):
        raise UserError(
            f"trainer.val_check_interval is {interval!r}: which epoch is selected would depend on the machine's speed; give a "
            "number of batches, or a share of an epoch"
        )


def check_selection(trainer: TrainerSection, monitor: str) -> None:
    """Check that validation can run where its metrics select an epoch.

    Args:
        monitor: the metric.

    Raises:
        UserError: names the option and what it can be.
    """
    if trainer.limit_val_batches == 0:
        raise UserError(
            f"trainer.limit_val_batches is 0, but selection.monitor is {monitor}, a metric of validation; remove it, or "
            f"{LAST_EPOCH}"
        )
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every is not None and epochs is not None and 0 < epochs < every:
        raise UserError(
            f"trainer.check_val_every_n_epoch is {every} and trainer.max_epochs {epochs}, so that no epoch is validated; lower "
            f"the first to {epochs} or less, or {LAST_EPOCH}"
        )


def check_steps(trainer: TrainerSection, train_batches: int, val_batches: int, monitor: str | None) -> None:
    """Check options against the number of batches that there are.

    Args:
        train_batches: of an epoch.
        val_batches: of one validation.
        monitor: the metric of validation that selects an epoch; None: the last epoch counts.

    Raises:
        UserError: names the option and what it can be.
    """
    batches = limited(train_batches, trainer.limit_train_batches)
    if batches == 0:
        raise UserError(
            f"trainer.limit_train_batches is {trainer.limit_train_batches:g} of {train_batches} batches, which is none; "
            "raise it"
        )
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_interval
    if isinstance(interval, int) and every is not None and interval > batches:
        raise UserError(
            f"trainer.val_check_interval is {interval}, but an epoch has {batches} batches; lower it, or set "
            "trainer.check_val_every_n_epoch=null to count over epochs"
        )
    if monitor is None:
        return
    if limited(val_batches, trainer.limit_val_batches) == 0:
        raise UserError(
            f"trainer.limit_val_batches is {trainer.limit_val_batches:g} of {val_batches} batches, which is none; raise it, "
            f"or {LAST_EPOCH}"
        )
    first, total = _first_validation(trainer, batches), total_batches(trainer, batches)
    if total is not None and first > total:
        raise UserError(
            f"the training ends after {total} batches, before its first validation (after {first}); raise trainer.max_steps or "
            f"trainer.max_epochs, or {LAST_EPOCH}"
        )


def _whole(limit: Any) -> bool:
    """Whether a limit of Lightning's is none: 1 is one batch, 1.0 is all of them."""
    return limit is None or (isinstance(limit, float) and limit == 1.0)


def limited(batches: int, limit: Any) -> int:
    """Of so many batches those that a limit of Lightning's leaves."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def _first_validation(trainer: TrainerSection, batches: int) -> int:
    """Number of batches after which validation runs for the first time."""
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_interval
    inside = batches if interval is None else interval if isinstance(interval, int) else max(1, int(batches * interval))
    return inside if every is None else (every - 1) * batches + inside


def total_batches(trainer: TrainerSection, batches: int) -> int | None:
    """Number of batches of the whole training; None: without end."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    together = trainer.accumulate_grad_batches
    if epochs is None:
        epochs = DEFAULT_EPOCHS if steps == -1 else -1
    whole = None if epochs == -1 else epochs * batches
    if steps == -1:
        return whole
    full, rest = divmod(steps, -(-batches // together))
    limited = full * batches + min(rest * together, batches)
    return limited if whole is None else min(whole, limited)
