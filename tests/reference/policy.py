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


PICTURE_EVENTS = ["capture", "upload", "send", "receive", "view", "save"]
PICTURE_KINDS = ["media", "nudity", "age", "known"]
# What an event without a picture is judged by, and whose could-not-tell action it takes without.
EVIDENCE = {
    "message": (["grooming", "conversation"], "conversation"),
    "search": (["query", "site"], "query"),
    "use": (["consent", "time"], "consent"),
}


def decide(findings: list[Any], band: str, event: str, rules: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the action and the reasons, most severe first."""
    asked: list[tuple[str, str, bool]] = []  # reason, action, whether help lifts it
    picture = [finding for finding in findings if finding.kind in PICTURE_KINDS]
    helps = False
    for finding in findings:
        if finding.kind in PICTURE_KINDS or (finding.kind == "settings" and finding.state == "OK"):
            continue
        lifted = not (finding.kind == "consent" and event == "capture")
        state = _state(finding)
        if state != "OK":
            asked.append((state, could_not_tell(rules, band, finding.kind), lifted))
        elif finding.label == "help":
            helps = True
        elif finding.label not in ("none", "no_match", "calm", "given", "allowed"):
            reason = f"{finding.kind}_{finding.label}".upper() if finding.kind != "grooming" else "GROOMING_STAGE"
            asked.append((reason, answer(rules, band, finding.kind, finding.label), lifted))
    if picture or event in PICTURE_EVENTS:
        asked += [(reason, action, False) for reason, action in _picture(picture, band, event, rules)]
    else:
        kinds, kind = EVIDENCE[event]
        if not any(finding.kind in kinds for finding in findings):
            asked.append(("NO_EVIDENCE", could_not_tell(rules, band, kind), True))

    highest: dict[str, str] = {}
    for reason, action, lifted in asked:
        if not (helps and lifted):
            highest[reason] = max(highest.get(reason, "ALLOW"), action, key=LADDER.index)
    reasons = [reason for reason, action in highest.items() if action != "ALLOW"]
    reasons.sort(key=lambda reason: (LADDER.index(highest[reason]), REASON_ORDER.index(reason)), reverse=True)
    action = max((highest[reason] for reason in reasons), key=LADDER.index, default="ALLOW")
    return action, [*reasons, "HELP"] if helps else reasons


def _picture(findings: list[Any], band: str, event: str, rules: dict[str, Any]) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []
    judged = False
    level, subject = "none", None
    explicit_score = minor_score = 0.0
    for finding in findings:
        if finding.kind == "media" and finding.state == "OK":
            continue
        state = _state(finding)
        if finding.kind == "age":
            # A face that could not be judged is "unsure", which is the protective side.
            label = finding.label if state == "OK" else "unsure"
            subject = max(subject or "no_face", label, key=SUBJECTS.index)
            if state == "OK":
                minor_score = max(minor_score, finding.score)
        elif state != "OK":
            judged = True
            asked.append((state, could_not_tell(rules, band, finding.kind)))
        elif finding.kind == "nudity":
            judged = True
            level = max(level, finding.label, key=LEVELS.index)
            explicit_score = max(explicit_score, finding.score)
        elif finding.label == "match":
            asked.append(("KNOWN_MATCH", _at_least(rules["known_match"], rules["floors"].get("known_match"))))
    if not judged:
        asked.append(("NO_EVIDENCE", could_not_tell(rules, band, "nudity")))
    subject = subject or "unsure"

    action = picture_action(rules, band, event, level, subject)
    asked.append(({"none": "RULE", "suggestive": "NUDITY_SUGGESTIVE", "explicit": "NUDITY_EXPLICIT"}[level], action))
    if LADDER.index(action) > LADDER.index(picture_action(rules, band, event, level, "adult")):
        strong = rules["strong_evidence"]
        if subject == "unsure":
            asked.append(("SUBJECT_UNSURE", action))
        elif explicit_score >= _f32(strong["explicit_score"]) and minor_score >= _f32(strong["minor_score"]):
            asked.append(("SUBJECT_MINOR_STRONG", action))
        else:
            asked.append(("SUBJECT_MINOR", action))
    return asked


def picture_action(rules: dict[str, Any], band: str, event: str, level: str, subject: str) -> str:
    """The action for a picture, with its floor."""
    axis = "minor_or_unsure" if subject in ("unsure", "minor") else "adult_or_no_face"

    def find(rows: list[dict[str, Any]]) -> str | None:
        for row in rows:
            named = event in row.get("events", [event]) and axis in row.get("subjects", [axis])
            if band in row["bands"] and named and level in row:
                return row[level]
        return None

    return _at_least(find(rules["picture"]), find(rules["floors"].get("picture", [])))


def could_not_tell(rules: dict[str, Any], band: str, kind: str) -> str:
    """The action for a finding of this kind that could not tell, with its floor."""

    def find(rows: list[dict[str, Any]]) -> str | None:
        rows = [row for row in rows if band in row["bands"] and kind in row.get("kinds", [kind])]
        return rows[0]["action"] if rows else None

    return _at_least(find(rules["could_not_tell"]), find(rules["floors"].get("could_not_tell", [])))


def answer(rules: dict[str, Any], band: str, kind: str, label: str) -> str:
    """The action for an answer of another kind, with its floor."""

    def find(rows: list[dict[str, Any]]) -> str | None:
        rows = [row for row in rows if band in row["bands"] and label in row]
        return rows[0][label] if rows else None

    return _at_least(find(rules[kind]), find(rules["floors"].get(kind, [])))


def _at_least(action: str | None, floor: str | None) -> str:
    assert action is not None, "a complete document says something about every situation"
    return max(action, floor or "ALLOW", key=LADDER.index)


def _state(finding: Any) -> str:
    return finding.state if finding.state != "OK" or _valid(finding) else "SCORE_INVALID"


def _valid(finding: Any) -> bool:
    if finding.label not in LABELS[finding.kind] or finding.score is None:
        return False
    score = _f32(finding.score)
    return not math.isnan(score) and 0.0 <= score <= 1.0


def _f32(value: float) -> float:
    """Scores cross into the core as 32-bit floats; compare them as such."""
    import ctypes

    return ctypes.c_float(value).value
