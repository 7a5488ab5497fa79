"""Options of the trainer that skip validation or leave out a part of the test are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel, RandomDataset
from run_support import Write, only_run, predictions, run_folders
from torch.utils.data import DataLoader

from engine.config.trainer_section import TrainerSection
from engine.training.lightning_trainer import make_trainer, quiet_lightning
from engine.training.trainer_options import check_options, check_selection, check_steps
from semfid.cli import main
from semfid.errors import UserError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit_test_batches": 1}, "trainer.limit_test_batches leaves out a part of what is evaluated"),
        ({"limit_test_batches": 0.5}, "trainer.limit_test_batches leaves out a part"),
        ({"limit_test_batches": 0}, "trainer.limit_test_batches leaves out a part"),
        ({"limit_predict_batches": 3}, "trainer.limit_predict_batches leaves out a part"),
        ({"overfit_batches": 1}, "trainer.overfit_batches trains and selects on the same few batches"),
        ({"overfit_batches": 0.1}, "trainer.overfit_batches"),
        ({"limit_train_batches": 0}, "trainer.limit_train_batches is 0, which trains nothing"),
        ({"limit_train_batches": 0.0}, "trainer.limit_train_batches is 0"),
        ({"max_steps": 0}, "trainer.max_steps is 0"),
        ({"check_val_every_n_epoch": 0}, "trainer.check_val_every_n_epoch is 0; it must be at least 1"),
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches is 0"),
        ({"val_check_interval": 0}, "trainer.val_check_interval is 0; it must be above 0"),
        ({"val_check_interval": "00:01:00:00"}, "would depend on the machine's speed"),
        ({"max_time": "00:01:00:00"}, "would depend on the machine's speed"),
        ({"gradient_clip_val": -1.0}, "turns gradients round"),
    ],
)
def test_what_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        make_trainer(TrainerSection(**{"accelerator": "cpu", **options}))
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit_test_batches": 1.0, "limit_predict_batches": None, "overfit_batches": 0.0, "limit_train_batches": 2},
        {"limit_val_batches": 3, "check_val_every_n_epoch": None, "val_check_interval": 4, "max_time": None},
    ],
)
def test_what_is_fine(options: dict[str, Any]) -> None:
    check_options(TrainerSection(**options))
    check_selection(TrainerSection(**options), "val_mse")


@pytest.mark.parametrize("none", [0, 0.0])
def test_selection_needs_validation(none: float) -> None:
    with pytest.raises(UserError, match=r"trainer.limit_val_batches is 0, but selection.monitor is val_srcc"):
        check_selection(TrainerSection(**{"limit_val_batches": none}), "val_srcc")
    with pytest.raises(UserError, match=r"lower the first to 2 or less, or set selection.monitor=last"):
        check_selection(TrainerSection(**{"check_val_every_n_epoch": 3, "max_epochs": 2}), "val_srcc")
    check_selection(TrainerSection(**{"check_val_every_n_epoch": 3, "max_epochs": -1}), "val_srcc")


class Counted(L.Callback):
    def __init__(self) -> None:
        self.validations = 0

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.validations += 1


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 1},
        {"max_epochs": 3, "check_val_every_n_epoch": 2},
        {"max_epochs": 2, "check_val_every_n_epoch": 3},
        {"max_epochs": 2, "check_val_every_n_epoch": 2, "val_check_interval": 0.5},
        {"max_epochs": 2, "check_val_every_n_epoch": None, "val_check_interval": 10},
        {"max_epochs": 2, "check_val_every_n_epoch": None, "val_check_interval": 11},
        {"max_epochs": 1, "val_check_interval": 5},
        {"max_epochs": 1, "val_check_interval": 6},
        {"max_epochs": 2, "max_steps": 4},
        {"max_epochs": 2, "max_steps": 5},
        {"max_epochs": 9, "max_steps": 2, "val_check_interval": 0.5},
        {"max_epochs": 9, "max_steps": 1, "val_check_interval": 0.5},
        {"max_epochs": 9, "max_steps": 2, "accumulate_grad_batches": 2},
        {"max_epochs": 9, "max_steps": 3, "accumulate_grad_batches": 2},
        {"max_epochs": 9, "max_steps": 5, "accumulate_grad_batches": 2, "check_val_every_n_epoch": 2},
        {"max_epochs": 9, "max_steps": 6, "accumulate_grad_batches": 2, "check_val_every_n_epoch": 2},
        {"max_epochs": 1, "limit_train_batches": 2},
        {"max_epochs": 1, "limit_train_batches": 0.1},
        {"max_epochs": 1, "limit_train_batches": 2, "val_check_interval": 3},
        {"max_epochs": 1, "limit_val_batches": 0.4},
        {"max_epochs": 1, "limit_val_batches": 0.5},
        {"max_epochs": -1, "max_steps": 5},
    ],
    ids=str,
)
def test_lightning_validates_where_the_check_says_so(options: dict[str, Any], tmp_path: Path) -> None:
    """Five batches of training, two of validation."""
    try:
        check_steps(TrainerSection(**options), 5, 2, "val_mse")
        expected = True
    except UserError:
        expected = False
    quiet_lightning()
    counted = Counted()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(
        accelerator="cpu", num_sanity_val_steps=0, callbacks=[counted], default_root_dir=tmp_path, **quiet, **options
    )
    train, val = (DataLoader(RandomDataset(32, count), batch_size=1) for count in (5, 2))
    try:
        trainer.fit(BoringModel(), train, val)
    except (ValueError, L.fabric.utilities.exceptions.MisconfigurationException):
        assert counted.validations == 0
    assert (counted.validations > 0) == expected


FULL = {"model.backbone.tuning": "full", "trainer.max_epochs": 3}


def test_nothing_is_trained_before_the_refusal(
    write_experiment: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(L.Trainer, "fit", lambda *_, **__: pytest.fail("trained"))
    file = write_experiment(FULL)
    for more, said in (
        (["trainer.check_val_every_n_epoch=5"], "no epoch is validated"),
        (["trainer.limit_val_batches=0"], "remove it, or set selection.monitor=last"),
        (["trainer.limit_test_batches=1"], "data.split makes the test smaller"),
        (["trainer.val_check_interval=1000"], "an epoch has "),
        (["trainer.max_steps=1"], "before its first validation"),
    ):
        assert main(["run", str(file), *more]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert said in last and "free some space" not in last and "Traceback" not in last
    assert not [run for run in run_folders(tmp_path / "runs") if (run / "metrics.json").exists()]


def test_the_last_epoch_is_taken_whether_or_not_it_is_validated(write_experiment: Write, tmp_path: Path) -> None:
    """As without validation at all, to the bit."""
    file = write_experiment({**FULL, "selection": {"monitor": "last"}})
    found = []
    for number, more in enumerate(([], ["trainer.check_val_every_n_epoch=2"], ["trainer.limit_val_batches=0"])):
        assert main(["run", str(file), *more, f"output={tmp_path / str(number)}"]) == 0
        run = only_run(tmp_path / str(number))
        epoch = torch.load(run / "checkpoints" / "part-0" / "last.ckpt", weights_only=True)["epoch"]
        found.append((epoch, predictions(run)["predicted"].tolist()))
    assert found[0] == found[1] == found[2] and found[0][0] == 2


@pytest.mark.parametrize(
    "options",
    [
        {"accelerator": "cpu"},
        {"accelerator": "cpu", "devices": 1, "num_nodes": 1},
        {"accelerator": "cpu", "devices": 3, "strategy": "ddp"},
        {"accelerator": "cpu", "devices": "2", "strategy": "ddp", "num_nodes": 2},
        {},
    ],
)
def test_processes_are_those_that_lightning_plans(options: dict[str, Any]) -> None:
    section = TrainerSection(**options)
    assert section.processes == make_trainer(section).world_size
