"""CSV tables that people bring, whatever program wrote them: one reader, one hint.

Read as they are meant: UTF-8 with or without a byte order mark, UTF-16 with one; commas, semicolons, tabs or bars between
values; a blank behind each of them; line ends of every system; empty rows; commas at the end of rows; Excel's first line
``sep=;``. Every value is text: ``NA``, ``null`` and ``007`` stay what they are.

Refused by row: a row with more or fewer values than the head has names, for a value in the wrong column is worse than none; the
head a second time; a name that stands twice.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semfid.errors import UserError

HINT = "save it as CSV in UTF-8: names in the first row, commas between values, text that holds commas in double quotes"
SEPARATORS = ",;\t|"
_SAID = re.compile(r"sep=(.)(?:\r\n|\r|\n)", re.IGNORECASE)  # Excel's own word for what stands between values
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class TableError(UserError):
    """A table that cannot be read; one line that names the file, the row and the fix."""


@dataclass(frozen=True)
class TextTable:
    """What a CSV holds.

    Attributes:
        columns: their names, each once; one without a name is called ``Unnamed: <place>``.
        rows: as many values each as there are columns.
        numbers: of each row, its place in the file, from 1, which is the head's where nothing stands before it.
    """

    columns: tuple[str, ...]
    rows: list[list[str]]
    numbers: list[int]

    def as_csv(self) -> str:
        r"""The same in the plainest form: commas, ``\\n``, quotes where they are needed."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()


def read_table(path: str | Path) -> TextTable:
    """Read a CSV.

    Raises:
        TableError: no such file, another encoding, no table; see above.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read as a table: {error.strerror}") from error
    return parse_table(content, str(path))


def parse_table(content: bytes, name: str) -> TextTable:
    """Read the bytes of a CSV; `name` is what messages call it.

    Raises:
        TableError: as `read_table`.
    """
    text = _decoded(content, name)
    first, said = 1, _SAID.match(text)
    if said is not None:
        first, text = 2, text[said.end() :]
    records = _records(text, said[1] if said is not None else _separator(text), name)
    while records and not any(records[0]):
        first, records = first + 1, records[1:]
    head, below = (records[0], records[1:]) if records else ([], [])
    numbers = [number for number, fields in enumerate(below, start=first + 1) if any(map(str.strip, fields))]
    rows = _fitting([below[number - first - 1] for number in numbers], numbers, head, name)
    return _named(head, rows, numbers, name)


def lacking(name: str, missing: str, columns: Sequence[str]) -> str:
    """The message for a table without a column that is needed; one column in all means that its separator was not found."""
    text = f"{name} lacks the column {missing}; it has {', '.join(columns) or 'none'}"
    return text if len(columns) > 1 else f"{text}; {HINT}"


def as_path(value: str, root: str | Path) -> str:
    r"""A path of a table as this system writes it: ``HQ\\a.png`` is ``HQ/a.png`` where no file has that very name."""
    return value.replace("\\", "/") if "\\" in value and not (Path(root) / value).is_file() else value


def _decoded(content: bytes, name: str) -> str:
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise TableError(f"{name} cannot be read as a table: {error}; pack it again") from error
    if content[:4] == b"PK\x03\x04":
        raise TableError(f"{name} cannot be read as a table: it is a workbook or another archive; {HINT}")
    encoding = next((kind for mark, kind in _MARKS if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content.partition(b"\n")[0]:
        raise TableError(f"{name} cannot be read as a table: it is UTF-16 without a mark, or no text; {HINT}")
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise TableError(f"{name} cannot be read as a table: row {row} is not {encoding.upper()}; {HINT}") from error


def _separator(text: str) -> str:
    """What stands between the values of the first two rows; a comma where it could be one."""
    lines = [line for line in text[:65_536].splitlines() if line.strip()][:2]
    counts = {one: [_count(line, one) for line in lines] for one in SEPARATORS}
    head, *below = counts[","] or [1]
    if head > 1 and (not below or below[0] >= head):
        return ","
    return max(SEPARATORS, key=lambda one: (counts[one] or [1])[0])  # the first of several


def _count(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator)))
    except csv.Error:
        return 1


def _records(text: str, separator: str, name: str) -> list[list[str]]:
    """Rows of values, as they stand; where the names have blanks around them, all values lose theirs."""
    try:
        found = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
        head = next((fields for fields in found if any(fields)), [])
        if all(field == field.strip() for field in head):
            return found
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
        return [[field.strip() for field in fields] for fields in reader]
    except csv.Error as error:
        raise TableError(f"{name} cannot be read as a table: {error}; {HINT}") from error


def _fitting(rows: list[list[str]], numbers: Sequence[int], head: list[str], name: str) -> list[list[str]]:
    """Rows of as many values as the head has names. What all rows have more than it, and is empty, goes: commas at their ends.

    Raises:
        TableError: a row of another length than most, for its values may stand in wrong columns; the head again.
    """
    usual = Counter(map(len, rows)).most_common(1)[0][0] if rows else len(head)
    usual = usual if usual > len(head) else len(head)
    for number, fields in zip(numbers, rows, strict=True):
        if len(fields) != usual or (usual > len(head) and any(map(str.strip, fields[len(head) :]))):
            others = f"the head {len(head)} names" + (f", the other rows {usual} values" if usual > len(head) else "")
            raise TableError(f"{name}, row {number} has {len(fields)} values and {others}; mend the row, and {HINT}")
        if fields[0] == head[0] and len(head) > 1 and fields[: len(head)] == head:
            raise TableError(f"{name}, row {number} is the head again; remove it")
    return [fields[: len(head)] for fields in rows] if usual > len(head) else rows


def _named(head: list[str], rows: list[list[str]], numbers: list[int], name: str) -> TextTable:
    kept = [place for place, column in enumerate(head) if column or any(row[place].strip() for row in rows)]
    if len(kept) < len(head):
        rows = [[row[place] for place in kept] for row in rows]
    if not kept:
        raise TableError(f"{name} cannot be read as a table: it is empty; {HINT}")
    columns = tuple(head[place] or f"Unnamed: {place}" for place in kept)
    twice = [column for place, column in enumerate(columns) if column in columns[:place]]
    if twice:
        raise TableError(f"{name} has the column {twice[0]} twice; rename or remove one of them")
    return TextTable(columns, rows, numbers)
