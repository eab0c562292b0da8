"""Nothing that is typed, guessed or unknown makes anybody older; whoever is judged wrongly can contest it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight.decision import AgeBand, Finding, FindingKind, Label, State
from safelight.errors import UsageError
from safelight.policy.age_assurance import (
    _PROTECTION,
    STRONG,
    AgeEvidence,
    AssuranceReason,
    Confidence,
    EvidenceKind,
    assure_age,
    band_of_age,
    challenge,
    declared_age,
    declared_birth_date,
    estimate_from_finding,
    from_apple_age_range,
    from_play_age_signals,
    stated_band,
)

STATED = [band for band in AgeBand if band is not AgeBand.UNKNOWN]
WEAK = [kind for kind in EvidenceKind if kind not in STRONG]


@st.composite
def evidence(draw: st.DrawFn, kinds: list[EvidenceKind] | None = None) -> AgeEvidence:
    kind = draw(st.sampled_from(kinds or list(EvidenceKind)))
    low, high = sorted(draw(st.tuples(st.integers(0, 60), st.integers(0, 60))))
    reason = draw(st.sampled_from([None, None, None, AssuranceReason.PLATFORM_UNKNOWN]))
    return AgeEvidence(kind, low, draw(st.sampled_from([high, None])), reason)


all_evidence = st.lists(evidence(), max_size=5)
weak_evidence = evidence(WEAK)


def protection(given_evidence: list[AgeEvidence]) -> int:
    return _PROTECTION[assure_age(given_evidence).band]


@given(all_evidence, weak_evidence)
def test_a_birthday_or_an_estimate_never_loosens(seen: list[AgeEvidence], more: AgeEvidence) -> None:
    assert protection([*seen, more]) >= protection(seen)


@given(st.lists(weak_evidence, max_size=5))
def test_without_strong_evidence_nobody_is_older_than_unknown(seen: list[AgeEvidence]) -> None:
    result = assure_age(seen)
    assert result.band in (AgeBand.UNKNOWN, AgeBand.FROM_10_TO_12, AgeBand.UNDER_10)
    assert result.confidence in (Confidence.NONE, Confidence.LOW)


@given(all_evidence, st.sampled_from(sorted(STRONG)), st.integers(0, 17))
def test_somebody_who_is_responsible_can_always_make_it_younger(
    seen: list[AgeEvidence], kind: EvidenceKind, years: int
) -> None:
    assert protection([*seen, AgeEvidence(kind, years, years)]) >= _PROTECTION[band_of_age(years)]


@given(st.lists(evidence(sorted(STRONG)), min_size=1, max_size=4))
def test_conflicts_resolve_to_the_more_protective(seen: list[AgeEvidence]) -> None:
    told = [one for one in seen if one.reason is None]
    result = assure_age(seen)
    if AssuranceReason.CONFLICT in result.reasons:
        assert _PROTECTION[result.band] == max(_PROTECTION[band_of_age(one.low_years)] for one in told)
        assert result.confidence is Confidence.LOW
    if result.band is AgeBand.ADULT:
        assert all(one.high_years is None or one.high_years >= 18 for one in told)


@given(st.permutations([declared_age(12), stated_band(EvidenceKind.GUARDIAN, "13_15"), declared_age(40)]), all_evidence)
def test_the_order_of_the_evidence_does_not_matter(mixed: list[AgeEvidence], seen: list[AgeEvidence]) -> None:
    one, other = assure_age([*mixed, *seen]), assure_age([*reversed(seen), *reversed(mixed)])
    assert (one.band, one.confidence, set(one.reasons)) == (other.band, other.confidence, set(other.reasons))


@given(all_evidence, st.sampled_from(STATED))
def test_every_band_can_be_contested_and_every_option_settles_it(seen: list[AgeEvidence], claimed: AgeBand) -> None:
    assert assure_age(seen).challengeable
    contest = challenge(seen, claimed=claimed)
    assert contest.options, "there is always a way"
    for kinds in contest.options:
        assert EvidenceKind.ESTIMATE not in kinds
        claim = stated_band(EvidenceKind.GUARDIAN, claimed)
        kept = [one for one in seen if one.kind not in (*kinds, EvidenceKind.DECLARED)]
        new = [AgeEvidence(kind, claim.low_years, claim.high_years) for kind in kinds]
        assert assure_age([*kept, *new]).band is claimed
    established = any(one.kind in STRONG and one.reason is None for one in seen)
    if not established and claimed in (AgeBand.ADULT, AgeBand.FROM_16_TO_17, AgeBand.FROM_13_TO_15):
        assert all(set(kinds) & STRONG for kinds in contest.options)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 200), st.floats(), st.text(max_size=12), st.just("VERIFIED "), st.just([])
)


@given(
    anything.filter(lambda status: status not in ("VERIFIED", 0) or isinstance(status, (bool, float))),
    anything,
    anything,
)
def test_a_play_status_that_is_new_or_missing_is_never_an_adult(status: Any, low: Any, high: Any) -> None:
    result = assure_age([from_play_age_signals({"userStatus": status, "ageLower": low, "ageUpper": high})])
    supervised = status in (1, 2, 3) and not isinstance(status, (bool, float))
    if not supervised:
        assert result.band is AgeBand.UNKNOWN
    elif result.band is AgeBand.ADULT:
        assert isinstance(low, int) and low >= 18


@given(anything, anything, anything)
def test_an_apple_declaration_that_is_new_or_missing_is_never_an_adult(method: Any, low: Any, high: Any) -> None:
    response = {"ageRangeDeclaration": method, "lowerBound": low, "upperBound": high}
    assert assure_age([from_apple_age_range(response)]).band is AgeBand.UNKNOWN


@pytest.mark.parametrize(
    ("result", "band", "reason"),
    [
        ({"userStatus": "VERIFIED"}, "adult", "ESTABLISHED"),
        ({"userStatus": 0}, "adult", "ESTABLISHED"),
        ({"userStatus": "SUPERVISED", "ageLower": 13, "ageUpper": 15}, "13_15", "ESTABLISHED"),
        ({"userStatus": "SUPERVISED", "ageLower": 0, "ageUpper": 12}, "under_10", "ESTABLISHED"),
        ({"userStatus": "SUPERVISED_APPROVAL_DENIED", "ageLower": 16, "ageUpper": 17}, "16_17", "ESTABLISHED"),
        ({"userStatus": "SUPERVISED_APPROVAL_PENDING", "ageLower": 13, "ageUpper": 17}, "13_15", "ESTABLISHED"),
        ({"userStatus": "SUPERVISED", "ageLower": 18}, "adult", "ESTABLISHED"),
        ({"userStatus": "SUPERVISED"}, "unknown", "PLATFORM_UNKNOWN"),
        ({"userStatus": "SUPERVISED", "ageLower": 15, "ageUpper": 13}, "unknown", "PLATFORM_UNKNOWN"),
        ({"userStatus": "DECLARED", "ageLower": 18}, "unknown", "DECLARED_ONLY"),
        ({"userStatus": "DECLARED", "ageLower": 0, "ageUpper": 12}, "under_10", "DECLARED_YOUNGER"),
        ({"userStatus": "UNKNOWN"}, "unknown", "PLATFORM_UNKNOWN"),
        ({"userStatus": True}, "unknown", "PLATFORM_UNKNOWN"),
        ({}, "unknown", "PLATFORM_UNKNOWN"),
    ],
)
def test_the_documented_answers_of_play_age_signals(result: dict[str, Any], band: str, reason: str) -> None:
    assured = assure_age([from_play_age_signals(result | {"installId": "x" * 20})])
    assert (assured.band.value, [r.value for r in assured.reasons]) == (band, [reason])
    assert "xxxx" not in repr(assured)


@pytest.mark.parametrize(
    ("response", "band"),
    [
        ({"lowerBound": 18, "ageRangeDeclaration": "governmentIDChecked"}, "adult"),
        ({"lowerBound": 18, "ageRangeDeclaration": "paymentChecked"}, "adult"),
        ({"lowerBound": 18, "ageRangeDeclaration": "confirmed"}, "adult"),
        ({"lowerBound": 18, "ageRangeDeclaration": "selfDeclared"}, "unknown"),
        ({"lowerBound": 18, "ageRangeDeclaration": "checkedByOtherMethod"}, "unknown"),
        ({"lowerBound": 16, "upperBound": 18, "ageRangeDeclaration": "guardianDeclared"}, "16_17"),
        ({"upperBound": 13, "ageRangeDeclaration": "guardianDeclared"}, "under_10"),
        ({"upperBound": 13, "ageRangeDeclaration": "selfDeclared"}, "under_10"),
        ({"sharing": "declinedSharing"}, "unknown"),
        ({"sharing": False, "lowerBound": 18, "ageRangeDeclaration": "confirmed"}, "unknown"),
        ({"lowerBound": 18, "ageRangeDeclaration": "somethingNew"}, "unknown"),
        ({"lowerBound": 18, "upperBound": 18, "ageRangeDeclaration": "confirmed"}, "unknown"),
    ],
)
def test_the_documented_answers_of_declared_age_range(response: dict[str, Any], band: str) -> None:
    assert assure_age([from_apple_age_range(response)]).band.value == band


def test_two_sources_narrow_an_age_down() -> None:
    platform = from_play_age_signals({"userStatus": "SUPERVISED", "ageLower": 0, "ageUpper": 12})
    result = assure_age([platform, stated_band(EvidenceKind.GUARDIAN, "10_12")])
    assert (result.band, result.confidence) == (AgeBand.FROM_10_TO_12, Confidence.MEDIUM)
    same = assure_age([stated_band(EvidenceKind.OWNER, "10_12"), stated_band(EvidenceKind.GUARDIAN, "10_12")])
    assert (same.band, same.confidence) == (AgeBand.FROM_10_TO_12, Confidence.HIGH)


def test_an_estimate_in_the_buffer_takes_an_adult_back_until_a_second_source_agrees() -> None:
    guardian = stated_band(EvidenceKind.GUARDIAN, "adult")
    looks_20 = AgeEvidence(EvidenceKind.ESTIMATE, 17, 24)
    held = assure_age([guardian, looks_20])
    assert (held.band, held.reasons[-1]) == (AgeBand.FROM_16_TO_17, AssuranceReason.ESTIMATE_IN_BUFFER)
    contest = challenge([guardian, looks_20], claimed="adult")
    assert not contest.already
    assert (EvidenceKind.PLATFORM_CHECKED,) in contest.options
    assert (EvidenceKind.DECLARED,) not in contest.options
    checked = from_play_age_signals({"userStatus": "VERIFIED"})
    settled = assure_age([guardian, looks_20, checked])
    assert (settled.band, settled.confidence) == (AgeBand.ADULT, Confidence.HIGH)
    assert AssuranceReason.ESTIMATE_OUTWEIGHED in settled.reasons
    older = assure_age([guardian, AgeEvidence(EvidenceKind.ESTIMATE, 30, 41)])
    assert older.band is AgeBand.ADULT


@dataclass(frozen=True)
class _Consent:
    purpose: str
    given: bool


AGE_FINDING = Finding(FindingKind.AGE, State.OK, Label.MINOR, 0.9, "faces_v1", interval_years=(8.0, 12.5))


def test_an_estimate_needs_consent_for_exactly_this() -> None:
    for consent in (_Consent("age_check", False), _Consent("camera", True), _Consent("", True)):
        with pytest.raises(UsageError, match="consent"):
            estimate_from_finding(AGE_FINDING, consent=consent)
    yes = _Consent("age_check", True)
    found = estimate_from_finding(AGE_FINDING, consent=yes)
    assert found == AgeEvidence(EvidenceKind.ESTIMATE, 8.0, 12.5)
    assert assure_age([stated_band(EvidenceKind.GUARDIAN, "16_17"), found]).band is AgeBand.FROM_10_TO_12
    assert estimate_from_finding(Finding(FindingKind.AGE, State.NO_MODEL), consent=yes) is None
    assert estimate_from_finding(Finding(FindingKind.AGE, State.OK, Label.NO_FACE, 0.0, "m"), consent=yes) is None
    with pytest.raises(UsageError, match="expected age"):
        estimate_from_finding(Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0), consent=yes)


def test_birthdays_and_faulty_ages() -> None:
    born = date(2010, 2, 28)
    assert declared_birth_date(born, today=date(2026, 2, 27)).low_years == 15
    assert declared_birth_date(born, today=date(2026, 2, 28)).low_years == 16
    assert declared_birth_date(date(2008, 2, 29), today=date(2026, 2, 28)).low_years == 17
    for faulty in (
        lambda: declared_birth_date(date(2027, 1, 1), today=date(2026, 1, 1)),
        lambda: declared_age(131),
        lambda: declared_age(-1),
        lambda: AgeEvidence(EvidenceKind.GUARDIAN, 15, 13),
        lambda: stated_band(EvidenceKind.GUARDIAN, "unknown"),
        lambda: stated_band(EvidenceKind.ESTIMATE, "adult"),
        lambda: challenge([], claimed="unknown"),
    ):
        with pytest.raises(UsageError):
            faulty()
    assert assure_age([]).reasons == (AssuranceReason.NO_EVIDENCE,)
    assert [band_of_age(years).value for years in (0, 9.9, 10, 13, 16, 17.99, 18)] == [
        "under_10", "under_10", "10_12", "13_15", "16_17", "16_17", "adult",
    ]  # fmt: skip
