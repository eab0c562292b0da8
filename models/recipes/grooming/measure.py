"""Measure a grooming model folder with the product's own conversation rules.

    python -m grooming.measure --model WORK/without_b --unseen b --chats CHATS --work WORK --runtime ai-edge-litert

``--unseen`` names the writers that the model was not trained on: lines and conversations are made of theirs alone. The
corpora that are held out, and the test part of the others, are run whole. Prints one JSON object and keeps it in WORK.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from common.proportion import clopper_pearson
from common.runtimes import RUNTIMES, versions
from safelight import _text
from safelight.decision import Label
from safelight.detect.conversation import STAGES, ConversationRules, ConversationTracker, StageScores, with_thresholds
from safelight.runtime.adapter import interpreter_class
from safelight.runtime.manifest import Calibration

from grooming import corpora, examples, phrasings

LEVEL: Final = {Label.CALM: 0, Label.WATCH: 1, Label.WARN: 2, Label.DANGER: 3}
CUES: Final = (2, 3, 4, 6, 8)
CHATS_EACH: Final = 200
LENGTH: Final = 24


class FolderScorer:
    """A :class:`~safelight.detect.conversation.StageScorer` of a model folder that is not built in."""

    def __init__(self, folder: Path, runtime: str, numbers: dict[str, Any] | None = None) -> None:
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if (self.config["features"]["version"], self.config["features"]["data_sha256"]) != (
            _text.FEATURE_VERSION,
            _text.DATA_SHA256,
        ):
            raise SystemExit("the model was trained on other text features than this build's; train it again.")
        numbers = numbers if numbers is not None else self.config
        self.rules = with_thresholds(ConversationRules(**numbers["conversation"]), numbers["thresholds"])
        self._interpreter = interpreter_class(runtime)(model_path=str(folder / "model.tflite"), num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = {tuple(d["shape"]): d["index"] for d in self._interpreter.get_input_details()}
        self._outputs = {tuple(d["shape"]): d["index"] for d in self._interpreter.get_output_details()}
        self._calibration = {
            language: Calibration(
                kind="monotone", raw=tuple(c["raw"]), calibrated=tuple(c["calibrated"]), note=c["note"]
            )
            for language, c in self.config["calibration"].items()
        }

    id = "grooming"
    state_shape = (1, 64)

    def raw(self, ids: Any, dense: Any, state: Any) -> tuple[Any, float, Any]:
        """Stages, risk and state as the file gives them."""
        for array in (ids, dense, state):
            self._interpreter.set_tensor(self._inputs[array.shape], array)
        self._interpreter.invoke()
        read = {shape: self._interpreter.get_tensor(index).copy() for shape, index in self._outputs.items()}
        return read[1, len(STAGES)][0], float(read[1, 1][0, 0]), read[1, 64]

    def score(self, ids: Any, dense: Any, state: Any, *, language: str) -> StageScores:
        """As the product's detector does."""
        stages, risk, following = self.raw(ids, dense, state)
        curve = self._calibration.get(language) or self._calibration["default"]
        return StageScores(np.array([curve.apply(float(s)) for s in stages], np.float32), risk, following)


def run(scorer: FolderScorer, turns: Iterable[tuple[str, str]]) -> tuple[int, int | None, list[set[str]]]:
    """Highest level of a conversation, after how many messages it first warned, and the stages of every message."""
    tracker = ConversationTracker(scorer, rules=scorer.rules)
    highest, warned_at, stages = 0, None, []
    for count, (sender, text) in enumerate(turns, start=1):
        findings = tracker.add(sender=sender, text=text)
        level = LEVEL.get(findings[0].label, 0)
        highest = max(highest, level)
        if warned_at is None and level >= LEVEL[Label.WARN]:
            warned_at = count
        stages.append({f.label.value for f in findings[1:] if f.label is not None and f.label is not Label.NONE})
    return highest, warned_at, stages


def share(hits: int, total: int) -> dict[str, Any]:
    """A share with its 95 % interval (Clopper-Pearson)."""
    if not total:
        return {"hits": 0, "of": 0}
    low, high = clopper_pearson(hits, total)
    return {"hits": hits, "of": total, "share": round(hits / total, 4), "interval_95": [round(low, 4), round(high, 4)]}


