"""Locks between processes: who is kept out, who waits, and that a lock ends with its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from semfid.errors import UserError
from semfid.io.locks import lock, try_lock

HOLDER = """
import sys
from pathlib import Path
from semfid.io.locks import lock
with lock(Path(sys.argv[1]), "set folder="):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_another_process_is_kept_out_until_the_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    process = holder(path)
    with pytest.raises(UserError, match=r"^busy$"), lock(path, "set folder=", "busy"):
        pytest.fail("two hold the lock")
    with try_lock(path, "set folder=") as taken:
        assert not taken
    process.kill()
    process.wait()
    with lock(path, "set folder=", "busy"), try_lock(path, "set folder=") as taken:
        assert not taken, "the same process holds it already"
    with try_lock(path, "set folder=") as taken:
        assert taken


def test_one_that_waits_gets_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    process = holder(path)
    assert process.stdin is not None
    process.stdin.write("\n")  # lets go while the next line waits
    process.stdin.flush()
    with lock(path, "set folder="):
        assert path.is_file()
    assert process.wait() == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot write .*file/x: .*; move what stands in the way or set folder="),
        lock(tmp_path / "file" / "x" / ".lock", "set folder="),
    ):
        pytest.fail("no lock can be there")


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), lock(tmp_path / ".lock", ""):
        raise ValueError("inside")
    with try_lock(tmp_path / ".lock", "") as taken:
        assert taken
