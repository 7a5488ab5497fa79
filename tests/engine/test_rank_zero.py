"""Of several processes, one writes messages and shows progress."""

from __future__ import annotations

import pytest
from lightning.pytorch.utilities import rank_zero_only

from engine.rank_zero import is_rank_zero, log, progress
from semfid.logs import messages_on_screen


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_speaks(rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    with messages_on_screen(), progress("scoring") as advance:
        advance(1, 1)
        log.info("done")
    lines = capsys.readouterr().err.splitlines()
    assert is_rank_zero() == (rank == 0)
    assert [line.split(" (")[0] for line in lines] == (["scoring: 1/1", "done"] if rank == 0 else [])
