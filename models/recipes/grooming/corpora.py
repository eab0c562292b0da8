"""Benign conversations by people, read from a folder that the caller names; none of them is part of the repository.

Each file: ``<name>.jsonl.gz``, one conversation a line, ``{"lang": BCP 47, "turns": [[speaker, text], …]}``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Use = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Where a corpus comes from and what it is used for."""

    name: str
    origin: str
    licence: str
    held_out: bool  # never trained on, tuned on or looked at while building


CORPORA: Final = (
    Corpus("dstc8-sgd", "google-research-datasets/dstc8-schema-guided-dialogue", "CC BY-SA 4.0", held_out=False),
    Corpus("topical-chat", "alexa/Topical-Chat (validation and test)", "CDLA-Sharing-1.0", held_out=False),
    Corpus("irc-disentanglement", "jkkummerfeld/irc-disentanglement", "CC BY 4.0", held_out=False),
    Corpus("xpersona", "HLTCHKUST/Xpersona (en fr id it ja ko zh)", "MIT", held_out=False),
    Corpus("taskmaster-tm4", "google-research-datasets/Taskmaster (TM-4)", "CC BY 4.0", held_out=True),
    Corpus("mathdial-test", "eth-nlped/mathdial (test)", "CC BY-SA 4.0", held_out=True),
    Corpus("bridge-tutoring", "rosewang2008/bridge", "MIT", held_out=True),
)


@dataclass(frozen=True, slots=True)
class Chat:
    """One benign conversation.

    Attributes:
        corpus: its corpus's name.
        lang: as the corpus says.
        use: ``train``, ``dev`` (thresholds) or ``test``, by the digest of its text: the same in every run.
        turns: ``(speaker, text)``.
    """

    corpus: str
    lang: str
    use: Use
    turns: tuple[tuple[str, str], ...]


def read(folder: Path) -> tuple[list[Chat], dict[str, str]]:
    """All conversations, and the sha256 of every file.

    Raises:
        SystemExit: a corpus is missing.
    """
    chats: list[Chat] = []
    digests: dict[str, str] = {}
    for corpus in CORPORA:
        path = folder / f"{corpus.name}.jsonl.gz"
        if not path.is_file():
            raise SystemExit(f"{path.name} is missing: expected the conversations of {corpus.origin}.")
        data = path.read_bytes()
        digests[corpus.name] = hashlib.sha256(data).hexdigest()
        for line in gzip.decompress(data).decode("utf-8").splitlines():
            row = json.loads(line)
            turns = tuple((str(speaker), str(text)) for speaker, text in row["turns"])
            chats.append(Chat(corpus.name, row["lang"], "test" if corpus.held_out else _use(turns), turns))
    return chats, digests


def _use(turns: tuple[tuple[str, str], ...]) -> Use:
    digest = hashlib.sha256("\n".join(text for _, text in turns).encode()).digest()[0]
    return "test" if digest < 51 else "dev" if digest < 102 else "train"  # a fifth each, and the rest
