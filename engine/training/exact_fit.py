"""Exact fits: a head that is linear in what is cached of a frozen backbone has one best set of weights, which is solved for.

Its penalty is chosen by cross-validation over photos inside the training part (train and validation rows together: nothing else
is to be selected). Neither a seed nor a learning rate has a say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules import Part
from engine.config.schema import RunConfig
from engine.training.exact import Choice, Huber, Logistic, PointLoss, Problem, Squared, choose_and_solve
from heads import Head, LinearForm
from lightning_modules.global_regressor import GlobalRegressor
from lightning_modules.model_config import ModelSection, filled
from registry import HEADS, LOSSES
from semfid.errors import UserError

Fit = Literal["exact", "gradient"]

# what a fit on cached features honours; anything else in `trainer` sends a variant through images
CACHED_TRAINER_KEYS = {
    "accelerator", "devices", "strategy", "num_nodes", "precision", "max_epochs", "enable_progress_bar",
    "enable_model_summary", "log_every_n_steps", "deterministic", "benchmark",
}  # fmt: skip
CHANGES_IMAGES = ("augment", "object_crop")  # keywords of data under which a pair has no fixed features


@dataclass(frozen=True)
class ExactFit:
    """The fitted head of one part.

    Attributes:
        part: which.
        head: in eval mode.
        choice: its penalty and how that was found.
    """

    part: Part
    head: Head
    choice: Choice


@dataclass(frozen=True)
class ExactSettings:
    """How heads are fitted.

    Attributes:
        loss: of raw scores.
        form: how the head is linear.
        penalty: given, or None to choose it; see `engine.training.exact`.
    """

    loss: PointLoss
    form: LinearForm
    penalty: float | None


def fit_of(config: RunConfig) -> Fit:
    """How a variant is fitted: what its key `fit` says, or ``exact`` where that is possible.

    Raises:
        UserError: ``fit: exact`` where it is not, or a head that has no other fit; names the obstacle.
    """
    wanted = config.fit
    obstacle = "" if wanted == "gradient" else _obstacle(config)
    if obstacle and wanted == "exact":
        raise UserError(f"fit: exact is not possible: {obstacle}; or use fit: gradient")
    fit: Fit = "gradient" if obstacle or wanted == "gradient" else "exact"
    if fit == "gradient" and _only_solved(config):
        fix = obstacle or "remove fit: gradient"
        raise UserError(f"the head {config.needed_model.needed_head.name} is solved for, it does not train: {fix}")
    return fit


def starts_exactly(config: RunConfig) -> bool:
    """Whether a training by gradient starts from the exact fit on the features as they are before it.

    Raises:
        UserError: ``start: exact`` of what has no such fit; names the obstacle.
    """
    if config.start != "exact" or fit_of(config) == "exact":  # whose fit starts nowhere
        return False
    obstacle = _no_exact_weights(config) or _starts_elsewhere(config)
    if obstacle:
        raise UserError(f"start: exact is not possible: {obstacle}; or use start: random")
    return True


def exact_settings(config: RunConfig) -> ExactSettings:
    """Loss and head of a variant whose fit is exact."""
    loss, form = _point_loss(config.needed_model), _linear_form(config.needed_model)
    assert loss is not None and form is not None  # `fit_of` has looked
    return ExactSettings(loss, form, config.penalty)


def _obstacle(config: RunConfig) -> str:
    """What keeps a variant from an exact fit, with the fix; empty where nothing does."""
    obstacle = _no_exact_weights(config)
    if obstacle:
        return obstacle
    if config.needed_model.tuning != "frozen":
        return "the backbone trains; set model.backbone.tuning: frozen"
    changed = [key for key in CHANGES_IMAGES if config.data.keywords.get(key)]
    if changed:
        return f"images change under data.{changed[0]}; remove it"
    extra = sorted(config.trainer.given - CACHED_TRAINER_KEYS)
    if extra:
        return f"trainer.{extra[0]} asks for training steps; remove it"
    return _starts_elsewhere(config)


def _no_exact_weights(config: RunConfig) -> str:
    """Why a variant's head and loss have no weights that can be solved for; empty where they have."""
    module, model = config.module_class, config.model
    if model is None or module is None or not issubclass(module, GlobalRegressor):
        return "it is of model.name: global_regressor"
    form = _linear_form(model)
    if form is None:
        return f"the head {model.needed_head.name} is not linear; take lpips_linear or concept_linear"
    if _point_loss(model) is None:
        return (
            f"there is none for model.loss: {model.loss.name} with the head's output: "
            f"{form.output}; take mse or huber with identity or clamp, or binomial with sigmoid"
        )
    return ""


def _only_solved(config: RunConfig) -> bool:
    """Whether a variant's head has no parameters to train."""
    if config.module_class is None or config.model is None or config.model.head is None:
        return False
    factory: Any = HEADS.get(config.model.head.name).factory
    return isinstance(factory, type) and issubclass(factory, Head) and factory.solved


