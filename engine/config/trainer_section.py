"""The section ``trainer`` of an experiment: keywords of `lightning.Trainer`, checked against its signature."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator

from semfid.settings import KeyFault, Section
from semfid.typing_checks import describe_type, fits

OURS = (
    "logger", "callbacks", "default_root_dir", "use_distributed_sampler", "enable_checkpointing", "num_sanity_val_steps",
)  # fmt: skip
KEYWORDS: Mapping[str, inspect.Parameter] = {
    name: parameter for name, parameter in inspect.signature(L.Trainer).parameters.items() if name not in OURS
}

TF32 = "tf32"  # of `precision`, beside Lightning's values: float32 whose products a GPU computes in TF32


class TrainerSection(Section):
    """Keywords of lightning.Trainer; those with a field here are read by the engine, too."""

    accelerator: str = "auto"
    devices: list[int] | int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    precision: int | str | None = None
    """Lightning's, or ``tf32``: as ``32-true``, but for products in TF32 on a GPU."""
    max_epochs: int | None = None
    max_steps: int = -1
    max_time: Any = None
    limit_train_batches: int | float | None = None
    limit_val_batches: int | float | None = None
    limit_test_batches: int | float | None = None
    limit_predict_batches: int | float | None = None
    overfit_batches: int | float = 0.0
    check_val_every_n_epoch: int | None = 1
    val_check_interval: Any = None
    accumulate_grad_batches: int = 1
    gradient_clip_val: int | float | None = None
    log_every_n_steps: int | None = None
    enable_progress_bar: bool | None = None
    fast_dev_run: bool | int = False
    sync_batchnorm: bool = False

    @classmethod
    def spelled_out(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise KeyFault(f"{{key}} must be a mapping of keywords of lightning.Trainer, not {value!r}")
        for key, one in value.items():
            _check_keyword(str(key), one)
        return value

    @property
    def given(self) -> frozenset[str]:
        """The keywords that the file gives."""
        return frozenset(self._mapping)

    @property
    def tf32(self) -> bool:
        """Whether float32 products are computed in TF32 where a GPU can."""
        return self.precision == TF32

    @property
    def on_gpu(self) -> bool:
        """Whether a training runs on a CUDA device."""
        return self.accelerator in ("gpu", "cuda") or (self.accelerator == "auto" and CUDAAccelerator.is_available())

    @property
    def processes(self) -> int:
        """How many processes a training spans; Lightning is not asked."""
        accelerator: Any = CUDAAccelerator if self.on_gpu else CPUAccelerator
        if self.devices == "auto":
            return int(accelerator.auto_device_count()) * self.num_nodes
        parsed = accelerator.parse_devices(self.devices)
        return (len(parsed) if isinstance(parsed, list) else int(parsed or 1)) * self.num_nodes


def _check_keyword(key: str, value: Any) -> None:
    if key in OURS:
        raise KeyFault(f"trainer.{key} is set by the engine; remove it")
    if key not in KEYWORDS:
        close = difflib.get_close_matches(key, [*KEYWORDS, *OURS], n=3)
        meant = f"; did you mean {close}?" if close else ""
        raise KeyFault(f"trainer: lightning.Trainer has no keyword '{key}'{meant}")
    if key == "precision" and value == TF32:
        return
    annotation = KEYWORDS[key].annotation
    if not fits(value, annotation):
        raise KeyFault(f"trainer.{key} is {value!r}; it must be {describe_type(annotation)}")
