"""How old is the person who holds the device? Several kinds of evidence, one age band, biased to protect.

*Strong* evidence (a guardian, the device's owner, a platform that checked) can establish an age. *Weak* evidence (a
birthday typed in, an estimate from a face) can only make the band more protective, never less. An estimate alone
never unlocks anything. Evidence that conflicts resolves to the more protective band, and whoever is judged wrongly
can contest it with another kind of evidence (:func:`challenge`).

Pure: no picture, no clock and no I/O. An estimate comes in as numbers; the picture was looked at elsewhere, with a
consent for that purpose, and is gone. Not to be mixed with *subject age* (``safelight.detect.age``): who is in a
picture says nothing about who holds the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any, Final, Protocol

from safelight.decision import AgeBand, Finding, FindingKind, State, _Word
from safelight.errors import UsageError

ADULT_YEARS: Final = 18
OLDEST_YEARS: Final = 130

CHALLENGE_BUFFER_YEARS: Final = 7.0
"""An estimate counts as an adult's from 25: the published errors of apparent age are 2 to 7 years at that age."""

CONSENT_PURPOSE: Final = "age_check"

_FIRST_YEAR = {
    AgeBand.UNDER_10: 0,
    AgeBand.FROM_10_TO_12: 10,
    AgeBand.FROM_13_TO_15: 13,
    AgeBand.FROM_16_TO_17: 16,
    AgeBand.ADULT: ADULT_YEARS,
}

# Higher is more protective. Unknown is protected like 13_15; it goes first, since settings may loosen 13_15 and never
# unknown.
_PROTECTION = {
    AgeBand.ADULT: 0,
    AgeBand.FROM_16_TO_17: 1,
    AgeBand.FROM_13_TO_15: 2,
    AgeBand.UNKNOWN: 3,
    AgeBand.FROM_10_TO_12: 4,
    AgeBand.UNDER_10: 5,
}


class EvidenceKind(_Word):
    """Who says so."""

    DECLARED = "declared"
    """The person, by an age or a birthday typed in."""
    ESTIMATE = "estimate"
    """This device, from a face, with consent."""
    PLATFORM_DECLARED = "platform_declared"
    """The platform, from what the person told it."""
    PLATFORM_GUARDIAN = "platform_guardian"
    """The platform, from what a guardian set."""
    PLATFORM_CHECKED = "platform_checked"
    """The platform, after a check of its own (an identity document, a payment)."""
    GUARDIAN = "guardian"
    """A guardian, with the PIN of this device."""
    OWNER = "owner"
    """Whoever set the device up as its owner."""


STRONG: Final = frozenset(
    {EvidenceKind.PLATFORM_GUARDIAN, EvidenceKind.PLATFORM_CHECKED, EvidenceKind.GUARDIAN, EvidenceKind.OWNER}
)


