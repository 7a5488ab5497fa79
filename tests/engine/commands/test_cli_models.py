"""`semfid models` without a network: list, check, and the refusals of get."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from engine.commands.models import check_models, get_models, list_models
from models.catalogue import known
from models.catalogue.contract import FileSource, HubSource, KnownModel
from models.catalogue.download import Downloader
from models.catalogue.places import Places
from models.catalogue.remote import HuggingFace, Urls
from models.catalogue.state import State
from semfid.cli import main
from semfid.errors import UserError

CONTENT = b"weights" * 100


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """Caches of its own; and a catalogue of a gated model and a file that lies on this machine."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "net.pth").write_bytes(CONTENT)
    source = FileSource((tmp_path / "net.pth").as_uri(), hashlib.sha256(CONTENT).hexdigest())
    model = KnownModel("net", (source,), ("metrics.lpips",), "MIT", megabytes=1)
    gated = KnownModel("closed", (HubSource("owner/closed"),), (), "Closed Licence", gated=True)
    monkeypatch.setattr(known, "CATALOGUE", (gated, model))
    return model


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["models", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


Command = Callable[..., tuple[int, str, str]]


def test_get_list_check(net: KnownModel, command: Command, tmp_path: Path) -> None:
    code, out, _ = command("list")
    assert code == 0 and "net: absent; size about 1 MB; licence MIT\n" in out and "used by metrics.lpips" in out
    assert "closed: absent; size unknown (recorded at first download); licence Closed Licence, gated" in out
    code, out, _ = command("get", "net", "--json")
    [row] = json.loads(out)
    assert code == 0 and row["state"] == "present" and row["bytes"] == len(CONTENT) and row["from"] == "file"
    assert row["revision"] == f"sha256 {hashlib.sha256(CONTENT).hexdigest()}"
    code, out, _ = command("check")
    assert code == 0 and out.splitlines() == ["closed: absent", "net: present"]
    path = tmp_path / "torch" / "hub" / "checkpoints" / "net.pth"
    path.write_bytes(b"x" * len(CONTENT))
    code, out, err = command("check", "net")
    assert code == 2 and out == "net: WRONG\n" and str(path) in err and "`semfid models get net`" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("get",), "semfid models get needs a name"),
        (("get", "nett"), "no model 'nett'; did you mean 'net'"),
        (("list", "nett"), "no model 'nett'; did you mean 'net'"),
        (("check", "nett"), "no model 'nett'; did you mean 'net'"),
        (("get", "net", "--accept", "closedd"), "did you mean 'closed'"),
        (("get", "closed"), "its licence, Closed Licence, must be accepted"),
        (("get", "closed", "--accept", "closed"), "hf auth login"),
        (("get", "owner/other"), "on a machine with a connection run `semfid models get owner/other`"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...],
    message: str,
    net: KnownModel,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    code, out, err = command(*words)
    assert code == 2 and out == "" and message in err
    assert len([line for line in err.splitlines() if line.startswith("semfid: ")]) == 1


@pytest.mark.parametrize(("answer", "asked_on"), [("yes\n", True), ("no\n", True), ("yes\n", False)])
def test_a_licence_is_accepted_by_a_typed_yes(
    answer: str, asked_on: bool, net: KnownModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal; elsewhere a yes in a pipe counts for nothing."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return asked_on

    class SignedIn(HuggingFace):
        def has_token(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(UserError) as caught:  # offline: what was accepted fails at the connection
        get_models(["closed"], downloader=Downloader(Places.standard(), SignedIn(), Urls()))
    assert ("no connection" in str(caught.value)) == (asked_on and answer == "yes\n")
    assert ("Closed Licence" in capsys.readouterr().err) == asked_on


def test_as_functions(net: KnownModel, tmp_path: Path) -> None:
    places = Places(tmp_path / "a", tmp_path / "b")
    assert [one.state for one in list_models(["net"], places)] == [State.ABSENT]
    assert check_models(["net"], places) == {"net": (State.ABSENT, [])}
