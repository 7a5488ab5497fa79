"""The pairs that a study starts with in an empty folder, rendered by tools/make_study_demo.py.

`pairs.csv` is a pair table with the columns kind, truth, explanation and `true_rate`: the share of yes answers that an endless
panel would give, known because the pairs are rendered (data_tools/synthetic/raters.py).
"""

from __future__ import annotations

from pathlib import Path

from user_study.database.engine import Database
from user_study.imports.import_pairs import import_pairs
from user_study.imports.report import ImportReport

TABLE = Path(__file__).parent / "pairs.csv"


def load_demo(database: Database, images: Path) -> ImportReport:
    """Import the demo pairs into a study that has none of them yet."""
    return import_pairs(database, images, [TABLE], actor="demo")
