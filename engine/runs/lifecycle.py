"""Work on a run's folder, and what the folder says when the work fails."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from engine.config.schema import Variant
from engine.runs.run_folder import RunFolder
from semfid.errors import UserError
from semfid.io.system_faults import remedy, said


def attempt(variant: Variant, folder: RunFolder, title: str, work: Callable[[float], None]) -> RunFolder:
    """Hold a run's folder and do the work unless it is done; the folder's state says how it ended.

    Args:
        work: called with the time it began (`time.monotonic`); it must set the state ``done`` last.

    Raises:
        UserError: another process holds the folder, or whatever is wrong with the work; the state is then ``failed``.
    """
    with folder.held():
        if folder.state == "done":  # by another process, since it was looked at last
            return folder
        folder.set_state("running")
        folder.write_yaml("config.yaml", {**variant.config, "choices": variant.choices})
        try:
            work(time.monotonic())
        except UserError as error:
            folder.set_state("failed", str(error))
            raise
        except OSError as error:
            folder.set_state("failed", str(error))
            place = "" if error.filename else f"{folder.path}: "
            raise UserError(f"{place}{said(error)}; {remedy(error, 'choose another folder by output=')}") from error
        except torch.OutOfMemoryError as error:
            folder.set_state("failed", "out of GPU memory")
            raise UserError(
                f"{title or variant.label}: out of GPU memory; lower data.batch_size or data.image_size"
            ) from error
        except Exception as error:
            folder.set_state("failed", f"{type(error).__name__}: {error}")
            if isinstance(error, RuntimeError) and str(error).startswith(
                "DataLoader worker"
            ):  # its words name no cause
                raise UserError(
                    f"{title or variant.label}: a process that loads images was ended, by the system or for lack of memory; set "
                    "data.workers=0"
                ) from error
            raise
    return folder
