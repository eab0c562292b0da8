"""A risk register: likelihood × severity before and after what is done about it, with an owner and a day for each.

Six areas: content, contact, conduct, contract, excessive use, societal. What is missing, past its day or over the limit
fails the check. A risk over the limit may be tolerated for at most 180 days, openly: who decided, why, until when and
on what condition stand in the file and on every page made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from safelight.accountability.documents import Id, Problem, Text, check_evidence, parse_toml, read_struct

Area = Literal["content", "contact", "conduct", "contract", "excessive_use", "societal"]
AREAS: Final[tuple[Area, ...]] = get_args(Area)
Score = Annotated[int, msgspec.Meta(ge=1, le=5)]
Product = Annotated[int, msgspec.Meta(ge=1, le=25)]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]

#: What the numbers mean; docs/risk.md says more.
LIKELIHOOD: Final = ("rare", "unlikely", "possible", "likely", "expected")
SEVERITY: Final = ("slight", "noticeable", "serious", "grave", "lasting harm to a child")

LONGEST_REVIEW_DAYS: Final = 366
LONGEST_TOLERATION_DAYS: Final = 180
#: From here on nobody may tolerate a residual risk.
NEVER_TOLERATED: Final = 20
#: From here on a residual risk needs a next step.
HIGH: Final = 10


class Tolerated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a residual risk over the limit is lived with for a while.

    Attributes:
        decided_by: a person or role.
        until: the last day.
        why: the reason.
        condition: what must stay true meanwhile, or be done by then.
    """

    decided_by: Text
    until: date
    why: Text
    condition: Text


class Risk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One risk.

    Attributes:
        area: of life.
        title: in a few words.
        harm: what could happen, and to whom.
        likelihood, severity: 1–5, without the mitigation.
        mitigation: what is done about it.
        residual_likelihood, residual_severity: 1–5, with it.
        residual_why: how we know; a figure and where it stands, or that it was not measured.
        evidence: files, ``file#heading``, ``file::test`` or https addresses that show the mitigation.
        owner: who looks after it.
        reviewed_on, review_by: days.
        next: the next step; required from a residual of 10.
        tolerated: for a residual over the limit.
    """

    id: Id
    area: Area
    title: Text
    harm: Text
    likelihood: Score
    severity: Score
    mitigation: Texts
    residual_likelihood: Score
    residual_severity: Score
    residual_why: Text
    evidence: Texts
    owner: Text
    reviewed_on: date
    review_by: date
    next: Text | None = None
    tolerated: Tolerated | None = None

    @property
    def score(self) -> int:
        """Before: 1–25."""
        return self.likelihood * self.severity

    @property
    def residual(self) -> int:
        """After: 1–25."""
        return self.residual_likelihood * self.residual_severity


class RiskRegister(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file.

    Attributes:
        product, version: what it is about.
        limit: the highest residual that passes.
        no_risk_in: area to the reason why it has none.
    """

    schema: Literal[1]
    product: Text
    version: Text
    limit: Product
    risk: Annotated[tuple[Risk, ...], msgspec.Meta(min_length=1)]
    no_risk_in: dict[Area, Text] = {}


@dataclass(frozen=True, slots=True)
class RiskReport:
    """What a check found.

    Attributes:
        register: ``None`` where the file could not be read as one.
        problems: in the order of the file; none: it passes.
        today: the day it was checked for.
    """

    register: RiskRegister | None
    problems: tuple[Problem, ...]
    today: date

    @property
    def passes(self) -> bool:
        """Whether nothing is missing, past its day or over the limit."""
        return self.register is not None and not self.problems

    @property
    def tolerated(self) -> tuple[Risk, ...]:
        """Risks over the limit that somebody lives with for a while."""
        if self.register is None:
            return ()
        return tuple(risk for risk in self.register.risk if risk.residual > self.register.limit and risk.tolerated)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        register: dict[str, Any] = {} if self.register is None else msgspec.to_builtins(self.register)
        risks = register.pop("risk", [])
        for risk, read in zip(risks, () if self.register is None else self.register.risk, strict=True):
            risk["score"], risk["residual"], risk["level"] = read.score, read.residual, level(read.residual)
        return {
            "passes": self.passes,
            "today": self.today.isoformat(),
            "problems": [problem.to_dict() for problem in self.problems],
            "tolerated": [risk.id for risk in self.tolerated],
            **register,
            "risks": risks,
        }


def level(score: int) -> str:
    """The word for a score: ``low``, ``medium``, ``high`` or ``severe``."""
    return "low" if score < 5 else "medium" if score < HIGH else "high" if score < 16 else "severe"


