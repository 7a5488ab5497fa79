"""What simulated people see in two pictures: looked up by the pictures' pixels, as they come from the server."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from user_study.core.errors import StudyError
from user_study.core.pictures import pixel_hash, read_picture
from user_study.database.schema import image, pair

RATES = ("true_rate", "difference")  # columns of the imported table that say it, the better one first


@dataclass(frozen=True)
class Scene:
    """A pair: its name, the share of people who say yes, and of traps and training the right answer."""

    key: str
    rate: float
    truth: str | None


class Truth:
    """Pairs by the pixels of their two pictures, whichever is left."""

    def __init__(self, scenes: dict[frozenset[str], Scene]) -> None:
        self._scenes = scenes

    def of(self, one: str, other: str) -> Scene:
        """The pair of two pixel hashes.

        Raises:
            StudyError: the server shows a pair that the study's folder does not have.
        """
        found = self._scenes.get(frozenset((one, other)))
        if found is None:
            raise StudyError(
                "the server shows a pair that is not in this study's folder; give the folder that it serves"
            )
        return found


def read_truth(c: Connection) -> Truth:
    """From the database of a study.

    Raises:
        StudyError: main pairs whose table had neither true_rate nor difference.
    """
    digests = {row.id: row.sha256 for row in c.execute(select(image.c.id, image.c.sha256))}
    scenes = {}
    for row in c.execute(select(pair)):
        extra = json.loads(row.extra)
        rate = next((extra[name] for name in RATES if isinstance(extra.get(name), (int, float))), None)
        if rate is None:
            if row.truth is None:
                raise StudyError(
                    f"pair {row.pair_key!r}: nobody knows what people would see in it; import a pair table with a column "
                    "true_rate (share of yes answers), or simulate the demo study"
                )
            rate = 0.95 if row.truth == "yes" else 0.05
        key = frozenset((digests[row.reference_image], digests[row.candidate_image]))
        scenes[key] = Scene(row.pair_key, min(max(float(rate), 0.0), 1.0), row.truth)
    return Truth(scenes)


def digest_of(content: bytes) -> str:
    """Pixel hash of a downloaded picture."""
    return pixel_hash(read_picture(io.BytesIO(content)).image)
