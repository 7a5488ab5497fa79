"""Files of torch.save: read whole, or refused in one line; no changed byte is read as another weight."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from semfid.io.torch_files import DamagedFileError, load_whole


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    torch.manual_seed(3)
    content = {
        "epoch": 3,
        "state_dict": {f"layer{i}.weight": torch.rand(7, 11) for i in range(4)},
        "name": "x",
        "none": None,
    }
    torch.save(content, tmp_path / "whole.ckpt")
    return tmp_path / "whole.ckpt", content


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _blank(content: bytes, draw: random.Random) -> bytes:
    at, length = draw.randrange(len(content)), draw.randrange(1, 2000)
    return content[:at] + bytes(len(content[at : at + length])) + content[at + length :]


def _lose(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + content[at + draw.randrange(1, 600) :]


@pytest.mark.parametrize("damage", [_cut, _flip, _blank, _lose])
def test_damages(saved: tuple[Path, dict[str, Any]], damage: Callable[[bytes, random.Random], bytes]) -> None:
    path, content = saved
    assert same(load_whole(path), content)
    whole, draw, refused = path.read_bytes(), random.Random(7), 0
    for _ in range(100):
        path.write_bytes(damage(whole, draw))
        try:
            found = load_whole(path)
        except DamagedFileError as error:
            refused += 1
            assert str(error) and "\n" not in str(error)
        else:
            assert same(found, content), "another content, without a word"
    assert refused > 80


def test_torch_itself_reads_changed_weights(saved: tuple[Path, dict[str, Any]]) -> None:
    """Why the checksums are looked at here; where torch does, this module can go."""
    path, content = saved
    whole, draw, silent = path.read_bytes(), random.Random(7), 0
    for _ in range(60):
        path.write_bytes(_flip(whole, draw))
        try:
            silent += not same(torch.load(path, weights_only=True), content)
        except Exception:  # noqa: BLE001 - whatever it says is not silent
            continue
    assert silent > 0


def test_what_is_no_damage(saved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_whole(tmp_path / "gone.ckpt")
    with pytest.raises(IsADirectoryError):
        load_whole(tmp_path)
    path, content = saved
    torch.save(content, path, _use_new_zipfile_serialization=False)  # as before torch 1.6
    assert same(load_whole(path), content)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"weight": Evil()}, tmp_path / "archive.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"weight": Evil()}))
    for name in ("archive.pt", "plain.pt"):
        with pytest.raises(DamagedFileError):
            load_whole(tmp_path / name)
    assert not (tmp_path / "ran").exists()
