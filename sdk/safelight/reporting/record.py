"""The only thing that can leave: a record of fields that are listed here, and of no other.

Two things make one. A *list match* gives the list, the number of its entry and the distance: never the picture's own
hash. A *person's own report* gives a category and, if that person named a file for it, that file's hash. No score of a
classifier makes a record, and no text is ever hashed: short texts are found again by trying them all.

Every field says what it is for in :data:`FIELDS`; a field that does not is an error when this module is imported.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Final, Literal

import msgspec

from safelight.decision import Action, Finding, FindingKind, Label, State
from safelight.errors import DataError, UsageError

ID_BYTES: Final = 16
_HEX32: Final = re.compile(r"[0-9a-f]{32}\Z")
_HEX64: Final = re.compile(r"[0-9a-f]{64}\Z")
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
# What a list may give its entries; far above the number of any list's entries.
_MAX_ENTRY_ID: Final = (1 << 63) - 1
_MAX_DISTANCE: Final = 256


class Category(str, Enum):
    """What a record is about, as coarse as is of use. All but the first are a person's own words.

    After what a reporting page must offer (WeProtect GSR 6 and 13): a worry needs no picture, and "not sure" counts.
    """

    KNOWN_MATERIAL = "known_material"
    IMAGE_OF_ME = "image_of_me"
    IMAGE_OF_CHILD = "image_of_child"
    PRESSURE_OR_THREAT = "pressure_or_threat"
    CONTACT_FROM_ADULT = "contact_from_adult"
    SEEN_ONLINE = "seen_online"
    NOT_SURE = "not_sure"

    def __str__(self) -> str:
        return str(self.value)


#: What a person can report.
PERSON_CATEGORIES: Final = tuple(one for one in Category if one is not Category.KNOWN_MATERIAL)


class HashRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What would leave, whole. Its fields are explained in :data:`FIELDS`. A hash does not show itself when printed."""

    schema: Literal[1] = 1
    id: str
    pseudonym: str
    made_by: Literal["list_match", "person"]
    category: str
    day: str
    action: str | None = None
    policy: str | None = None
    list_id: str | None = None
    entry_id: int | None = None
    distance: int | None = None
    hash_kind: Literal["pdq", "sha256"] | None = None
    hash_profile: str | None = None
    hash: str | None = None

    def __repr__(self) -> str:
        return f"<HashRecord {self.id} made_by={self.made_by!r} category={self.category!r} day={self.day!r}>"

    __str__ = __repr__

    def to_dict(self) -> dict[str, Any]:
        """Every field as a JSON-ready value, the hash included: exactly what is sealed."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


@dataclass(frozen=True, slots=True)
class RecordField:
    """Why a field exists.

    Attributes:
        purpose: what it is needed for.
        sensitivity: ``none``, ``low``, or ``high`` for what must not be shown to anybody who needs not see it.
        retention: how long a collector may keep it.
        read_by: who reads it.
    """

    purpose: str
    sensitivity: Literal["none", "low", "high"]
    retention: str
    read_by: str


_WITH_RECORD: Final = "with the record; the reference collector: 365 days"
_OPERATOR: Final = "the collector's operator"

FIELDS: Final[dict[str, RecordField]] = {
    "schema": RecordField("says which fields there are", "none", _WITH_RECORD, "the collector"),
    "id": RecordField("one record counts once, however often it is sent", "low", _WITH_RECORD, "the collector"),
    "pseudonym": RecordField(
        "ties a record to an enrolled device of this month, to refuse forgeries and floods", "low",
        "with the record; without one, as long as its key must stay refused", "the collector",
    ),
    "made_by": RecordField("tells a list match from a person's own report", "low", _WITH_RECORD, _OPERATOR),
    "category": RecordField("says whom the record is for", "low", _WITH_RECORD, _OPERATOR),
    "day": RecordField("shows whether something spreads; no time of day", "low", _WITH_RECORD, _OPERATOR),
    "action": RecordField("shows what the device did about a match", "none", _WITH_RECORD, _OPERATOR),
    "policy": RecordField(
        "says which rules decided; a family's own rules are all called custom", "none", _WITH_RECORD, _OPERATOR
    ),
    "list_id": RecordField("says whose list matched", "low", _WITH_RECORD, "the list's operator"),
    "entry_id": RecordField("says which entry of the list matched", "low", _WITH_RECORD, "the list's operator"),
    "distance": RecordField("shows how sure the match is", "none", _WITH_RECORD, "the list's operator"),
    "hash_kind": RecordField("says how to compare the hash", "none", _WITH_RECORD, "the hotline"),
    "hash_profile": RecordField("says how the picture was prepared for it", "none", _WITH_RECORD, "the hotline"),
    "hash": RecordField(
        "lets a hotline find the picture that a person named, without seeing it", "high",
        "until the hotline has answered, 365 days at most", "the hotline",
    ),
}  # fmt: skip


def undeclared(fields: Iterable[str], declared: Iterable[str]) -> frozenset[str]:
    """Fields without a declaration, and declarations without a field."""
    return frozenset(fields) ^ frozenset(declared)


def require_declared(kind: type[msgspec.Struct], declared: dict[str, RecordField]) -> None:
    """Nothing, if every field of ``kind`` says what it is for, and nothing else does.

    Raises:
        DataError: one does not.
    """
    wrong = undeclared(kind.__struct_fields__, declared)
    if not wrong and all(all((one.purpose, one.retention, one.read_by)) for one in declared.values()):
        return
    raise DataError(
        f"record: got fields that are not declared: {', '.join(sorted(wrong)) or 'an empty declaration'}; "
        "declare them in safelight.reporting.record.FIELDS"
    )


require_declared(HashRecord, FIELDS)


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(ID_BYTES)


@dataclass(frozen=True, slots=True)
class PictureHash:
    """The hash of one file that a person named, as it would be sent. Does not show itself when printed.

    Attributes:
        kind: ``pdq`` of a picture, ``sha256`` of any other file.
        profile: of a PDQ hash.
        hash: 64 hexadecimal digits.
    """

    kind: Literal["pdq", "sha256"]
    hash: str
    profile: str | None = None

    def __repr__(self) -> str:
        return f"<PictureHash {self.kind}>"


def hash_picture(source: Any) -> PictureHash:
    """The hash of a file that a person named for a report: PDQ of a picture with enough features, else SHA-256.

    Args:
        source: as for :meth:`safelight.Guard.check_image`; only its first picture is hashed.

    Raises:
        MediaNotFoundError, UnsupportedInputError: as :meth:`safelight.Guard.check_image`.
        UsageError: pixels without a file that are too plain to be told by their hash.
    """
    from safelight.hashing import pdq, sha256
    from safelight.media import Image, NotJudged, load_image, read_content

    content = read_content(source, limits=_limits())
    loaded = load_image(content if isinstance(content, bytes) else source)
    if not isinstance(loaded, NotJudged):
        with loaded as pictures:
            first = next(iter(pictures))
            if isinstance(first, Image):
                found = pdq(first.pixels)
                if found.usable:
                    return PictureHash("pdq", found.hex(), found.profile.value)
    if isinstance(content, bytes):
        return PictureHash("sha256", sha256(content).hex())
    raise UsageError("picture: got pixels that are too plain for a hash, expected a file or a picture with content.")


def _limits() -> Any:
    from safelight.media import Limits

    return Limits()


def nearest_match(findings: Iterable[Finding]) -> Finding | None:
    """The finding that a record may be made from: the nearest entry of a list, or ``None``.

    Anything else, whatever its score, makes none: a trigger kit's match names no list, so it makes none either.
    """
    matches = [
        one
        for one in findings
        if one.kind is FindingKind.KNOWN
        and one.state is State.OK
        and one.label is Label.MATCH
        and one.model is not None
        and one.entry_id is not None
        and one.distance is not None
    ]
    return min(matches, key=lambda one: (one.distance, one.model, one.entry_id), default=None)


def match_record(
    finding: Finding, *, record_id: str, pseudonym: str, day: date, action: Action, policy: str
) -> HashRecord:
    """The record of a list match.

    Raises:
        UsageError: the finding is no match of a list's entry.
    """
    if nearest_match((finding,)) is None:
        raise UsageError(
            "record: got a finding that names no list entry, expected a list match; nothing else makes one."
        )
    return checked(
        HashRecord(
            id=record_id,
            pseudonym=pseudonym,
            made_by="list_match",
            category=Category.KNOWN_MATERIAL.value,
            day=day.isoformat(),
            action=action.name,
            policy=policy,
            list_id=finding.model,
            entry_id=finding.entry_id,
            distance=finding.distance,
        )
    )


def person_record(
    category: Category | str, *, record_id: str, pseudonym: str, day: date, picture: PictureHash | None = None
) -> HashRecord:
    """The record of a person's own report.

    Raises:
        UsageError: no category that a person can report.
    """
    word = person_category(category)
    return checked(
        HashRecord(
            id=record_id,
            pseudonym=pseudonym,
            made_by="person",
            category=word.value,
            day=day.isoformat(),
            hash_kind=picture.kind if picture is not None else None,
            hash_profile=picture.profile if picture is not None else None,
            hash=picture.hash if picture is not None else None,
        )
    )


def person_category(category: Category | str) -> Category:
    """The category of a person's own report.

    Raises:
        UsageError: it is none.
    """
    for one in PERSON_CATEGORIES:
        if one.value == str(category):
            return one
    raise UsageError(f"category: got {str(category)!r}, expected one of {', '.join(map(str, PERSON_CATEGORIES))}.")


def checked(record: HashRecord) -> HashRecord:
    """The record, if every field is what the schema allows and the fields fit each other.

    Raises:
        UsageError: one is not; the message names the field and not its value.
    """
    wrong = wrong_field(record)
    if wrong is not None:
        raise UsageError(f"record: got a field {wrong} that the schema does not allow; see docs/reporting.md.")
    return record


def wrong_field(record: HashRecord) -> str | None:
    """Name of a field whose value does not belong there, or ``None``."""
    tests: list[tuple[str, bool]] = [
        ("id", bool(_HEX32.match(record.id))),
        ("pseudonym", bool(_HEX32.match(record.pseudonym))),
        ("day", _is_day(record.day)),
        ("policy", record.policy is None or bool(_WORD.match(record.policy))),
    ]
    if record.made_by == "list_match":
        tests += [
            ("category", record.category == Category.KNOWN_MATERIAL.value),
            ("action", record.action in Action.__members__),
            ("list_id", record.list_id is not None and bool(_WORD.match(record.list_id))),
            ("entry_id", record.entry_id is not None and 0 <= record.entry_id <= _MAX_ENTRY_ID),
            ("distance", record.distance is not None and 0 <= record.distance <= _MAX_DISTANCE),
            ("hash", record.hash is None and record.hash_kind is None and record.hash_profile is None),
        ]
    else:
        tests += [
            ("category", record.category in {one.value for one in PERSON_CATEGORIES}),
            ("action", record.action is None and record.policy is None),
            ("list_id", record.list_id is None and record.entry_id is None and record.distance is None),
            ("hash", _is_hash(record)),
        ]
    return next((name for name, right in tests if not right), None)


def _is_day(text: str) -> bool:
    if not _DAY.match(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_hash(record: HashRecord) -> bool:
    if record.hash is None:
        return record.hash_kind is None and record.hash_profile is None
    profiles: tuple[str | None, ...] = ("full", "thumb512", "near512") if record.hash_kind == "pdq" else (None,)
    return record.hash_kind is not None and bool(_HEX64.match(record.hash)) and record.hash_profile in profiles


def same_content(key: bytes, record: HashRecord) -> bytes:
    """A mark by which a device knows that it has made this record before, whatever id and day; keyed, so that the mark
    tells nothing to whoever has not the device's key.
    """
    values = {name: value for name, value in record.to_dict().items() if name not in ("id", "day")}
    content = msgspec.json.encode(values, order="deterministic")
    return hashlib.blake2b(content, digest_size=ID_BYTES, key=key, person=b"sl-same-content").digest()


def fields_markdown() -> str:
    """The table of ``docs/reporting.md``."""
    rows = ["| field | what for | sensitivity | kept | read by |", "|---|---|---|---|---|"]
    rows += [
        f"| `{name}` | {one.purpose} | {one.sensitivity} | {one.retention} | {one.read_by} |"
        for name, one in FIELDS.items()
    ]
    return "\n".join(rows) + "\n"
