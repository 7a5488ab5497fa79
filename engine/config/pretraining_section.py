"""Which pretraining a variant asks for, and the experiment that each entry of ``pretraining`` is."""

from __future__ import annotations

from pathlib import Path

from engine.config.schema import RunConfig
from engine.config.sections import WORDS
from engine.config.trainer_section import TrainerSection
from registry import BACKBONES
from semfid.errors import UserError, did_you_mean

# where a pretraining takes place is where its variants do, unless it says otherwise
INHERITED = ("accelerator", "devices", "strategy", "num_nodes", "precision", "sync_batchnorm")


def pretraining_name(config: RunConfig) -> str | None:
    """The entry of ``pretraining`` that a variant asks for, or None."""
    wanted = _wanted(config)
    return wanted if wanted in config.pretraining else None


def check_wanted(config: RunConfig) -> None:
    """Whether the weights that a variant asks for are there, where there is a section `pretraining`.

    Raises:
        UserError: a name that is no file and no entry.
    """
    section, wanted = config.pretraining, _wanted(config)
    if section and wanted is not None and wanted not in (*WORDS, *section) and not Path(wanted).is_file():
        raise UserError(
            f"model.backbone.pretrained is '{wanted}', which is no file and not in pretraining"
            f"{did_you_mean(wanted, [*WORDS, *section])} (there are: {', '.join([*WORDS, *section])})"
        )


def _wanted(config: RunConfig) -> str | None:
    backbone = None if config.model is None else config.model.backbone
    wanted = None if backbone is None else backbone.keywords.get("pretrained")
    return wanted if isinstance(wanted, str) else None


def pretraining_config(config: RunConfig, name: str) -> RunConfig:
    """The experiment of one variant that is its pretraining: same architecture, all of it trained from random weights.

    Raises:
        UserError: a backbone that cannot be trained whole.
    """
    entry, backbone = config.pretraining[name], config.backbone
    known = BACKBONES.get(backbone.name).keywords
    own = {key: value for key, value in backbone.written.items() if key != "lora_rank"}
    for key, value in (("pretrained", "none"), ("tuning", "full"), ("batch_norm", "train")):
        if key in known:
            own[key] = value
        elif key != "batch_norm":
            raise UserError(
                f"pretraining.{name}: the backbone '{backbone.name}' has no keyword '{key}'; it cannot be pretrained"
            )
    place = {key: value for key, value in config.trainer.written.items() if key in INHERITED}
    own_of_training = {"fit": None, "penalty": None, "start": None, "init_from": None, "pretrained_by": None}
    return config.model_copy(
        update={
            **own_of_training,
            "seed": entry.seed,
            "data": entry.data.changed({}),
            "model": entry.model.changed({"backbone": own}),
            "selection": entry.selection,
            "baselines": (),
            "trainer": TrainerSection.model_validate({**place, **entry.trainer.written}),
            "pretraining": {},
        }
    )
