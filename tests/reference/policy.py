"""The decision, written to be read: the twin of ``native/src/policy/evaluate.cpp``.

It works on the rules *document* and on words, not on the flat table and numbers, so that a mistake in the
flattening shows as well as one in the evaluation.
"""

from __future__ import annotations

import math
from typing import Any

LADDER = ["ALLOW", "NUDGE", "BLUR", "HOLD", "BLOCK"]
LEVELS = ["none", "suggestive", "explicit"]
SUBJECTS = ["no_face", "adult", "unsure", "minor"]
STAGES = [
    "age_probe", "alone_check", "flattery_bond", "isolation", "secrecy", "gift", "platform_move",
    "photo_request", "meeting", "threat", "sexualised",
]  # fmt: skip
RISKS = ["calm", "watch", "warn", "danger"]
LABELS = {
    "media": [],
    "nudity": LEVELS,
    "age": SUBJECTS,
    "known": ["no_match", "match"],
    "grooming": ["none", *STAGES],
    "conversation": [*RISKS, "help"],
    "query": ["no_match", "match", "help"],
    "site": ["no_match", "match", "help"],
    "consent": ["given", "missing", "expired", "withdrawn"],
    "time": ["allowed", "spent", "outside_window"],
    "settings": [],
}

STATES = [
    "OK", "NO_EVIDENCE", "NO_MODEL", "UNVERIFIED", "DETECTOR_FAILED", "SCORE_INVALID", "DECODE_FAILED",
    "NOT_MEDIA", "NO_DECODER", "TOO_LARGE", "TOO_SMALL", "LOW_QUALITY", "TOO_DARK", "TOO_BLURRED",
    "TIMED_OUT", "OUT_OF_MEMORY", "NO_LIST", "UNKNOWN_LANGUAGE", "TOO_LONG", "MALFORMED", "NO_STORE",
    "STORE_DAMAGED", "STORE_ROLLED_BACK", "STORE_FAILED", "CLOCK_UNCONFIRMED",
]  # fmt: skip
# Among reasons that ask for the same action, the later in this list comes first.
REASON_ORDER = [
    *STATES, "HELP", "TIME_SPENT", "TIME_OUTSIDE_WINDOW", "CONSENT_MISSING", "CONSENT_EXPIRED", "CONSENT_WITHDRAWN",
    "RULE", "QUERY_MATCH", "SITE_MATCH", "GROOMING_STAGE", "CONVERSATION_WATCH", "NUDITY_SUGGESTIVE",
    "CONVERSATION_WARN", "CONVERSATION_DANGER", "NUDITY_EXPLICIT", "SUBJECT_UNSURE", "SUBJECT_MINOR",
    "SUBJECT_MINOR_STRONG", "KNOWN_MATCH",
]  # fmt: skip


def decide(findings: list[Any], band: str, event: str, rules: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the action and the reasons, most severe first."""
    asked: dict[str, str] = {}

    def ask(reason: str, action: str) -> None:
        asked[reason] = max(asked.get(reason, "ALLOW"), action, key=LADDER.index)

    could_not_tell = next(row["action"] for row in rules["could_not_tell"] if band in row["bands"])
    judged = False
    level, subject = "none", None
    explicit_score = minor_score = 0.0
    for finding in findings:
        if finding.kind in ("media", "settings") and finding.state == "OK":
            continue
        state = finding.state
        if state == "OK" and not _valid(finding):
            state = "SCORE_INVALID"
        if finding.kind == "age":
            # A face that could not be judged is "unsure", which is the protective side.
            label = finding.label if state == "OK" else "unsure"
            subject = max(subject or "no_face", label, key=SUBJECTS.index)
            if state == "OK":
                minor_score = max(minor_score, finding.score)
        elif state != "OK":
            judged = True
            ask(state, could_not_tell)
        elif finding.kind == "nudity":
            judged = True
            level = max(level, finding.label, key=LEVELS.index)
            explicit_score = max(explicit_score, finding.score)
        elif finding.kind == "known" and finding.label == "match":
            ask("KNOWN_MATCH", rules["known_match"])
    if not judged:
        ask("NO_EVIDENCE", could_not_tell)
    subject = subject or "unsure"

    action = _lookup(rules, band, event, level, subject)
    ask({"none": "RULE", "suggestive": "NUDITY_SUGGESTIVE", "explicit": "NUDITY_EXPLICIT"}[level], action)
    if LADDER.index(action) > LADDER.index(_lookup(rules, band, event, level, "adult")):
        strong = rules["strong_evidence"]
        if subject == "unsure":
            ask("SUBJECT_UNSURE", action)
        elif explicit_score >= _f32(strong["explicit_score"]) and minor_score >= _f32(strong["minor_score"]):
            ask("SUBJECT_MINOR_STRONG", action)
        else:
            ask("SUBJECT_MINOR", action)

    reasons = [reason for reason, wanted in asked.items() if wanted != "ALLOW"]
    reasons.sort(key=lambda reason: (LADDER.index(asked[reason]), REASON_ORDER.index(reason)), reverse=True)
    return max((asked[reason] for reason in reasons), key=LADDER.index, default="ALLOW"), reasons


def _lookup(rules: dict[str, Any], band: str, event: str, level: str, subject: str) -> str:
    axis = "minor_or_unsure" if subject in ("unsure", "minor") else "adult_or_no_face"

    def matches(row: dict[str, Any]) -> bool:
        return band in row["bands"] and event in row.get("events", [event]) and axis in row.get("subjects", [axis])

    action = next(row[level] for row in rules["picture"] if matches(row) and level in row)
    floor = next((row[level] for row in rules.get("floors", []) if matches(row) and level in row), "ALLOW")
    return max(action, floor, key=LADDER.index)


def _valid(finding: Any) -> bool:
    if finding.label not in LABELS[finding.kind] or finding.score is None:
        return False
    score = _f32(finding.score)
    return not math.isnan(score) and 0.0 <= score <= 1.0


def _f32(value: float) -> float:
    """Scores cross into the core as 32-bit floats; compare them as such."""
    import ctypes

    return ctypes.c_float(value).value