# --- what is measured ---------------------------------------------------------------------------------------------


def lines(scorer: FolderScorer, book: phrasings.Book, unseen: Sequence[str], disguise: Any = None) -> dict[str, Any]:
    """Every line of the unseen writers as a conversation of its own."""
    rng = random.Random(11)
    recall: dict[str, Counter[str]] = defaultdict(Counter)
    stage_recall: dict[str, Counter[str]] = defaultdict(Counter)
    near: dict[str, Counter[str]] = defaultdict(Counter)
    for phrasing in book.phrasings:
        if phrasing.writer not in unseen or (disguise is not None and phrasing.stage is None):
            continue
        text = book.fill(phrasing, rng)
        sent = disguise(text, rng) if disguise is not None else text
        level, _, found = run(scorer, [("other", part) for part in (sent if isinstance(sent, list) else [sent])])
        named = set().union(*found)
        if phrasing.stage is not None:
            for group, key in ((recall, phrasing.lang), (recall, "all"), (stage_recall, phrasing.stage)):
                group[key]["of"] += 1
                group[key]["hit"] += phrasing.stage in named
                group[key]["any"] += bool(named - {"sexualised"})
        elif phrasing.section.startswith("neg:"):
            for key in (phrasing.section.removeprefix("neg:"), "all"):
                near[key]["of"] += 1
                near[key]["stage"] += bool(named - {"sexualised"})
                near[key]["warned"] += level >= LEVEL[Label.WARN]
    return {
        "recall": {key: share(c["hit"], c["of"]) | {"any_stage": c["any"]} for key, c in sorted(recall.items())},
        "recall_by_stage": {key: share(c["hit"], c["of"]) for key, c in sorted(stage_recall.items())},
        "near_negatives": {key: share(c["stage"], c["of"]) | {"warned": c["warned"]} for key, c in near.items()},
    }


def conversations(scorer: FolderScorer, book: phrasings.Book, unseen: Sequence[str]) -> dict[str, Any]:
    """Conversations of the unseen writers: with cues, and of near negatives."""
    pools = examples.pools_of(book, only=unseen)
    complete = {key: pool for key, pool in pools.items() if "stage:threat" in pool}
    rng = random.Random(12)
    found: dict[str, Any] = {}
    for cues in CUES:
        hits, wanted, blocked, cues_before = 0, 0, 0, []
        while wanted < CHATS_EACH:
            chat = examples.grooming_chat(book, complete, rng, cues=cues, length=LENGTH)
            if not examples.warn_from(chat)[-1]:
                continue
            wanted += 1
            level, at, _ = run(scorer, [(message.sender, message.line.text) for message in chat])
            hits += level >= LEVEL[Label.WARN]
            blocked += level >= LEVEL[Label.DANGER]
            if at is not None:
                cues_before.append(sum(message.line.stage >= 0 for message in chat[:at]))
        found[f"{cues}_cues"] = share(hits, wanted) | {
            "danger": blocked,
            "median_cues_before_warning": statistics.median(cues_before) if cues_before else None,
        }
    warned = danger = 0
    for _ in range(2 * CHATS_EACH):
        chat = examples.harmless_chat(book, pools, rng, length=LENGTH)
        level, _, _ = run(scorer, [(message.sender, message.line.text) for message in chat])
        warned += level >= LEVEL[Label.WARN]
        danger += level >= LEVEL[Label.DANGER]
    found["near_negative_chats"] = share(warned, 2 * CHATS_EACH) | {"danger": danger}
    return found


