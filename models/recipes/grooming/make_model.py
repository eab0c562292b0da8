"""Train the grooming text model, choose its thresholds on writers it has not seen, and write the model folder.

    python -m grooming.make_model folds --chats CHATS --work WORK --seed 0     one net a writer left out (minutes each)
    python -m grooming.make_model final --chats CHATS --work WORK --seed 0 --out ../grooming_v3

``folds`` trains as many nets as there are writers, each without one of them, and keeps what each says of the lines of
the writer it has not seen: thresholds and calibration come from these. ``final`` trains on everybody's lines and
on the training part of the corpora. Neither opens the corpora that are held out.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safelight import _text
from sklearn.isotonic import IsotonicRegression

from grooming import corpora, examples, net, phrasings

COPIES: Final = 5
PER_CORPUS: Final = 20_000
EPOCHS: Final = 6
CHATS: Final = 5_000  # of each kind: with cues, near negatives, corpora
MESSAGES: Final = 24
RISK_EPOCHS: Final = 4
# Up to this share of a message's features is hidden from the line net while conversations are trained: it is sure of
# lines that it has seen, and would teach the risk to wait for a certainty that it never has about a stranger's words.
MOST_HIDDEN: Final = 0.95
LABELS: Final = (*phrasings.STAGES, "sexualised")
_GAPS_S: Final = (None, None, 5.0, 30.0, 90.0, 600.0, 7200.0, 90000.0)

Floats = npt.NDArray[np.float32]


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("folds", "final"))
    parser.add_argument("--chats", type=Path, required=True, help="folder of benign conversations")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="model folder to write (final)")
    parser.add_argument("--only", help="folds: this writer only")
    parser.add_argument("--without", default="", help="final: leave these writers out, to measure on them")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    book = phrasings.read()
    chats, digests = corpora.read(options.chats)
    if options.step == "folds":
        for writer in sorted({phrasing.writer for phrasing in book.phrasings}):
            if options.only in (None, writer):
                fold(book, chats, writer, options.work, seed=options.seed)
    else:
        if options.out is None:
            parser.error("final needs --out.")
        without = tuple(writer for writer in options.without.split(",") if writer)
        final(book, chats, digests, options.work, options.out, without=without, seed=options.seed)


# --- lines ------------------------------------------------------------------------------------------------------


def train(book: phrasings.Book, chats: Sequence[corpora.Chat], *, without: tuple[str, ...], seed: int) -> Any:
    """The line net of all writers but those in ``without``."""
    rng = random.Random(seed)
    lines = examples.written_lines(book, rng, without=without, copies=COPIES)
    lines += examples.corpus_lines(chats, rng, per_corpus=PER_CORPUS)
    senders = ["other" if line.stage >= 0 or rng.random() < 0.7 else "self" for line in lines]
    features = net.encode([line.text for line in lines], senders, [rng.choice(_GAPS_S) for _ in lines])
    stages = np.array([line.stage for line in lines])
    weights = np.array([line.weight for line in lines], np.float32)
    return net.train_lines(features, stages, weights, seed=seed, epochs=EPOCHS)


def fold(book: phrasings.Book, chats: Sequence[corpora.Chat], writer: str, work: Path, *, seed: int) -> None:
    """Train without ``writer`` and keep the scores of the writer's lines, and of the corpora's dev lines."""
    lines = train(book, chats, without=(writer,), seed=seed)
    rng = random.Random(seed + 1)
    unseen = [phrasing for phrasing in book.phrasings if phrasing.writer == writer]
    _, scores = net.scores(lines, net.encode([book.fill(phrasing, rng) for phrasing in unseen]))
    dev = [text for chat in chats if chat.use == "dev" for _, text in chat.turns]
    dev = rng.sample(dev, min(20_000, len(dev)))
    _, dev_scores = net.scores(lines, net.encode(dev))
    np.savez_compressed(
        work / f"fold_{writer}.npz",
        lang=np.array([phrasing.lang for phrasing in unseen]),
        section=np.array([phrasing.section for phrasing in unseen]),
        scores=scores,
        dev=dev_scores,
    )
    print(f"without {writer}: {summary(work / f'fold_{writer}.npz')}", flush=True)


def summary(path: Path, threshold: float = 0.3) -> str:
    """Recall by language and alarms on near negatives, at one threshold of the raw score."""
    data = np.load(path)
    lang, section, scores = data["lang"], data["section"], data["scores"][:, :-1]
    recall = {}
    for name in sorted(set(lang)):
        hits = [
            scores[i, phrasings.STAGES.index(section[i][6:])] >= threshold
            for i in np.nonzero((lang == name) & np.char.startswith(section, "stage:"))[0]
        ]
        if hits:
            recall[str(name)] = round(float(np.mean(hits)), 3)
    near = np.char.startswith(section, "neg:")
    return (
        f"recall {recall}, near negatives {float((scores[near].max(1) >= threshold).mean()):.3f}, "
        f"corpora {float((data['dev'][:, :-1].max(1) >= threshold).mean()):.4f}"
    )


# --- thresholds and calibration ---------------------------------------------------------------------------------


def calibrations(work: Path, *, without: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """By language: raw score → share of unseen writers' lines with that score that are of that stage.

    The folds of the writers in ``without`` are left out too: a model that is measured on them must not know them.
    """
    lang, section, scores = _unseen(work, without)
    groups = {"default": np.ones(len(lang), bool)}
    groups |= {name: lang == name for name in phrasings.FIRST_WAVE}
    found = {}
    for name, chosen in groups.items():
        raw, right = [], []
        for index, stage in enumerate(phrasings.STAGES):
            raw.append(scores[chosen, index])
            right.append(section[chosen] == f"stage:{stage}")
        raw_all, right_all = np.concatenate(raw), np.concatenate(right).astype(float)
        # Ten stages share one map: nine in ten of these pairs are "another stage", which would push every score down.
        weight = np.where(right_all > 0, len(phrasings.STAGES) - 1.0, 1.0)
        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
            raw_all, right_all, sample_weight=weight
        )
        points = np.array([0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0])
        mapped = np.maximum.accumulate(curve.predict(points))
        mapped[0], mapped[-1] = 0.0, 1.0
        found[name] = {
            "kind": "monotone",
            "raw": [round(float(x), 4) for x in points],
            "calibrated": [round(float(x), 4) for x in mapped],
            "note": "Share of lines by writers not trained on that are of the stage, each stage against the other nine "
            "and harmless lines in equal weight; not the probability that a real conversation is dangerous.",
        }
    return found


def _unseen(work: Path, without: Sequence[str]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Floats]:
    left_out = {f"fold_{writer}" for writer in without}
    folds = [np.load(path) for path in sorted(work.glob("fold_*.npz")) if path.stem not in left_out]
    if not folds:
        sys.exit("no folds in WORK: run `folds` first.")
    return tuple(np.concatenate([fold[name] for fold in folds]) for name in ("lang", "section", "scores"))  # type: ignore[return-value]


# --- conversations ----------------------------------------------------------------------------------------------


def train_risk(
    book: phrasings.Book, chats: Sequence[corpora.Chat], lines: Any, *, without: tuple[str, ...], seed: int
) -> Any:
    """The recurrent step, on conversations made of finished lines."""
    rng = random.Random(seed + 2)
    pools = {key: pool for key, pool in examples.pools_of(book, without=without).items() if "stage:threat" in pool}
    made = [examples.grooming_chat(book, pools, rng, cues=rng.randint(1, 8), length=MESSAGES) for _ in range(CHATS)] + [
        examples.harmless_chat(book, pools, rng, length=MESSAGES) for _ in range(CHATS)
    ]
    training = [chat for chat in chats if chat.use == "train" and len(chat.turns) > 2]
    for chat in rng.sample(training, min(CHATS, len(training))):
        start = rng.randrange(max(1, len(chat.turns) - MESSAGES))
        speaker = chat.turns[start][0]
        made.append(
            [
                examples.Message("other" if who == speaker else "self", examples.Line(text, -1, 1.0))
                for who, text in chat.turns[start : start + MESSAGES]
            ]
        )
    flat = [message for chat in made for message in chat]
    features = net.encode(
        [message.line.text for message in flat],
        [message.sender for message in flat],
        [rng.choice(_GAPS_S) for _ in flat],
    )
    hidden, stages = net.scores(lines, _less_certain(features, np.random.default_rng(seed + 3)))
    read = net.recurrent_input(hidden, stages, features.dense)
    rows = np.zeros((len(made), MESSAGES, read.shape[1]), np.float32)
    wanted = np.full((len(made), MESSAGES), -1.0, np.float32)
    at = 0
    for index, chat in enumerate(made):
        rows[index, : len(chat)] = read[at : at + len(chat)]
        wanted[index, : len(chat)] = examples.warn_from(chat)
        at += len(chat)
    return net.train_risk(rows, wanted, seed=seed, epochs=RISK_EPOCHS)


def _less_certain(features: net.Features, rng: np.random.Generator) -> net.Features:
    share = rng.uniform(0.0, MOST_HIDDEN, size=(len(features.ids), 1))
    ids = np.where(rng.random(features.ids.shape) < share, 0, features.ids).astype(np.int32)
    return net.Features(ids, features.dense, features.languages)


# --- the folder -------------------------------------------------------------------------------------------------

#: Chosen with ``python -m grooming.measure --numbers`` on unseen writers and the corpora's dev part; see MODEL_CARD.md.
NUMBERS: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "numbers.json").read_text(encoding="utf-8"))


def final(
    book: phrasings.Book,
    chats: Sequence[corpora.Chat],
    digests: dict[str, str],
    work: Path,
    out: Path,
    *,
    without: tuple[str, ...],
    seed: int,
) -> None:
    """Train on everybody (or all but ``without``), convert, and write ``model.tflite`` and ``config.json``."""
    if (out / "model.tflite").exists():
        sys.exit(f"{out.name} is there already: a released folder is never overwritten; name another --out.")
    lines = train(book, chats, without=without, seed=seed)
    risk = train_risk(book, chats, lines, without=without, seed=seed)
    content = net.to_tflite(lines, risk)
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.tflite").write_bytes(content)
    tensor = {"dtype": "float32", "scale": 1.0, "zero_point": 0}
    config = {
        "schema": 1,
        "task": "grooming",
        "id": out.name,
        "tiers": ["live", "full"],
        "file": "model.tflite",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": {
            "weights": "Apache-2.0",
            "origin": "trained from nothing by the Safelight authors (models/recipes/grooming)",
            "notice": "Copyright the Safelight authors. Benign conversations used in training are named in the card.",
        },
        "source": {
            "package": "safelight",
            "version": "phrasings of writers " + " ".join(sorted({p.writer for p in book.phrasings} - set(without))),
            "registry": "this repository",
            "file": "models/recipes/grooming/phrasings",
            "sha256": _digest(book),
        },
        "input": {**tensor, "shape": [1, _text.MAX_IDS], "dtype": "int32"},
        "dense": {**tensor, "shape": [1, _text.DENSE]},
        "state": {**tensor, "shape": [1, net.STATE]},
        "stages": {**tensor, "shape": [1, net.OUTPUTS]},
        "risk": {**tensor, "shape": [1, 1]},
        "next_state": {**tensor, "shape": [1, net.STATE]},
        "labels": list(LABELS),
        "features": {"version": _text.FEATURE_VERSION, "data_sha256": _text.DATA_SHA256},
        "thresholds": NUMBERS["thresholds"],
        "conversation": NUMBERS["conversation"],
        "calibration": calibrations(work, without=without),
    }
    (out / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    made_with = {name: importlib.metadata.version(name) for name in ("tensorflow-cpu", "numpy", "scikit-learn")}
    record = {"seed": seed, "corpora_sha256": digests, "made_with": made_with, "phrasings": len(book.phrasings)}
    (work / "conversion.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{out.name}: {len(content)} bytes, sha256 {config['sha256']}")


def _digest(book: phrasings.Book) -> str:
    """Of every phrasing and filler, in order."""
    whole = hashlib.sha256()
    for phrasing in book.phrasings:
        whole.update(f"{phrasing.family}\t{phrasing.text}\n".encode())
    for key, fillers in sorted(book.fillers.items()):
        whole.update(f"{key}\t{fillers}\n".encode())
    return whole.hexdigest()


if __name__ == "__main__":
    main()
