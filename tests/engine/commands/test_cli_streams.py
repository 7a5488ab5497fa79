"""Streams that take ASCII alone end no command; errors of the system say what they are."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path

import pytest
from run_support import Write

from semfid.cli import main


class Streams:
    """Standard streams as ``PYTHONIOENCODING=ascii`` makes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out, self.err = io.BytesIO(), io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(self.out, encoding="ascii", errors="strict"))
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(self.err, encoding="ascii", errors="strict"))

    def text(self) -> tuple[str, str]:
        sys.stdout.flush()
        sys.stderr.flush()
        return self.out.getvalue().decode("ascii"), self.err.getvalue().decode("ascii")


def test_a_table_on_an_ascii_stream(write_experiment: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_experiment({"model": {}, "baselines": ["psnr"], "name": "é"})
    streams = Streams(monkeypatch)
    assert main(["ablate", str(file)]) == 0
    out, _ = streams.text()
    assert "\\xb1" in out and "| psnr " in out, "the ± of the table's head"
    assert (
        f"report: {tmp_path / 'runs'}/\\xe9/report.html" in out and (tmp_path / "runs" / "é" / "report.html").is_file()
    )


def test_mistakes_and_help_on_an_ascii_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    assert main(["run", str(tmp_path / "ünbekannt-\udcff.yaml")]) == 2
    assert main(["list", "kärnel"]) == 2
    error = streams.text()[1]
    assert "\\xfcnbekannt-\\udcff.yaml" in error and "k\\xe4rnel" in error and "Traceback" not in error


@pytest.mark.parametrize("command", ["run", "ablate", "build edits", "label maps"])
def test_settings_that_are_no_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As of a name in Latin 1, or of any accent where the locale is C."""
    assert main([*command.split(), "x.yaml", *(["--out", "o.csv"] if "label" in command else []), "name=\udcff"]) == 2
    assert capsys.readouterr().err == (
        "semfid: name=\\udcff: this holds bytes that are no text here; write it in UTF-8, with LC_ALL=C.UTF-8\n"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "semfid: there: No space left on device; free some space or choose another folder"),
        (errno.EACCES, "semfid: there: Permission denied; change the permissions or choose another folder"),
        (
            errno.ENOENT,
            "semfid: there: No such file or directory; check the path, and whether something else removes files",
        ),
        (errno.EMFILE, "semfid: there: Too many open files; allow more open files (`ulimit -n 4096`)"),
    ],
)
def test_an_error_of_the_system_is_named(
    code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise OSError(code, os.strerror(code), "there")

    monkeypatch.setattr("engine.commands.list.command", fail)
    assert main(["list"]) == 2
    assert capsys.readouterr().err.splitlines() == [words]
