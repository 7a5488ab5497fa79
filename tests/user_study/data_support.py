"""Small studies made by the import, for the tests of import, export, check, backup and simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from user_study.core import study_state
from user_study.core.clock import now_ms
from user_study.core.folder import StudyFolder, create_study
from user_study.core.settings import from_dict
from user_study.imports.import_pairs import import_pairs

ORIGINS = ("swin", "bsrgan", "seesr")


def picture(path: Path, seed: int, size: tuple[int, int] = (16, 12), **options: Any) -> Path:
    """A random picture; equal seeds give equal pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def pair_table(root: Path, main: int = 12, traps: int = 0, training: int = 0) -> Path:
    """A pair table with pictures: three outputs of each photo, then traps and training of both polarities."""
    rows = []
    for number in range(main + traps + training):
        kind = "main" if number < main else "trap" if number < main + traps else "training"
        photo = number // 3 if kind == "main" else number
        truth = "" if kind == "main" else ("yes" if number % 2 else "no")
        origin = ORIGINS[number % 3] if kind == "main" else kind
        rate = (number + 0.5) / main if kind == "main" else {"yes": 0.99, "no": 0.01}[truth]
        rows.append(
            {
                "pair_id": f"{kind}{number:03}", "source_id": f"photo{photo:03}",
                "reference": f"HQ/photo{photo:03}.png", "candidate": f"SR/{origin}_photo{photo:03}.png",
                "origin": origin, "kind": kind, "truth": truth, "explanation": "Look." if kind == "training" else "",
                "true_rate": round(rate, 4),
            }
        )  # fmt: skip
        picture(root / rows[-1]["reference"], photo)
        picture(root / rows[-1]["candidate"], 1000 + number)
    pd.DataFrame(rows).to_csv(root / "pairs.csv", index=False)
    return root / "pairs.csv"


def imported(folder: Path, table: Path, url: str | None = None, live: bool = True, **settings: Any) -> StudyFolder:
    """A study with the pairs of a table."""
    study = create_study(folder, from_dict(settings), url)
    import_pairs(study.database, study.images, [table])
    if live:
        with study.database.write() as c:
            study_state.set_state(c, "live", "tests", now_ms())
    return study