class Confidence(_Word):
    """How well the band is supported."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class AssuranceReason(_Word):
    """Why the band is what it is."""

    NO_EVIDENCE = "NO_EVIDENCE"
    ESTABLISHED = "ESTABLISHED"
    DECLARED_ONLY = "DECLARED_ONLY"
    DECLARED_YOUNGER = "DECLARED_YOUNGER"
    ESTIMATE_YOUNGER = "ESTIMATE_YOUNGER"
    ESTIMATE_IN_BUFFER = "ESTIMATE_IN_BUFFER"
    ESTIMATE_OUTWEIGHED = "ESTIMATE_OUTWEIGHED"
    CONFLICT = "CONFLICT"
    PLATFORM_UNKNOWN = "PLATFORM_UNKNOWN"
    PLATFORM_DECLINED = "PLATFORM_DECLINED"


class ConsentGiven(Protocol):
    """A consent, as :mod:`safelight.store` gives it."""

    @property
    def purpose(self) -> Any:
        """What it is for; ``age_check`` is needed here."""

    @property
    def given(self) -> bool:
        """Whether it is there now."""


@dataclass(frozen=True, slots=True)
class AgeEvidence:
    """One statement about the age of the person who holds the device.

    Attributes:
        kind: who says so.
        low_years: the youngest age that fits, in completed years.
        high_years: the oldest age that fits; ``None``: no upper end.
        reason: why nothing could be learnt, for a platform that answered without an age; then the ages say nothing.

    Raises:
        UsageError: an age outside 0 to 130, or the ends turned around.
    """

    kind: EvidenceKind
    low_years: float = 0
    high_years: float | None = None
    reason: AssuranceReason | None = None

    def __post_init__(self) -> None:
        high = self.high_years if self.high_years is not None else OLDEST_YEARS
        if not 0 <= self.low_years <= high <= OLDEST_YEARS:
            raise UsageError(
                f"age: got {self.low_years} to {self.high_years}, expected two ages in order, 0 to {OLDEST_YEARS}."
            )


@dataclass(frozen=True, slots=True)
class AgeAssurance:
    """What the evidence comes to.

    Attributes:
        band: who is protected.
        confidence: how well that is supported.
        reasons: why, ids only.
        kinds: which kinds of evidence took part.
        challengeable: always: nobody is bound to an age that a machine or another person has put in.
    """

    band: AgeBand
    confidence: Confidence
    reasons: tuple[AssuranceReason, ...]
    kinds: tuple[EvidenceKind, ...]
    challengeable: bool = True


@dataclass(frozen=True, slots=True)
class AgeChallenge:
    """What a person can do who says "this is wrong".

    Attributes:
        claimed: the band that the person says is right.
        already: whether it holds already.
        options: each a set of kinds of evidence that would be enough together, the smallest first. Never an
            estimate, and never one's own word where the claim is less protected.
    """

    claimed: AgeBand
    already: bool
    options: tuple[tuple[EvidenceKind, ...], ...]


def band_of_age(years: float) -> AgeBand:
    """The age band of a number of completed years."""
    return max((band for band, first in _FIRST_YEAR.items() if years >= first), key=_FIRST_YEAR.__getitem__)


def declared_age(years: float) -> AgeEvidence:
    """An age that the person typed in."""
    return AgeEvidence(EvidenceKind.DECLARED, int(years), int(years))


def declared_birth_date(born: date, *, today: date) -> AgeEvidence:
    """A birthday that the person typed in.

    Raises:
        UsageError: in the future, or more than 130 years ago.
    """
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return AgeEvidence(EvidenceKind.DECLARED, years, years)


def stated_band(kind: EvidenceKind, band: AgeBand | str) -> AgeEvidence:
    """A band that a guardian or the device's owner stated.

    Raises:
        UsageError: ``unknown``, which is what to leave out; or a kind that does not state bands.
    """
    word = AgeBand(band)
    if word is AgeBand.UNKNOWN or kind not in (EvidenceKind.GUARDIAN, EvidenceKind.OWNER, EvidenceKind.DECLARED):
        raise UsageError(
            f"stated band: got {kind.value} and {word.value}, expected guardian, owner or declared and an age; "
            "leave out what nobody stated."
        )
    ends = [*sorted(_FIRST_YEAR.values()), None]
    first = _FIRST_YEAR[word]
    following = ends[ends.index(first) + 1]
    return AgeEvidence(kind, first, following - 1 if following is not None else None)


def estimate_from_finding(finding: Finding, *, consent: ConsentGiven) -> AgeEvidence | None:
    """An estimate from what the age detector said of one picture of the person who holds the device.

    Args:
        finding: of kind ``age``, with its interval. The picture itself is not taken, and is nobody's to keep.
        consent: for purpose ``age_check``.

    Returns:
        The evidence; ``None`` when the detector could not tell, which is no evidence at all.

    Raises:
        UsageError: no consent, one for another purpose, or a finding of another kind.
    """
    if not consent.given or str(getattr(consent.purpose, "value", consent.purpose)) != CONSENT_PURPOSE:
        raise UsageError(
            f"estimate: no consent for {CONSENT_PURPOSE}; ask the person first, and take no picture before."
        )
    if finding.kind is not FindingKind.AGE:
        raise UsageError(f"estimate: got a finding of kind {finding.kind.value}, expected age.")
    if finding.state is not State.OK or finding.interval_years is None:
        return None
    low, high = finding.interval_years
    return AgeEvidence(EvidenceKind.ESTIMATE, max(0.0, low), min(float(OLDEST_YEARS), high))


# Documented by Google as com.google.android.play.agesignals.model.AgeSignalsVerificationStatus (read 2026-11-21);
# the numbers are the API's own. DECLARED is named there without a number.
_PLAY_NUMBERS = {
    0: "VERIFIED",
    1: "SUPERVISED",
    2: "SUPERVISED_APPROVAL_PENDING",
    3: "SUPERVISED_APPROVAL_DENIED",
    4: "UNKNOWN",
}
_PLAY_SUPERVISED = frozenset({"SUPERVISED", "SUPERVISED_APPROVAL_PENDING", "SUPERVISED_APPROVAL_DENIED"})


def from_play_age_signals(result: Mapping[str, Any]) -> AgeEvidence:
    """Evidence from an ``AgeSignalsResult`` of the Google Play Age Signals API.

    Only ``userStatus`` (a name or the API's number), ``ageLower`` and ``ageUpper`` (both inclusive, years) are read.
    ``installId`` and dates are not: nothing here identifies anybody. A status that is missing, that is new or whose
    ages do not fit together is ``PLATFORM_UNKNOWN``, never an adult.

    Example:
        >>> from_play_age_signals({"userStatus": "SUPERVISED", "ageLower": 13, "ageUpper": 15}).kind.value
        'platform_guardian'
    """
    status = result.get("userStatus")
    if isinstance(status, int) and not isinstance(status, bool):
        status = _PLAY_NUMBERS.get(status)
    if status == "VERIFIED":
        return AgeEvidence(EvidenceKind.PLATFORM_CHECKED, ADULT_YEARS)
    if isinstance(status, str) and status in _PLAY_SUPERVISED:
        return _range(EvidenceKind.PLATFORM_GUARDIAN, result.get("ageLower"), result.get("ageUpper"))
    if status == "DECLARED":
        return _range(EvidenceKind.PLATFORM_DECLARED, result.get("ageLower"), result.get("ageUpper"))
    return _UNKNOWN


# Documented by Apple as AgeRangeService.AgeRangeDeclaration (iOS 26.0 to 26.5; read 2026-11-21).
_APPLE = {
    "selfDeclared": EvidenceKind.PLATFORM_DECLARED,
    "checkedByOtherMethod": EvidenceKind.PLATFORM_DECLARED,
    "guardianDeclared": EvidenceKind.PLATFORM_GUARDIAN,
    "guardianCheckedByOtherMethod": EvidenceKind.PLATFORM_GUARDIAN,
    "guardianPaymentChecked": EvidenceKind.PLATFORM_GUARDIAN,
    "guardianGovernmentIDChecked": EvidenceKind.PLATFORM_GUARDIAN,
    "paymentChecked": EvidenceKind.PLATFORM_CHECKED,
    "governmentIDChecked": EvidenceKind.PLATFORM_CHECKED,
    "confirmed": EvidenceKind.PLATFORM_CHECKED,
}


def from_apple_age_range(response: Mapping[str, Any]) -> AgeEvidence:
    """Evidence from an ``AgeRangeService.Response`` of Apple's Declared Age Range framework.

    Read are ``sharing`` (``False`` or ``"declinedSharing"``: the person did not share), ``lowerBound`` (inclusive),
    ``upperBound`` (the gate above, exclusive) and ``ageRangeDeclaration``. A method that Apple does not specify
    counts as the person's own word. A declaration that is missing or new is ``PLATFORM_UNKNOWN``, never an adult.

    Example:
        >>> evidence = from_apple_age_range(
        ...     {"lowerBound": 13, "upperBound": 16, "ageRangeDeclaration": "guardianDeclared"})
        >>> evidence.low_years, evidence.high_years
        (13, 15)
    """
    if response.get("sharing", True) in (False, "declinedSharing"):
        return AgeEvidence(EvidenceKind.PLATFORM_DECLARED, reason=AssuranceReason.PLATFORM_DECLINED)
    declaration = response.get("ageRangeDeclaration")
    kind = _APPLE.get(declaration) if isinstance(declaration, str) else None
    if kind is None:
        return _UNKNOWN
    upper = response.get("upperBound")
    if isinstance(upper, int) and not isinstance(upper, bool):
        upper -= 1
    return _range(kind, response.get("lowerBound"), upper)


_UNKNOWN: Final = AgeEvidence(EvidenceKind.PLATFORM_DECLARED, reason=AssuranceReason.PLATFORM_UNKNOWN)


def _range(kind: EvidenceKind, low: object, high: object) -> AgeEvidence:
    for end in (low, high):
        if end is not None and (not isinstance(end, int) or isinstance(end, bool)):
            return _UNKNOWN
    if low is None and high is None:
        return _UNKNOWN
    try:
        return AgeEvidence(kind, low if isinstance(low, int) else 0, high if isinstance(high, int) else None)
    except UsageError:
        return _UNKNOWN


def assure_age(evidence: Iterable[AgeEvidence]) -> AgeAssurance:
    """One age band from everything that is known.

    Strong statements are taken together: the youngest age that fits all of them; where none fits all, the most
    protective of them. Then weak evidence may only protect more: a declared age by its band; an estimate by the band
    of the *oldest* age in its interval, because it errs; one whose interval begins below 25 takes an adult's band
    back to 16_17. Two kinds of strong evidence that agree outweigh an estimate. Without strong evidence the band is
    ``unknown``, or younger.

    Example:
        >>> assure_age([declared_age(34)]).band.value
        'unknown'
        >>> assure_age([stated_band(EvidenceKind.GUARDIAN, "10_12"), declared_age(34)]).band.value
        '10_12'
    """
    given = tuple(evidence)
    telling = [one for one in given if one.reason is None]
    reasons = [one.reason for one in given if one.reason is not None]
    strong = [one for one in telling if one.kind in STRONG]
    band, agree = AgeBand.UNKNOWN, False
    if strong:
        low = max(one.low_years for one in strong)
        high = min(one.high_years if one.high_years is not None else OLDEST_YEARS for one in strong)
        if low <= high:
            band = band_of_age(low)
            agree = len({one.kind for one in strong if band_of_age(one.low_years) is band}) > 1
            reasons.append(AssuranceReason.ESTABLISHED)
        else:
            band = _safest(band_of_age(one.low_years) for one in strong)
            reasons.append(AssuranceReason.CONFLICT)
    established = band

    for one in telling:
        if one.kind in (EvidenceKind.DECLARED, EvidenceKind.PLATFORM_DECLARED):
            tighter = _safest((band, band_of_age(one.low_years)))
            if tighter is not band:
                band = tighter
                reasons.append(AssuranceReason.DECLARED_YOUNGER)
            elif not strong:
                reasons.append(AssuranceReason.DECLARED_ONLY)
    for one in telling:
        if one.kind is EvidenceKind.ESTIMATE:
            looks, why = _looks(one)
            tighter = _safest((band, looks))
            if tighter is band:
                continue
            if agree:
                reasons.append(AssuranceReason.ESTIMATE_OUTWEIGHED)
            else:
                band = tighter
                reasons.append(why)
    confidence = Confidence.NONE
    if telling:
        confidence = Confidence.LOW
    if strong and band is established and AssuranceReason.CONFLICT not in reasons:
        confidence = Confidence.HIGH if agree else Confidence.MEDIUM
    found = dict.fromkeys(reasons or [AssuranceReason.NO_EVIDENCE])
    return AgeAssurance(band, confidence, tuple(found), tuple(dict.fromkeys(one.kind for one in telling)))


def challenge(evidence: Iterable[AgeEvidence], *, claimed: AgeBand | str) -> AgeChallenge:
    """What other evidence would settle it for a person who says that their band is another one.

    What the person declared before is taken as corrected to the claim. Nothing that anybody else said is dropped: it
    can be outweighed by evidence of another kind, or its source can be asked to correct it.

    Raises:
        UsageError: the claim is ``unknown``.
    """
    word = AgeBand(claimed)
    if word is AgeBand.UNKNOWN:
        raise UsageError("claimed: got unknown, expected the age band that the person says is right.")
    given = tuple(evidence)
    kept = [one for one in given if one.kind is not EvidenceKind.DECLARED]
    already = assure_age(given).band is word
    candidates = [kind for kind in EvidenceKind if kind is not EvidenceKind.ESTIMATE]
    options: list[tuple[EvidenceKind, ...]] = []
    for count in range(1, len(candidates) + 1):
        for kinds in combinations(candidates, count):
            if any(set(smaller) <= set(kinds) for smaller in options):
                continue
            # New evidence of a kind stands in for the old of that kind: its source has corrected itself.
            others = [one for one in kept if one.kind not in kinds]
            if assure_age([*others, *(_claim(kind, word) for kind in kinds)]).band is word:
                options.append(kinds)
    return AgeChallenge(word, already, tuple(options))


def _claim(kind: EvidenceKind, band: AgeBand) -> AgeEvidence:
    stated = stated_band(EvidenceKind.GUARDIAN, band)
    return AgeEvidence(kind, stated.low_years, stated.high_years)


def _looks(estimate: AgeEvidence) -> tuple[AgeBand, AssuranceReason]:
    high = estimate.high_years if estimate.high_years is not None else OLDEST_YEARS
    if high < ADULT_YEARS:
        return band_of_age(high), AssuranceReason.ESTIMATE_YOUNGER
    if estimate.low_years < ADULT_YEARS + CHALLENGE_BUFFER_YEARS:
        return AgeBand.FROM_16_TO_17, AssuranceReason.ESTIMATE_IN_BUFFER
    return AgeBand.ADULT, AssuranceReason.ESTIMATE_IN_BUFFER


def _safest(bands: Iterable[AgeBand]) -> AgeBand:
    return max(bands, key=_PROTECTION.__getitem__)