def _starts_elsewhere(config: RunConfig) -> str:
    return "init_from gives the weights to start from; remove init_from" if config.init_from is not None else ""


def _linear_form(model: ModelSection) -> LinearForm | None:
    head = model.needed_head
    factory: Any = HEADS.get(head.name).factory
    if not (isinstance(factory, type) and issubclass(factory, Head)):
        return None
    return factory.linear_form(filled(HEADS, head))


def _point_loss(model: ModelSection) -> PointLoss | None:
    """The convex loss of raw scores that a loss and a head's output amount to; None where they make none."""
    form = _linear_form(model)
    name = model.loss.name
    plain = form is not None and form.output in ("identity", "clamp")  # a raw score outside [0, 1] is cut afterwards
    if name == "mse" and plain:
        return Squared()
    if name == "huber" and plain:
        return Huber(float(filled(LOSSES, model.loss)["delta"]))
    return Logistic() if name == "binomial" and form is not None and form.output == "sigmoid" else None


def fit_exactly(
    make_head: Callable[[], Head],
    settings: ExactSettings,
    features: Tensor,
    difference: Tensor,
    weight: Tensor,
    source_id: Sequence[str],
    parts: Sequence[Part],
) -> list[ExactFit]:
    """Fit one head per part.

    Args:
        make_head: builds a head.
        features: (N, ...) what the head is fed, for all pairs of the table.
        difference: (N,) labels in [0, 1].
        weight: (N,) weights of the pairs in the loss.
        source_id: (N,) names of their photos.

    Raises:
        UserError: a training part with one photo, equal labels or nothing that differs; inputs that are not finite.
    """
    fits = []
    for part in parts:
        rows = torch.from_numpy(part.known)
        head = make_head()
        if head.needs_calibration:
            head.calibrate(features[rows])
        sources = [source_id[row] for row in rows.tolist()]
        choice = fit_head(head, settings, features[rows], difference[rows], weight[rows], sources, part.index)
        fits.append(ExactFit(part, head.eval(), choice))
    return fits


def fit_head(
    head: Head,
    settings: ExactSettings,
    features: Tensor,
    difference: Tensor,
    weight: Tensor,
    source_id: Sequence[str],
    part: int,
) -> Choice:
    """Set the weights of a calibrated head to the best for n training pairs.

    Raises:
        UserError: as `fit_exactly`; names the part.
    """
    group = np.unique(np.asarray(source_id), return_inverse=True)[1].astype(np.int64)
    with torch.no_grad():
        given = head.linear_inputs(features).double()  # (n, D)
        inputs, sizes = given.numpy(), head.linear_sizes(given).numpy()
    target, own_weight = difference.double().numpy(), weight.double().numpy()
    _check(inputs, target, group, settings.penalty, part)
    inputs /= sizes
    problem = Problem.of(inputs, target, own_weight, settings.loss, settings.form.nonnegative, settings.form.bias)
    choice = choose_and_solve(problem, group, settings.penalty)
    head.set_linear(torch.from_numpy(choice.solution.weights / sizes), choice.solution.intercept)
    return choice


def _check(
    inputs: NDArray[np.float64], target: NDArray[np.float64], group: NDArray[np.int64], penalty: float | None, part: int
) -> None:
    """Refuse a training part that determines nothing."""
    if not np.isfinite(inputs).all():
        raise UserError("the features of some pair are not finite; set trainer.precision: 32-true, or another backbone")
    if target.min() == target.max():
        raise UserError(
            f"part {part + 1}: every training pair has the difference {target[0]:g}; use fewer folds (data.split.folds), or add "
            "pairs of the other kind"
        )
    if not inputs.any():
        raise UserError(f"part {part + 1}: all training pairs look identical to the head; add pairs that differ")
    if penalty is None and len(np.unique(group)) < 2:
        raise UserError(
            f"part {part + 1}: its training pairs are of one photo, and the penalty is chosen by leaving photos out; add "
            "photos, or give the penalty (penalty: 0.01)"
        )


def border_notes(fits: Sequence[ExactFit]) -> list[str]:
    """One line where the penalty of some part is the smallest or the largest that was tried."""
    notes = []
    for border, meaning in (
        ("smallest", "the labels follow the features to the last digit, or there are too few photos to tell"),
        ("largest", "the features say next to nothing about these labels"),
    ):
        parts = [str(fit.part.index + 1) for fit in fits if fit.choice.border == border]
        if parts:
            tried = fits[0].choice.penalties
            value = tried.min() if border == "smallest" else tried.max()
            notes.append(
                f"the {border} penalty tried, {value:g}, was best in part {', '.join(parts)} of {len(fits)}: {meaning}"
            )
    return notes
