"""The profile as a document: who is protected, and what guardian and child have chosen, in one validated value.

Zero configuration is the strictest: an empty document, a missing one and a damaged one all mean the rules as they
ship, for a person of unknown age, whom nobody knows.

Help is no setting: there is no field that could block it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from safelight.decision import AgeBand
from safelight.errors import DataError, UsageError
from safelight.policy.compare import Change, compare_strictness, strictness
from safelight.policy.layers import Layer, LayeredRules, apply_layers, check_layer, presets
from safelight.policy.profile import Profile
from safelight.policy.rules import Rules
from safelight.policy.sections import BandName
from safelight.policy.table import SUBJECTS, cell_names

SCHEMA = 1

ContactId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
"""An opaque id, as :func:`contact_id` makes it: no name, number or address."""

_OLDER = {"under_10": 0, "10_12": 1, "13_15": 2, "unknown": 2, "16_17": 3, "adult": 4}


class TrustedAdult(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """An adult whom the child would turn to. Who that is stays with the host; here is an id and what they are."""

    id: ContactId
    relation: Literal["parent", "carer", "relative", "teacher", "coach", "friend", "other"] = "other"


class ProfileDocument(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True, kw_only=True):
    """What guardian and child have chosen. Every default is the strictest.

    Attributes:
        age_band: who holds the device.
        country: ISO 3166-1 alpha-2, for help.
        languages: BCP 47 tags, the reader's first choice first.
        preset: the starting point: ``strict``, ``balanced`` or ``light``.
        guardian: what the guardian changed, and what the child may loosen (``permits``).
        child: what the child changed.
        known_contacts: whom the family knows: a conversation with them is judged as one with a known person.
        trusted_adults: whom a notice may offer to turn to.
    """

    schema: Literal[1] = 1
    age_band: BandName = AgeBand.UNKNOWN.value
    country: str | None = None
    languages: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("en",)
    preset: str = "strict"
    guardian: Layer = Layer()
    child: Layer = Layer()
    known_contacts: tuple[ContactId, ...] = ()
    trusted_adults: tuple[TrustedAdult, ...] = ()

    @classmethod
    def from_json(cls, document: bytes | str) -> ProfileDocument:
        """Read a profile document (``docs/schema/profile.schema.json``).

        Raises:
            UsageError: not JSON, another schema, or an unknown field, word or preset.
        """
        try:
            found = msgspec.json.decode(document, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"profile document: {error}; compare it with docs/schema/profile.schema.json.") from None
        found.check()
        return found

    @property
    def profile(self) -> Profile:
        """Who is protected.

        Raises:
            UsageError: a value is outside its vocabulary.
        """
        return Profile(self.age_band, self.country, self.languages)

    def to_json(self) -> bytes:
        """The document; values that were never changed are left out."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    def check(self) -> None:
        """Look at every word.

        Raises:
            UsageError: an unknown word or preset, a situation that is set twice, or a field that is not this
                party's to set.
        """
        _ = self.profile
        _preset(self.preset)
        check_layer(self.guardian)
        check_layer(self.child)
        if self.guardian.floors != Layer().floors:
            raise UsageError(
                "profile document: guardian has floors, which are an operator's; give the child no permits instead."
            )
        if self.child.floors != Layer().floors or self.child.permits != Layer().permits:
            raise UsageError("profile document: child has floors or permits; expected rules and documents only.")


@dataclass(frozen=True, slots=True)
class Effective:
    """What a profile document comes to.

    Attributes:
        profile: who is protected.
        rules: what decides.
        refused: situations in which somebody asked for less than they may; see :class:`LayeredRules`.
        child_limit: the lowest action that the child may choose, a cell each.
        known_contacts: as in the document.
    """

    profile: Profile
    rules: Rules
    refused: tuple[str, ...]
    child_limit: bytes
    known_contacts: frozenset[str]


def effective(document: ProfileDocument | None = None, *, operator: Layer | None = None) -> Effective:
    """What a document comes to; ``None`` is zero configuration.

    Raises:
        UsageError: as :meth:`ProfileDocument.check`.
    """
    document = document if document is not None else ProfileDocument()
    document.check()
    layered: LayeredRules = apply_layers(
        operator=operator, preset=_preset(document.preset), guardian=document.guardian, child=document.child
    )
    return Effective(
        document.profile, layered.rules, layered.refused, layered.child_limit, frozenset(document.known_contacts)
    )


def compare_profiles(before: ProfileDocument, after: ProfileDocument, *, operator: Layer | None = None) -> Change:
    """What ``after`` is, seen from ``before``, for the person whom each of them names.

    An older age band, a lower action anywhere, a permit for the child and a new known contact are looser. Country,
    languages and trusted adults protect neither more nor less. Whatever is not ``equal`` or ``tighter`` needs two
    keys.

    Example:
        >>> strict = ProfileDocument(age_band="13_15")
        >>> balanced = ProfileDocument(age_band="13_15", preset="balanced")
        >>> compare_profiles(strict, balanced).value, compare_profiles(balanced, strict).value
        ('looser', 'tighter')
    """
    first, second = effective(before, operator=operator), effective(after, operator=operator)
    adults = {first.profile.band is AgeBand.ADULT, second.profile.band is AgeBand.ADULT}
    contacts = sorted(first.known_contacts | second.known_contacts)
    return compare_strictness(
        *(
            [
                -_OLDER[one.profile.band.value],
                *_for_person(one, skip_exception=len(adults) == 2),
                *(0 if contact in one.known_contacts else 1 for contact in contacts),
            ]
            for one in (first, second)
        )
    )


def contact_id(name: str, *, key: bytes) -> ContactId:
    """The opaque id of a contact: 16 bytes of keyed BLAKE2b in hexadecimal.

    Args:
        name: whatever identifies the contact in the host's app; compared without case and composition.
        key: 16 to 64 bytes that only this device has (:class:`~safelight.store.KeyProvider`), so that an id cannot
            be guessed from a name.

    Raises:
        UsageError: a key of another length.
    """
    if not 16 <= len(key) <= 64:
        raise UsageError(f"key: got {len(key)} bytes, expected 16 to 64 that only this device has.")
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16, key=key, person=b"safelight/contac").hexdigest()


def _for_person(one: Effective, *, skip_exception: bool) -> list[int]:
    band = one.profile.band
    found = list(strictness(one.rules, band))
    found += [
        action
        for name, action in zip(cell_names(), one.child_limit, strict=True)
        if name == "known_match" or name.split("/")[1] == band.value
    ]
    if skip_exception:
        # A picture that may show a child is held for an adult where a teenager is asked: that protects the child in
        # the picture. Between an adult and a child it says nothing about who is protected more.
        names = [name for name in cell_names() if name.startswith(f"picture/{band.value}/")]
        unsure = {number for number, name in enumerate(names) if name.endswith(SUBJECTS[1])}
        limits = len(strictness(one.rules, band))
        unsure |= {limits + number for number in unsure}
        found = [value for number, value in enumerate(found) if number not in unsure]
    return found


def _preset(name: str) -> Layer:
    try:
        known = presets()
    except DataError:
        # Damaged presets: the rules as they ship, which is what "strict" means, and nothing looser.
        known = {}
    if name in known:
        return known[name]
    if name == "strict" or not known:
        return Layer()
    raise UsageError(f"preset: got {name!r}, expected one of {', '.join(known)}.")
