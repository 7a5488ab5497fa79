"""Is everything there as it was made?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from data_tools.builders.core.folder import JOURNALS, STAMP, TABLES, WORK, read_stamp, read_tables
from data_tools.builders.core.journal import latest_entries
from semfid.io.listing import unlisted
from semfid.progress import Advance


@dataclass
class Findings:
    """Names under the build's folder. `errors` counts units that could not be made."""

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    errors: int = 0

    @property
    def fine(self) -> bool:
        return not (self.missing or self.changed or self.extra)


def verify(path: Path, advance: Advance) -> Findings:
    """Hash every file of a build again and hold it against the journals.

    Raises:
        UserError: the folder is no build's, or a journal is broken.
    """
    read_stamp(path)
    findings = Findings()
    recorded: dict[str, tuple[str, int]] = {name: (digest, size) for name, (digest, size) in read_tables(path).items()}
    for entry in latest_entries(path / JOURNALS).values():
        findings.errors += entry.status == "error"
        recorded.update({name: (digest, size) for name, digest, size in entry.files})
    for number, (name, (digest, size)) in enumerate(sorted(recorded.items()), start=1):
        file = path / name
        if not file.is_file():
            findings.missing.append(name)
        elif file.stat().st_size != size or _sha256(file) != digest:
            findings.changed.append(name)
        findings.checked += 1
        advance(number, len(recorded))
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        known = name in recorded or name in (STAMP, TABLES, "preview.png") or name.split("/")[0] in (JOURNALS, WORK)
        if not known and not file.is_dir() and not any(unlisted(part) for part in name.split("/")):
            findings.extra.append(name)
    return findings


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
