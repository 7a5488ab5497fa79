"""Lists of words that name concepts.

A file has one word or phrase a line, the rarest first, as SpLiCE's lists do, so that ``size`` k is the LAST k. A tab and
``noun`` after a word mark it as a noun. Lines that begin with "# " are remarks. A ``.json`` file is a list of words.
"""

from __future__ import annotations

import codecs
import functools
import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from semfid.errors import UserError, did_you_mean

HERE = Path(__file__).parent
NAMED = {
    "english": HERE / "vocabularies" / "english.txt",
    "scenes": HERE.parents[1] / "assets" / "towers" / "scenes_vocabulary.txt",  # the words of scenes_tower
}
"""Vocabularies that come with the repository."""
LONGEST = 200  # characters of a word or phrase; more is a file of another kind
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Vocabulary:
    """Distinct words, the rarest first.

    Attributes:
        name: of the list, with its size where one was given.
        words: in Unicode's composed form, without white space around.
        nouns: those of the words that are marked as nouns; empty where the list marks none.
        repeated: words that stood in the list more than once; the last, most frequent place counts.
    """

    name: str
    words: tuple[str, ...]
    nouns: frozenset[str] = frozenset()
    repeated: int = 0

    @property
    def digest(self) -> str:
        """16 hex digits of the words in their order."""
        return hashlib.blake2b("\n".join(self.words).encode(), digest_size=8).hexdigest()

    def last(self, size: int) -> Vocabulary:
        """The `size` most frequent words.

        Raises:
            UserError: less than 2, or more than there are.
        """
        if not 2 <= size <= len(self.words):
            raise UserError(
                f"vocabulary {self.name}: size={size} must be 2 to {len(self.words)}, the number of its words"
            )
        kept = self.words[-size:]
        return replace(self, name=f"{self.name}[{size}]", words=kept, nouns=self.nouns & frozenset(kept))

    def only_nouns(self) -> Vocabulary:
        """Its nouns: by its own marks, or, where it has none, by those of the list ``english``.

        Raises:
            UserError: fewer than 2.
        """
        nouns = self.nouns or read_vocabulary("english").nouns
        kept = tuple(word for word in self.words if word in nouns)
        if len(kept) < 2:
            raise UserError(
                f"vocabulary {self.name} has {len(kept)} nouns; mark them by a tab and 'noun' after the word, or use another "
                "strategy"
            )
        return replace(self, name=f"{self.name} (nouns)", words=kept, nouns=frozenset(kept))


def read_vocabulary(source: str | Path, size: int | None = None, encoding: str | None = None) -> Vocabulary:
    """A vocabulary by name or from a file.

    Args:
        source: a name (english, scenes) or a path.
        size: number of words, the most frequent first; None: all.
        encoding: of the file, such as latin-1; None: UTF-8, or what its byte order mark says.

    Raises:
        UserError: no such name or file, another encoding, characters that no word has, fewer than 2 words; names the line.
    """
    path = NAMED.get(str(source), Path(source))
    status = path.stat() if path.is_file() else None
    if status is None:
        raise UserError(
            f"vocabulary: no file {source}{did_you_mean(str(source), NAMED)}; give a path or one of {', '.join(NAMED)}"
        )
    name = str(source) if str(source) in NAMED else path.name
    found = _read(path, name, encoding, status.st_mtime_ns)
    return found if size is None else found.last(size)


@functools.lru_cache(maxsize=8)
def _read(path: Path, name: str, encoding: str | None, _changed: int) -> Vocabulary:
    text = _decoded(path, encoding)
    lines = _json_words(path, text) if path.suffix == ".json" else text.splitlines()
    words: dict[str, None] = {}
    nouns: set[str] = set()
    repeated = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (line.startswith("# ") and path.suffix != ".json"):
            continue
        word, mark = _word(line, f"vocabulary {path}, line {number}")
        if word in words:
            repeated += 1
            del words[word]  # the later place, among the more frequent, counts
        words[word] = None
        if mark:
            nouns.add(word)
    if len(words) < 2:
        raise UserError(f"vocabulary {path} has {len(words)} words; give at least 2, one a line")
    return Vocabulary(name, tuple(words), frozenset(nouns), repeated)


def _word(line: str, place: str) -> tuple[str, bool]:
    """The word of a line, and whether it is marked as a noun."""
    word, tab, mark = unicodedata.normalize("NFC", line).partition("\t")
    word, mark = " ".join(word.split()), mark.strip()
    if tab and mark not in ("", "noun"):
        raise UserError(f"{place}: after the tab stands '{mark[:40]}'; write noun or nothing there")
    odd = next(
        (character for character in word if unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs")), ""
    )
    if odd:
        shown = word.replace(odd, "?")[:40]
        raise UserError(f"{place}: '{shown}' holds the character U+{ord(odd):04X}, which no word has; remove it")
    if "�" in word:
        raise UserError(f"{place}: '{word[:40]}' was damaged by a wrong encoding; write the file anew as UTF-8")
    if not word or len(word) > LONGEST:
        raise UserError(f"{place}: a word or phrase has 1 to {LONGEST} characters; is this a list of words?")
    return word, mark == "noun"


def _decoded(path: Path, encoding: str | None) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"vocabulary {path} cannot be read: {error.strerror}") from error
    for mark, marked in MARKS:
        if content.startswith(mark):
            content, encoding = content[len(mark) :], marked
            break
    try:
        text = content.decode(encoding or "utf-8")
    except LookupError as error:
        raise UserError(f"vocabulary {path}: no encoding '{encoding}'; write utf-8, latin-1, cp1252, ...") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"vocabulary {path}, line {line} is not {encoding or 'UTF-8'}; give the file's encoding (encoding=latin-1), or write "
            f"it anew: iconv -f latin1 -t utf-8 {path}"
        ) from error
    if "\0" in text:  # UTF-16 without its mark decodes as UTF-8, with a zero beside each letter
        raise UserError(
            f"vocabulary {path}, line {text[: text.index(chr(0))].count(chr(10)) + 1} holds zero bytes; if the file is UTF-16, "
            "give encoding=utf-16-le"
        )
    return text


def _json_words(path: Path, text: str) -> Sequence[str]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"vocabulary {path} is not JSON ({error}); write a list of words") from error
    if not isinstance(content, list) or not all(isinstance(item, str) for item in content):
        raise UserError(f"vocabulary {path} must be a JSON list of words")
    return content
