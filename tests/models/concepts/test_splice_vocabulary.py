"""Lists of words: what is read, and what is refused with its line and the fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from models.concepts import read_vocabulary
from models.concepts.vocabulary import HERE
from semfid.errors import UserError


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


class TestEmbedded:
    def test_english(self) -> None:
        words = read_vocabulary("english")
        assert len(words.words) == len(set(words.words)) == 10_000 and words.repeated == 0
        assert {"dog", "kitchen", "bicycle", "tree"} <= words.nouns < set(words.words)
        assert not {"the", "their", "it", "and", "with"} & set(words.words)
        assert "white" in words.words and "white" not in words.nouns

    def test_frequent_words_come_last(self) -> None:
        few = read_vocabulary("english", 100)
        assert few.words == read_vocabulary("english").words[-100:] and "people" in few.words

    def test_it_says_where_it_is_from(self) -> None:
        terms = (HERE / "vocabularies" / "LICENCES.txt").read_text()
        assert all(word in terms for word in ("symspellpy", "lemminflect", "SCOWL", "MIT", "Google Books Ngram"))


class TestFiles:
    def test_size_takes_the_last(self, tmp_path: Path) -> None:
        file = write(tmp_path / "w.txt", "rare\nseldom\n\ncommon\n")
        assert read_vocabulary(file).words == ("rare", "seldom", "common")
        assert read_vocabulary(file, 2).words == ("seldom", "common")
        for size in (0, 1, 4):
            with pytest.raises(UserError, match=f"size={size} must be 2 to 3"):
                read_vocabulary(file, size)

    def test_repeated_words_count_once_where_they_are_frequent(self, tmp_path: Path) -> None:
        found = read_vocabulary(write(tmp_path / "w.txt", "a b\ncat\na  b \ndog\ncat\n"))
        assert found.words == ("a b", "dog", "cat") and found.repeated == 2

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    def test_encodings_that_say_what_they_are(self, tmp_path: Path, encoding: str) -> None:
        assert read_vocabulary(write(tmp_path / "w.txt", "café\nnaïve\r\n", encoding)).words == ("café", "naïve")

    def test_one_form_of_each_letter(self, tmp_path: Path) -> None:
        assert read_vocabulary(write(tmp_path / "w.txt", "cafe\u0301\ncaf\u00e9\ntea\n")).words == ("caf\u00e9", "tea")

    def test_latin_1_is_refused_until_it_is_named(self, tmp_path: Path) -> None:
        file = write(tmp_path / "w.txt", "tea\ncafé\n", "latin-1")
        with pytest.raises(
            UserError, match=r"w\.txt, line 2 is not UTF-8; give the file's encoding \(encoding=latin-1\)"
        ):
            read_vocabulary(file)
        assert read_vocabulary(file, encoding="latin-1").words == ("tea", "café")
        with pytest.raises(UserError, match="no encoding 'latin-none'"):
            read_vocabulary(file, encoding="latin-none")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"t\0e\0a\0\n\0c\0a\0t\0\n\0", "line 1 holds zero bytes; if the file is UTF-16, give encoding=utf-16-le"),
            (b"tea\nc\x07at\n", r"line 2: 'c\?at' holds the character U\+0007, which no word has; remove it"),
            ("tea\nc\u200bat\n".encode(), r"line 2: 'c\?at' holds the character U\+200B"),
            ("tea\ncaf\ufffd\n".encode(), "line 2: .* was damaged by a wrong encoding"),
            (b"tea\tnoun\ncat\tverb\n", "line 2: after the tab stands 'verb'; write noun or nothing"),
            (b"tea\n" + b"x" * 201, "line 2: a word or phrase has 1 to 200 characters"),
            (b"# only a remark\n\ntea\n", "has 1 words; give at least 2"),
            (b"", "has 0 words"),
        ],
    )
    def test_what_is_no_list_of_words(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "w.txt").write_bytes(content)
        with pytest.raises(UserError, match=message):
            read_vocabulary(tmp_path / "w.txt")

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(UserError, match="no file englsh; did you mean 'english'"):
            read_vocabulary("englsh")

    def test_a_file_that_changed_is_read_again(self, tmp_path: Path) -> None:
        import os

        file = write(tmp_path / "w.txt", "tea\ncat\n")
        before = read_vocabulary(file)
        write(file, "tea\ndog\n")
        os.utime(file, ns=(1, 1))
        assert read_vocabulary(file).words == ("tea", "dog") and read_vocabulary(file).digest != before.digest

    def test_json(self, tmp_path: Path) -> None:
        assert read_vocabulary(write(tmp_path / "w.json", json.dumps(["tea", "cat"]))).words == ("tea", "cat")
        for text in ('{"tea": 1}', "[1, 2]", "tea"):
            with pytest.raises(UserError, match=r"JSON"):
                read_vocabulary(write(tmp_path / "v.json", text))

    def test_nouns(self, tmp_path: Path) -> None:
        marked = read_vocabulary(write(tmp_path / "m.txt", "zyx\tnoun\nred\nwvu\tnoun\n")).only_nouns()
        assert marked.words == ("zyx", "wvu")
        plain = read_vocabulary(write(tmp_path / "p.txt", "their\ndog\nwhite\nkitchen\n")).only_nouns()
        assert plain.words == ("dog", "kitchen")
        with pytest.raises(UserError, match="has 0 nouns; mark them by a tab"):
            read_vocabulary(write(tmp_path / "n.txt", "qqq\nwww\n")).only_nouns()

    def test_the_published_lists(self, test_data: Callable[[str], Path]) -> None:
        folder = test_data("splice")
        laion, coco = read_vocabulary(folder / "laion.txt"), read_vocabulary(folder / "mscoco.txt")
        assert (len(laion.words), len(coco.words)) == (37_445, 12_832) and laion.repeated == 0
        assert laion.words[0] == "uncondition" and {"#", "-", "the"} <= set(laion.last(10_000).words)
