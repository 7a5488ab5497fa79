"""Files of `torch.save`, read whole or not at all.

`torch.load` does not look at the checksums that an archive's entries carry: of files with changed bytes, every sixth is read
without a word, with other weights.
"""

from __future__ import annotations

import errno
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from semfid.errors import UserError

# what a broken archive, and a broken stream of half-read objects, raise
_BROKEN = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, AttributeError, ImportError, LookupError,
    ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError, AssertionError,
)  # fmt: skip


class DamagedFileError(UserError):
    """A file that was cut short, whose bytes were changed, or that holds more than tensors and plain values."""


def load_whole(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU; nothing in it is run.

    Raises:
        OSError: the file cannot be opened or read.
        DamagedFileError: its content is not what was saved; the text is why, in one line.
    """
    with path.open("rb"):  # what the system refuses is no damage
        pass
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
            if bad is not None:
                raise DamagedFileError(f"{bad} does not have its checksum")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # places beyond the file are asked for where its table is broken
            raise
        raise DamagedFileError(_line(error)) from error
    except _BROKEN as error:
        raise DamagedFileError(_line(error)) from error


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