def check_register(content: bytes, *, today: date, root: Path | None = None, strict: bool = False) -> RiskReport:
    """Read a register and find everything that has to be put right.

    Args:
        content: TOML.
        today: says what is past its day.
        root: if given, evidence is looked for below this folder.
        strict: nothing is tolerated, as before a release.
    """
    problems: list[Problem] = []
    raw = parse_toml(content, problems)
    if raw is None:
        return RiskReport(None, tuple(problems), today)
    risks = _read_risks(raw.get("risk"), problems)
    head = {name: value for name, value in raw.items() if name != "risk"}
    head_problems: list[Problem] = []
    read_struct(_Head, head, "file", head_problems)
    register: RiskRegister | None = None
    if not problems and not head_problems:
        register = msgspec.convert(raw, RiskRegister)
    problems = [*head_problems, *problems]
    limit = head.get("limit")
    seen: set[str] = set()
    for risk in risks:
        where = f"risk {risk.id}"
        if risk.id in seen:
            problems.append(Problem(where, "duplicate", "id: got it twice, expected one each; rename one"))
        seen.add(risk.id)
        problems += _dates(risk, where, today)
        problems += _scores(risk, where, limit if isinstance(limit, int) else None, today, strict=strict)
        if root is not None:
            check_evidence(risk.evidence, root, where, problems)
    problems += _areas(raw, {risk.area for risk in risks})
    return RiskReport(register, tuple(problems), today)


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    product: Text
    version: Text
    limit: Product
    no_risk_in: dict[Area, Text] = {}


def _read_risks(raw: object, problems: list[Problem]) -> list[Risk]:
    if not isinstance(raw, list) or not raw:
        problems.append(Problem("file", "missing", "risk: got none, expected one or more; add [[risk]] tables"))
        return []
    found = []
    for number, one in enumerate(raw, start=1):
        name = one.get("id") if isinstance(one, Mapping) else None
        known = isinstance(name, str) and name.replace("-", "").isalnum() and len(name) <= 64
        risk = read_struct(Risk, one, f"risk {name if known else number}", problems)
        if risk is not None:
            found.append(risk)
    return found


def _dates(risk: Risk, where: str, today: date) -> list[Problem]:
    found = []
    if risk.review_by < today:
        days = (today - risk.review_by).days
        found.append(
            Problem(where, "overdue", f"review_by: got {risk.review_by}, {days} days ago; score it again and set a day")
        )
    if risk.reviewed_on > today:
        found.append(
            Problem(
                where,
                "wrong",
                f"reviewed_on: got {risk.reviewed_on}, still to come, expected a day until {today}; mend it",
            )
        )
    if (risk.review_by - risk.reviewed_on).days > LONGEST_REVIEW_DAYS:
        found.append(
            Problem(where, "wrong", "review_by: got over a year after the last review, expected a year at most; set it")
        )
    if risk.review_by < risk.reviewed_on:
        found.append(Problem(where, "wrong", "review_by: got a day before reviewed_on, expected one after; set it"))
    return found


def _scores(risk: Risk, where: str, limit: int | None, today: date, *, strict: bool) -> list[Problem]:
    found = []
    if risk.residual_likelihood > risk.likelihood or risk.residual_severity > risk.severity:
        found.append(
            Problem(
                where,
                "inconsistent",
                "residual: got more than without mitigation, expected less; score both again, or add a risk for "
                "what the mitigation does",
            )
        )
    if risk.residual >= HIGH and risk.next is None:
        found.append(
            Problem(
                where,
                "missing",
                f"next: got nothing for a residual of {risk.residual}, expected the next step; write it",
            )
        )
    if limit is None:
        return found
    if risk.residual <= limit:
        if risk.tolerated is not None:
            found.append(
                Problem(where, "inconsistent", "tolerated: got it for a residual within the limit; take it out")
            )
        return found
    over = f"residual: got {risk.residual}, expected at most {limit}"
    if risk.tolerated is None:
        found.append(
            Problem(where, "over_limit", f"{over}; do more about it, or say in [risk.tolerated] who lives with it")
        )
    elif risk.residual >= NEVER_TOLERATED:
        found.append(Problem(where, "over_limit", f"{over}; {NEVER_TOLERATED} or more is tolerated by nobody: do more"))
    elif strict:
        found.append(Problem(where, "over_limit", f"{over}; tolerated does not count now: do more about it"))
    elif risk.tolerated.until < today:
        found.append(
            Problem(where, "overdue", f"tolerated: got until {risk.tolerated.until}, past; do more, or decide again")
        )
    elif risk.tolerated.until - risk.reviewed_on > timedelta(days=LONGEST_TOLERATION_DAYS):
        found.append(
            Problem(
                where,
                "wrong",
                f"tolerated: got over {LONGEST_TOLERATION_DAYS} days after the review; set an earlier one",
            )
        )
    return found


def _areas(raw: Mapping[str, Any], covered: set[Area]) -> list[Problem]:
    said = raw.get("no_risk_in")
    reasons = set(said) if isinstance(said, Mapping) else set()
    risks = raw.get("risk")
    listed = risks if isinstance(risks, list) else []
    named = {str(one.get("area")) for one in listed if isinstance(one, Mapping)} | covered
    found = []
    for area in AREAS:
        if area not in named and area not in reasons:
            found.append(
                Problem(
                    f"area {area}",
                    "missing",
                    "got no risk and no reason, expected either; add a risk, or say why in [no_risk_in]",
                )
            )
        elif area in named and area in reasons:
            found.append(Problem(f"area {area}", "inconsistent", "got a risk and a reason for none; take one out"))
    return found
