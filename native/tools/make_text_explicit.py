"""Write native/data/text_v2/explicit.tsv: the sexual word list of the text features, as keyed hashes only.

Source: npm ``naughty-words`` 1.2.0, the List of Dirty, Naughty, Obscene and Otherwise Bad Words by Shutterstock and
contributors (CC BY 4.0; see NOTICE). No word is printed, here or anywhere: the program prints counts.

    npm pack naughty-words@1.2.0
    python native/tools/make_text_explicit.py naughty-words-1.2.0.tgz

The key keeps the words from being read or searched for in the repository and in the built library. It is no secret
against somebody who hashes a dictionary, and need not be: the list is public.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import re
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "data" / "text_v2" / "explicit.tsv"
SOURCE_SHA256 = "c34b05e10a97ec7b9e0c3dd91d09888187c0f08d0812eaea79679795585b217e"
LISTS = ("en", "de", "es", "fr", "it", "pt", "nl", "pl", "tr", "hi", "ar", "ja", "zh")
KEY = hashlib.sha256(b"safelight text_v1 keyed list").digest()[:16]
# Everyday swearing and insults: what people say when they are angry is no sexual message.
SWEARING = """
    shit shitty bullshit bitch bastard asshole arsehole fuck fucking fucker fucked motherfucker idiot damn wtf
    scheisse scheiße arsch arschloch mist verdammt mierda joder puta putain merde connard salope enculé merda cazzo
    stronzo vaffanculo porra caralho kurwa cholera gówno dupa kut klootzak godverdomme lul siktir
"""


def _module(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Read the package, write the hashes, print how many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, help="naughty-words-1.2.0.tgz")
    data = parser.parse_args().package.read_bytes()
    got = hashlib.sha256(data).hexdigest()
    if got != SOURCE_SHA256:
        raise SystemExit(f"got a package of sha256 {got}, expected {SOURCE_SHA256}; fetch the version named above.")
    tables = _module("text_tables", HERE / "text_tables.py")
    siphash = _module("reference_text", HERE.parents[1] / "tests" / "reference" / "text.py").siphash
    characters = tables.Characters()
    benign = set()
    for language in tables.LANGUAGES:
        for kind, _, items in tables.rows(f"lexicon/{language}.tsv"):
            if kind in ("class", "votes"):
                benign |= {tuple(characters.word(item.strip("!*"))) for item in items.split(" ")}
    left_out = benign | {tuple(characters.word(word)) for word in SWEARING.split()}
    hashes: set[int] = set()
    skipped = 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for language in LISTS:
            file = archive.extractfile(f"package/{language}.json")
            assert file is not None
            for entry in json.load(file):
                words = [tuple(characters.word(word)) for word in re.split(r"[\s\-_.,!?/]+", entry) if word.strip("'’")]
                solid = language in ("ja", "zh")
                if solid:
                    words = [tuple(point for word in words for point in word)]
                short = not words or sum(map(len, words)) < (2 if solid else 3) or (solid and len(words[0]) > 6)
                if short or len(words) > 3 or (len(words) == 1 and words[0] in left_out):
                    skipped += 1
                    continue
                hashes.add(siphash(KEY, " ".join("".join(map(chr, word)) for word in words).encode()))
    lines = (HERE / "text_explicit_everyday.txt").read_text(encoding="utf-8").splitlines()
    everyday = {int(line, 16) for line in lines if not line.startswith("#")}
    skipped += len(hashes & everyday)
    hashes -= everyday
    head = [
        "# Keyed hashes (SipHash-2-4) of a sexual word list; see docs/text-features.md. Do not edit.",
        "# Made by native/tools/make_text_explicit.py from naughty-words 1.2.0 (LDNOOBW, CC BY 4.0; see NOTICE),",
        f"# sha256 {SOURCE_SHA256}",
        f"key\t{KEY.hex()}",
    ]
    lines = [f"word\t{value:016x}" for value in sorted(hashes)]
    OUT.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8", newline="\n")
    print(f"{len(hashes)} hashes; {skipped} entries left out (too short, too long, everyday words, or in our lexicon)")


if __name__ == "__main__":
    main()