def benign(scorer: FolderScorer, chats: Sequence[corpora.Chat], use: str, limit: int) -> dict[str, Any]:
    """False alarms on people's conversations: every speaker in turn is the stranger."""
    found: dict[str, Any] = {}
    total = Counter[str]()
    for corpus in corpora.CORPORA:
        chosen = [chat for chat in chats if chat.corpus == corpus.name and chat.use == use][:limit]
        count = Counter[str]()
        for chat in chosen:
            speaker = chat.turns[0][0]
            level, _, stages = run(scorer, [("other" if who == speaker else "self", text) for who, text in chat.turns])
            count["of"] += 1
            count["warned"] += level >= LEVEL[Label.WARN]
            count["danger"] += level >= LEVEL[Label.DANGER]
            count["watch"] += level >= LEVEL[Label.WATCH]
            count["messages"] += len(stages)
            count["stage_messages"] += sum(bool(named - {"sexualised"}) for named in stages)
        if chosen:
            found[corpus.name] = share(count["warned"], count["of"]) | {
                "held_out": corpus.held_out, "danger": count["danger"], "watch": count["watch"],
                "messages": count["messages"], "stage_messages": count["stage_messages"],
            }  # fmt: skip
            total += count
    found["pooled"] = share(total["warned"], total["of"]) | {"danger": total["danger"]}
    return found


def runtimes_agree(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Largest difference between the runtimes over a conversation of ``texts``."""
    outputs = []
    for runtime in RUNTIMES:
        scorer = FolderScorer(folder, runtime)
        state, rows = np.zeros((1, 64), np.float32), []
        for text in texts:
            features = _text.features(text)
            stages, risk, state = scorer.raw(features.ids[None], features.dense[None], state)
            rows.append(np.concatenate([stages, [risk], state[0]]))
        outputs.append(np.array(rows))
    return {"messages": len(texts), "largest_difference": float(np.abs(outputs[0] - outputs[1]).max())}


def latency(scorer: FolderScorer, texts: Sequence[str]) -> dict[str, float]:
    """Microseconds a message, features and model, one thread."""
    state = np.zeros((1, 64), np.float32)
    both, model = [], []
    for text in texts:
        started = time.perf_counter()
        features = _text.features(text)
        ids, dense = features.ids[None], features.dense[None]
        between = time.perf_counter()
        _, _, state = scorer.raw(ids, dense, state)
        ended = time.perf_counter()
        both.append((ended - started) * 1e6)
        model.append((ended - between) * 1e6)
    return {"features_and_model_us": round(statistics.median(both), 1), "model_us": round(statistics.median(model), 1)}


def evasions() -> dict[str, Any]:
    """The disguises of tests/evasion, by name."""
    path = Path(__file__).parents[3] / "tests" / "evasion" / "text_evasion.py"
    spec = importlib.util.spec_from_file_location("text_evasion", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.FAMILIES)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--unseen", default="", help="writers, e.g. b or b,e")
    parser.add_argument("--chats", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0])
    parser.add_argument("--numbers", type=Path, help="thresholds to try instead of the model's own")
    parser.add_argument("--use", choices=("dev", "test"), default="test")
    parser.add_argument("--limit", type=int, default=10_000, help="conversations a corpus")
    parser.add_argument("--quick", action="store_true", help="no evasions, no runtimes, no latency")
    options = parser.parse_args()
    numbers = json.loads(options.numbers.read_text(encoding="utf-8")) if options.numbers is not None else None
    scorer = FolderScorer(options.model, options.runtime, numbers)
    book = phrasings.read()
    chats, _ = corpora.read(options.chats)
    unseen = [writer for writer in options.unseen.split(",") if writer]
    found: dict[str, Any] = {"model": options.model.name, "runtime": versions(options.runtime), "unseen": unseen}
    if unseen:
        found["lines"] = lines(scorer, book, unseen)
        found["conversations"] = conversations(scorer, book, unseen)
    found["benign"] = benign(scorer, chats, options.use, options.limit)
    if not options.quick:
        texts = [text for chat in chats if chat.use == "test" for _, text in chat.turns][:2000]
        found["runtimes"] = runtimes_agree(options.model, texts)
        found["latency"] = latency(scorer, texts)
        if unseen:
            found["evasion_recall"] = {
                name: lines(scorer, book, unseen, disguise)["recall"]["all"] for name, disguise in evasions().items()
            }
    name = f"measured_{options.model.name}_{options.runtime}_{options.use}.json"
    (options.work / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
