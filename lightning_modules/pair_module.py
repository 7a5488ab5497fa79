"""What all modules that learn from pairs share: head, loss, optimiser, predictions that are gathered once, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from backbones import Backbone
from datamodules.batches import PairBatch
from heads import Head, build_head
from heads.compiled_input import CompiledInput
from heads.inputs import HeadInput, input_of, joined_pairs
from lightning_modules.base import TrainedModule
from lightning_modules.losses import Target, build_loss, check_loss
from registry import named
from semfid.errors import UserError


class PairModule(TrainedModule):
    """A backbone, a head, a loss. Register a subclass in `LIGHTNING_MODULES`; its first parameter is `backbone`.

    A subclass implements `training_loss`, `evaluated`, `validation_figures` and `calibrate_head`. Evaluation collects rows
    and columns of numbers on every process, gathers them, drops repeated rows and computes figures once: they do not
    depend on the number of processes.

    Args:
        backbone: a `backbones.Backbone`.
        head: ``{name: ..., keywords}`` or a name.
        loss: ``{name: ..., keywords}`` or a name.
        optimizer: ``{name: ..., lr: ..., backbone_lr: ..., schedule: constant | cosine, ...}``.

    Attributes:
        needs_maps: whether batches must bring difference maps.
        target: what its loss compares.
        start_head: gives a calibrated head the weights that a training starts from, by what it consumes of training pairs and
            their rows; None leaves it those that it was built with.
        predicted: after a validation or test pass, (rows (N,) int64, predictions (N,) float64), sorted by row.
    """

    needs_maps: bool = False
    start_head: Callable[[Head, Tensor, Tensor], None] | None = None
    _compiled_input: HeadInput | None = None
    target: ClassVar[Target] = "scores"
    default_optimizer: ClassVar[Mapping[str, Any]] = {"name": "adam", "lr": 1e-4}
    backbone: Backbone

    def __init__(
        self,
        backbone: Backbone,
        head: dict[str, Any] | str,
        loss: dict[str, Any] | str = "mse",
        optimizer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, optimizer)
        head_name, head_keywords = named(head, "model.head")
        self.head: Head = build_head(head_name, backbone, head_keywords)
        self.loss = build_loss(loss, "model.loss", self.target)
        self.predicted: tuple[Tensor, Tensor] | None = None

    @classmethod
    def check(cls, keywords: Mapping[str, Any]) -> None:
        """Check head and loss together with the module, before anything is built; each alone has been checked.

        Raises:
            UserError: a head that the module cannot feed, a loss that does not take what it compares.
        """
        if "loss" in keywords:
            check_loss(named(keywords["loss"], "model.loss")[0], "model.loss", cls.target)

    @classmethod
    def wants_maps(cls, keywords: Mapping[str, Any]) -> bool:
        """`needs_maps` of a module with these keywords, known before it is built."""
        return cls.needs_maps

    def training_loss(self, batch: PairBatch) -> Tensor:
        """Weighted SUM over the batch's pairs."""
        raise NotImplementedError(f"{type(self).__name__} must implement training_loss")

    def evaluated(self, batch: PairBatch) -> Tensor:
        """(B, K) float64, one row per pair: its predicted difference, its label, then what `validation_figures` wants."""
        raise NotImplementedError(f"{type(self).__name__} must implement evaluated")

    def validation_figures(self, columns: Tensor) -> dict[str, float]:
        """Figures of a validation part, from `evaluated` of all its pairs; logged as ``val_<name>``."""
        raise NotImplementedError(f"{type(self).__name__} must implement validation_figures")

    def calibrate_head(self, batches: Any) -> None:
        """Give the head's `calibrate` statistics of training pairs, computed without gradients.

        Args:
            batches: at most so many training pairs as it asks of ``batches(pairs)``, the same on every process.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement calibrate_head")

    @property
    def head_input(self) -> HeadInput:
        """What the head is fed."""
        return self._compiled_input or input_of(self.head)

    def compile_step(self, backend: str = "inductor") -> None:
        """Compile the backbone's pass, and what makes the head's input of its features, at the first step."""
        self.backbone.compile(backend=backend)
        self._compiled_input = CompiledInput(input_of(self.head), backend)

    def compared_of(self, batches: Iterable[PairBatch]) -> tuple[Any, Tensor]:
        """What the head takes of the pairs of some batches, in float32, and their rows (N,)."""
        compared, rows = [], []
        for batch in batches:
            x, y = self.head_input.describe_pairs(self.backbone, batch.reference, batch.candidate)
            compared.append(self.head_input.compare(x, y))
            rows.append(batch.row)
        return joined_pairs(compared), torch.cat(rows)

    def reached(self, reference: Tensor, candidate: Tensor) -> Tensor:
        """A scalar that depends on every parameter that training reaches."""
        return self(reference, candidate).sum()

    def training_step(self, batch: PairBatch, batch_index: int) -> Tensor:
        return self.step_loss(self.training_loss(batch), batch)

    def on_fit_start(self) -> None:
        """Calibrate the head, and start it, on training pairs before epoch 0; a resumed run has that in its checkpoint."""
        wanted = self.head.needs_calibration or self.start_head is not None
        if not wanted or self.trainer.current_epoch > 0 or self.trainer.global_step > 0:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]

        def batches(pairs: int) -> Any:
            for batch in data.calibration_batches(pairs):
                moved = data.on_after_batch_transfer(batch, 0)
                yield moved._replace(
                    reference=moved.reference.to(self.device), candidate=moved.candidate.to(self.device)
                )

        with torch.no_grad():  # in the mode of training: BatchNorm that trains has no statistics of its own yet
            self.calibrate_head(batches)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        self.head.project()

    def evaluate(self, batch: PairBatch) -> None:
        self.collect(batch.row, {"values": self.evaluated(batch)})

    def _gather(self) -> Tensor:
        found = self.gathered()
        self.predicted = found["row"], found["values"][:, 0]
        return found["values"]

    def on_validation_epoch_end(self) -> None:
        figures = self.validation_figures(self._gather())
        self.log_validation({f"val_{name}": value for name, value in figures.items()})

    def on_test_epoch_end(self) -> None:
        self._gather()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trunk_identity"] = self.backbone.identity

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint.get("trunk_identity")
        if saved != self.backbone.identity:
            raise UserError(
                f"this checkpoint belongs to the backbone {saved}, not {self.backbone.identity}; use the backbone, and the "
                "weights, that it was trained with"
            )


def score_figures(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """MSE and SRCC of a validation part; a constant prediction counts as SRCC -1, so it is never selected as best."""
    from semfid.stats import srcc  # numpy and scipy only

    known = ~torch.isnan(labels)
    scores, labels = scores[known].cpu(), labels[known].cpu()
    correlation = (
        srcc(scores.numpy(), labels.numpy()) if len(scores) > 1 and bool(scores.isfinite().all()) else float("nan")
    )
    return {
        "mse": float((scores - labels).square().mean()),
        "srcc": -1.0 if correlation != correlation else correlation,
    }
