"""What an import would do, or did: the new pairs compared with the study and with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from user_study.database.schema import image, pair
from user_study.imports.images import ReadyPair
from user_study.imports.sources import Remark

LONGEST = {"pair_id": 200, "source_id": 200, "origin": 200, "file name": 300}


@dataclass(frozen=True)
class ImportReport:
    """What an import would do, or did.

    Attributes:
        new, known: pairs that are added, and those that the study has already.
        kinds, origins: number of new pairs of each.
        photos: number of distinct photos of the new pairs.
        images: distinct pictures of the new pairs.
        remarks: errors (any of them stops the import) and warnings.
        applied: the pairs are in the study.
    """

    sources: tuple[str, ...]
    new: int
    known: int
    kinds: dict[str, int]
    origins: dict[str, int]
    photos: int
    images: int
    remarks: tuple[Remark, ...]
    applied: bool = False

    @property
    def errors(self) -> int:
        """Number of remarks that stop the import."""
        return sum(remark.level == "error" for remark in self.remarks)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "errors": self.errors}

    def lines(self, most: int = 20) -> list[str]:
        """The report in words; of each kind of remark the first `most`."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items()) or "none"
        out = [f"new pairs: {self.new} ({kinds}); in the study already: {self.known}"]
        if self.new:
            origins = ", ".join(f"{name or 'no origin'} {count}" for name, count in sorted(self.origins.items())[:12])
            out.append(f"photos: {self.photos}; pictures: {self.images}; origins: {origins}")
        for code, count in Counter((remark.level, remark.code) for remark in self.remarks).items():
            shown = [remark for remark in self.remarks if (remark.level, remark.code) == code]
            out += [f"{remark.level}: {remark.where}: {remark.text}" for remark in shown[:most]]
            if count > most:
                out.append(f"{code[0]}: ... and {count - most} more of this kind ({code[1]})")
        return out


def compare(
    c: Connection, ready: Sequence[ReadyPair], remarks: Sequence[Remark], sources: Sequence[str | Path]
) -> tuple[ImportReport, list[ReadyPair]]:
    """Hold the pairs against the study and against each other."""
    more: list[Remark] = []
    by_key, by_content = _present(c)
    fresh: list[ReadyPair] = []
    known = 0
    for one in ready:
        key, content = one.pair.key, (one.reference.digest, one.candidate.digest)
        fault = _pair_fault(one)
        if fault is not None:
            more.append(fault)
        elif by_key.get(key) == content:
            known += 1
        elif key in by_key:
            more.append(
                Remark(
                    "error", "id_taken", key, "the study has other pictures under this pair_id; give it another name"
                )
            )
        elif content in by_content:
            text = f"shows the same two pictures as {by_content[content]!r}: left out"
            more.append(Remark("warning", "duplicate", key, text))
        else:
            by_key[key], by_content[content] = content, key
            fresh.append(one)
            if content[0] == content[1] and one.pair.kind == "main":
                more.append(
                    Remark("warning", "identical", key, "both pictures are equal to the last pixel; meant as a trap?")
                )
    if not ready and not any(remark.level == "error" for remark in remarks):
        more.append(Remark("error", "empty", "-", "no pair is left to import"))
    report = ImportReport(
        tuple(Path(source).name for source in sources),
        len(fresh),
        known,
        dict(Counter(one.pair.kind for one in fresh)),
        dict(Counter(one.pair.origin for one in fresh)),
        len({one.pair.source for one in fresh}),
        len({part.digest for one in fresh for part in (one.reference, one.candidate)}),
        tuple(sorted([*remarks, *more], key=lambda remark: remark.level != "error")),
    )
    return report, fresh


def _present(c: Connection) -> tuple[dict[str, tuple[str, str]], dict[tuple[str, str], str]]:
    digests = {row.id: row.sha256 for row in c.execute(select(image.c.id, image.c.sha256))}
    by_key = {
        row.pair_key: (digests[row.reference_image], digests[row.candidate_image])
        for row in c.execute(select(pair.c.pair_key, pair.c.reference_image, pair.c.candidate_image))
    }
    return by_key, {content: key for key, content in by_key.items()}


def _pair_fault(one: ReadyPair) -> Remark | None:
    found = one.pair
    texts = {
        "pair_id": (found.key,), "source_id": (found.source,), "origin": (found.origin,),
        "file name": (found.reference_name, found.candidate_name),
    }  # fmt: skip
    for what, values in texts.items():
        if any(len(value) > LONGEST[what] for value in values):
            return Remark(
                "error", "long", found.key[:80], f"{what} has more than {LONGEST[what]} characters; shorten it"
            )
        if any(ord(char) < 32 for value in values for char in value):
            return Remark("error", "control", repr(found.key[:80]), f"{what} holds a control character; rename it")
    if found.kind in ("trap", "training", "example") and found.truth is None:
        return Remark("error", "truth", found.key, f"a pair of kind {found.kind} needs a column truth (yes or no)")
    return None
