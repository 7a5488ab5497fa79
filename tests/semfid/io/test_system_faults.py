"""An error of the system says what it is and what helps; only a full disk asks for space."""

from __future__ import annotations

import errno
import os

import pytest

from semfid.io.system_faults import remedy, said

KNOWN = [code for name, code in vars(errno).items() if name.startswith("E") and isinstance(code, int)]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space or set output="),
        (errno.EDQUOT, "free some space or set output="),
        (errno.EACCES, "change the permissions or set output="),
        (errno.EPERM, "change the permissions or set output="),
        (errno.EROFS, "check this or set output="),
        (errno.EMFILE, "allow more open files (`ulimit -n 4096`)"),
        (errno.ENAMETOOLONG, "use shorter names or set output="),
        (errno.ENOENT, "check the path, and whether something else removes files"),
        (errno.ENOTDIR, "move what stands in the way or set output="),
        (errno.EIO, "check the disk or its connection"),
        (errno.ESTALE, "check the disk or its connection"),
        (errno.ENOMEM, "free some memory"),
    ],
)
def test_each_has_its_own_remedy(code: int, advice: str) -> None:
    assert remedy(OSError(code, os.strerror(code)), "set output=") == advice


def test_only_a_full_disk_asks_for_space() -> None:
    asking = {code for code in KNOWN if "space" in remedy(OSError(code, os.strerror(code)), "x")}
    assert asking == {errno.ENOSPC, errno.EDQUOT}


def test_libraries_errors_have_no_number() -> None:
    error = OSError("We couldn't connect to the hub")
    assert said(error) == "We couldn't connect to the hub" and remedy(error, "x") == "mend this first"
    assert said(OSError()) == "OSError"
    assert (
        said(FileNotFoundError(2, "No such file or directory", "best.ckpt")) == "best.ckpt: No such file or directory"
    )
