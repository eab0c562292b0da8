#!/usr/bin/env python3
"""Makes a list of keyed hashes for check_query (words) or check_url (hosts). Prints counts, never an entry.

    # The list that ships, from LDNOOBW ("List of Dirty, Naughty, Obscene and Otherwise Bad Words", Shutterstock,
    # CC BY 4.0): FOLDER holds a file a language, LANG.json (an array) or LANG (lines).
    python deterrence/tools/make_lookup_list.py words FOLDER --id query_words --version 1 \\
        --source "LDNOOBW=CC-BY-4.0" --allow deterrence/tools/health_words.json \\
        --out sdk/safelight/policy/query_words.list

    # An operator's list of hosts, one a line, signed.
    python deterrence/tools/make_lookup_list.py hosts hosts.txt --id our_hosts --version 7 --sign operator.key --out …

Needs Safelight to be importable; hosts need the extra [site] and the package publicsuffixlist, words the package
wordfreq. An entry that would cover a public suffix ("co.uk"), a way to help, a word of health education or an
ordinary word of another language is left out and counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safelight.lookup.hosts import help_hosts, host_of, is_address
from safelight.lookup.table import KEY_BYTES, build_list, sign_list
from safelight.lookup.words import builtin_help_phrases, normal_words
from safelight.notices import load_builtin
from safelight.signing import OperatorSecret


def read_words(folder: Path) -> Iterator[tuple[str, str]]:
    """``(language, entry)`` of every file that is named by a language."""
    for path in sorted(folder.iterdir()):
        language = path.name.removesuffix(".json")
        if not path.is_file() or not language.replace("-", "").isalnum() or len(language.split("-")[0]) > 3:
            continue
        text = path.read_text(encoding="utf-8")
        for entry in json.loads(text) if path.suffix == ".json" else text.splitlines():
            if isinstance(entry, str):
                yield language, entry


COMMON_ZIPF = 3.5  # three times in a million words; see wordfreq
_UNSPACED = frozenset({"zh", "ja", "ko"})  # wordfreq needs dictionaries of their own for these


def _ordinary_elsewhere(entry: str, words: tuple[str, ...], language: str) -> bool:
    """Whether one word of one language is, as lists hold it, an ordinary word of another.

    A query does not say its language, and accents are taken off: an entry would stand in the way of that word.
    """
    from wordfreq import available_languages, zipf_frequency

    if len(words) != 1:
        return False
    own = language.split("-")[0]
    bare = words[0] != entry.strip().casefold()
    return any(
        zipf_frequency(words[0], other) >= COMMON_ZIPF
        for other in available_languages()
        if (other != own or bare) and other not in _UNSPACED
    )


def make_words(folder: Path, allow: Path | None) -> tuple[set[str], list[str], int]:
    """Normalised entries, their languages, and how many were left out."""
    allowed = {" ".join(phrase) for phrase in builtin_help_phrases().phrases}
    if allow is not None:
        terms = json.loads(allow.read_text(encoding="utf-8"))["terms"]
        allowed |= {" ".join(normal_words(term)) for texts in terms.values() for term in texts}
    entries, languages, left_out = set(), set(), 0
    for language, entry in read_words(folder):
        words = normal_words(entry)
        # One letter, or nothing but a symbol: it would match half of everything.
        if not words or len("".join(words)) < 2 or len(words) > 8 or " ".join(words) in allowed:
            left_out += 1
            continue
        if language.split("-")[0] != "en" and _ordinary_elsewhere(entry, words, language):
            left_out += 1
            continue
        entries.add(" ".join(words))
        languages.add(language)
    return entries, sorted(languages), left_out


def make_hosts(file: Path) -> tuple[set[str], int]:
    """Hosts in ASCII, and how many lines were left out."""
    from publicsuffixlist import PublicSuffixList

    suffixes = PublicSuffixList()
    never = help_hosts(load_builtin().directory)
    entries, left_out = set(), 0
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        host = host_of(text)
        if host is None or _too_much(host, suffixes, never):
            left_out += 1
        else:
            entries.add(host)
    return entries, left_out


def _too_much(host: str, suffixes: Any, never: frozenset[str]) -> bool:
    """Whether an entry would cover a public suffix or a way to help."""
    if is_address(host):
        return False
    return suffixes.privatesuffix(host) is None or any(f".{helper}".endswith(f".{host}") for helper in never)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Makes a list of keyed hashes of words or hosts.")
    parser.add_argument("kind", choices=("words", "hosts"))
    parser.add_argument("source_path", type=Path, help="a folder of files by language (words), or a file (hosts)")
    parser.add_argument("--id", required=True, dest="list_id")
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--source", action="append", default=[], help="NAME=LICENCE; may be repeated")
    parser.add_argument("--allow", type=Path, help="words: a file of terms that stay off the list")
    parser.add_argument("--sign", type=Path, help="an operator's key file without passphrase")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    languages: list[str] = []
    if args.kind == "words":
        entries, languages, left_out = make_words(args.source_path, args.allow)
    else:
        entries, left_out = make_hosts(args.source_path)
    data = build_list(
        entries,
        list_id=args.list_id,
        version=args.version,
        kind=args.kind,
        # Public and derived, so that the same sources make the same file again.
        key=hashlib.sha256(f"safelight lookup list {args.list_id}".encode()).digest()[:KEY_BYTES],
        languages=languages,
        sources=[(name, licence) for name, _, licence in (source.partition("=") for source in args.source)],
    )
    if args.sign is not None:
        data = sign_list(data, OperatorSecret.load(args.sign))
    args.out.write_bytes(data)
    print(
        f"{len(entries)} entries, {left_out} left out, {len(languages)} languages, {len(data)} bytes", file=sys.stderr
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
