"""A takedown notice: what a hotline's form asks for, written after a person looked and said yes twice.

The fields are those that hotlines of INHOPE ask for (address, kind of site, suspected category, when, where hosted,
hash); the words follow the Luxembourg Guidelines. There is no field for free text: no picture, no name of a person, no
accusation can be put into one. A notice is a file for a person to give to a hotline; nothing is sent from here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, Final

import msgspec

from safelight.decision import HelpService, help_dict
from safelight.errors import UnsupportedInputError, UsageError
from safelight.exchange._hashes import AnyHash, checked
from safelight.hashing import PdqHash
from safelight.signing import OperatorKey, OperatorSecret

_PREFIX: Final = b"safelight-takedown-sign-off-1\0"
MAX_URL_CHARACTERS: Final = 2048
MAX_HASHES: Final = 100
_URL: Final = re.compile(r"https?://[^\s/?#@\\<>\"`|^{}]+(:[0-9]{1,5})?([/?#][^\s\\<>\"`]*)?\Z", re.IGNORECASE)
_COUNTRY: Final = re.compile(r"[A-Z]{2}\Z")
_LIST: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_ENTRY_MAX: Final = (1 << 64) - 1


class Category(str, Enum):
    """What a person suspects; whether it is so, analysts of the hotline say."""

    CSAM = "child_sexual_abuse_material"
    CSEM = "child_sexual_exploitation_material"
    LIVE_ABUSE = "live_online_child_sexual_abuse"
    SOLICITATION = "solicitation_of_a_child"
    EXTORTION = "sexual_extortion_of_a_child"
    SHARED_OWN_IMAGE = "own_image_of_a_child_shared"
    ADULT_IMAGE = "intimate_image_of_an_adult_without_consent"
    NOT_SURE = "not_sure"

    def __str__(self) -> str:
        return str(self.value)

    @property
    def in_words(self) -> str:
        """As a notice says it."""
        return _CATEGORIES[self]


_CATEGORIES: Final = {
    Category.CSAM: "suspected child sexual abuse material",
    Category.CSEM: "suspected child sexual exploitation material",
    Category.LIVE_ABUSE: "suspected live online child sexual abuse",
    Category.SOLICITATION: "suspected solicitation of a child for sexual purposes",
    Category.EXTORTION: "suspected sexual extortion of a child",
    Category.SHARED_OWN_IMAGE: "suspected sexual image that a child made of themselves, shared by others",
    Category.ADULT_IMAGE: "suspected intimate image of an adult, shared without consent",
    Category.NOT_SURE: "not sure; please assess",
}


class SiteType(str, Enum):
    """Where it was found."""

    WEBSITE = "website"
    FORUM = "forum"
    SOCIAL_MEDIA = "social_media"
    IMAGE_HOST = "image_host"
    FILE_HOST = "file_host"
    VIDEO = "video_or_streaming"
    MESSAGING = "messaging"
    GAME = "game"
    SEARCH = "search_engine"
    OTHER = "other"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class ListEntry:
    """An entry of a signed list that was matched.

    Attributes:
        list_id: of the list.
        entry_id: in it.
        distance: bits of 256 that differ, 0 for the very same bytes.
    """

    list_id: str
    entry_id: int
    distance: int

    def __post_init__(self) -> None:
        good = _LIST.match(self.list_id) and 0 <= self.entry_id <= _ENTRY_MAX and 0 <= self.distance <= 31
        if not good:
            raise UsageError(
                "entry: expected LIST:ENTRY:DISTANCE, with a list's id, a whole number below 2**64 and 0 to 31; take "
                "it from the decision's finding"
            )

    @classmethod
    def parse(cls, text: str) -> ListEntry:
        """Read ``LIST:ENTRY:DISTANCE``.

        Raises:
            UsageError: it is something else.
        """
        name, _, rest = text.partition(":")
        entry, _, distance = rest.partition(":")
        numbers = entry.isascii() and entry.isdecimal() and len(entry) <= 20
        if not numbers or not (distance.isascii() and distance.isdecimal() and len(distance) <= 2):
            return cls("", -1, -1)
        return cls(name, int(entry), int(distance))


@dataclass(frozen=True, slots=True)
class TakedownDraft:
    """What a notice would say. Not a notice: nobody has confirmed it.

    Attributes:
        url: where it was found; not shown when printed.
        category: what a person suspects.
        jurisdiction: country whose hotline it goes to, ISO 3166.
        seen_on: the day on which it was seen there.
        site_type: what kind of place it is.
        hosted_in: country of the server, if known.
        hashes: of what was found.
        entries: of signed lists that it matched.
    """

    url: str = field(repr=False)
    category: Category
    jurisdiction: str
    seen_on: date
    site_type: SiteType = SiteType.OTHER
    hosted_in: str | None = None
    hashes: tuple[AnyHash, ...] = field(default=(), repr=False)
    entries: tuple[ListEntry, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.url, str) or len(self.url) > MAX_URL_CHARACTERS or not _URL.match(self.url):
            raise UsageError(
                f"url: expected a full web address, http or https, of at most {MAX_URL_CHARACTERS} characters, without "
                "user name, spaces or quotes; copy it again"
            )
        for name, code in (("jurisdiction", self.jurisdiction), ("hosted_in", self.hosted_in)):
            if code is not None and not (isinstance(code, str) and _COUNTRY.match(code)):
                raise UsageError(f"{name}: expected two capital letters of ISO 3166, e.g. LU; write the country so")
        if not isinstance(self.category, Category) or not isinstance(self.site_type, SiteType):
            raise UnsupportedInputError("category, site_type: expected Category and SiteType; make them of the words")
        checked(self.hashes)
        if any(not isinstance(entry, ListEntry) for entry in self.entries):
            raise UnsupportedInputError("entries: expected ListEntry; nothing else goes into a notice")
        if len(self.hashes) > MAX_HASHES or len(self.entries) > MAX_HASHES:
            raise UsageError(f"hashes, entries: expected at most {MAX_HASHES}; write several notices")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, always in this order."""
        return {
            "url": self.url,
            "site_type": self.site_type.value,
            "category": self.category.value,
            "jurisdiction": self.jurisdiction,
            "hosted_in": self.hosted_in,
            "seen_on": self.seen_on.isoformat(),
            "hashes": [
                {"kind": "pdq" if isinstance(one, PdqHash) else "sha256", "hex": one.hex()}
                for one in checked(self.hashes)
            ],
            "entries": [
                {"list": entry.list_id, "entry": entry.entry_id, "distance": entry.distance} for entry in self.entries
            ],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of everything that it says: what a sign-off is for."""
        return hashlib.sha256(_PREFIX + msgspec.json.encode(self.to_dict())).hexdigest()

    def confirm(self, sign_off: SignOff, *, trust: Iterable[OperatorKey | str] | None = None) -> TakedownNotice:
        """Make the notice.

        Args:
            sign_off: that somebody looked at exactly this draft and said yes.
            trust: keys of people who may; ``None`` when that person sits here and was asked just now.

        Raises:
            UsageError: it is for another draft, or not signed by one of ``trust``.
        """
        if sign_off.digest != self.digest:
            raise UsageError(
                "sign-off: got one for another notice, expected one for exactly this; let a person look at this one"
            )
        if trust is not None:
            sign_off.check(trust)
        return TakedownNotice(self, sign_off.confirmed_on)


class SignOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a person looked at a draft and confirmed it. Names nobody; a key stands for who may.

    Attributes:
        digest: of the draft.
        confirmed_on: the day.
        key, signature: of whoever confirmed; empty when it never left the program that asked.
    """

    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    confirmed_on: date
    safelight_sign_off: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    key: str = ""
    signature: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{128})?$")] = ""

    @classmethod
    def sign(cls, draft: TakedownDraft, secret: OperatorSecret, *, confirmed_on: date) -> SignOff:
        """Sign a draft that a person has just confirmed."""
        digest = draft.digest
        return cls(
            digest,
            confirmed_on,
            key=secret.public.text,
            signature=secret.sign(_message(digest, confirmed_on)).hex(),
        )

    @classmethod
    def read(cls, content: bytes) -> SignOff:
        """Read the file that :meth:`write` made.

        Raises:
            UsageError: it is another file.
        """
        found: SignOff | None = None
        try:
            found = msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = None
        if found is None:
            raise UsageError(
                f"sign-off: got {len(content)} bytes of another form, expected the file that 'safelight takedown "
                "--sign' wrote; get it again"
            )
        return found

    def write(self) -> bytes:
        """As a file."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"

    def check(self, trust: Iterable[OperatorKey | str]) -> None:
        """See that one of the trusted keys signed it.

        Raises:
            UsageError: none did.
        """
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey

        good = False
        for one in trust:
            key = one if isinstance(one, OperatorKey) else OperatorKey.parse(one)
            if key.text != self.key or not self.signature:
                continue
            try:
                VerifyKey(bytes.fromhex(key.public_hex)).verify(
                    _message(self.digest, self.confirmed_on), bytes.fromhex(self.signature)
                )
                good = True
                break
            except BadSignatureError:
                continue
        if not good:
            raise UsageError(
                "sign-off: got one that no trusted key signed, expected one of a person who may; name their key with "
                "--trust, or let them sign"
            )


@dataclass(frozen=True, slots=True)
class TakedownNotice:
    """A draft that a person confirmed. Made by :meth:`TakedownDraft.confirm` alone.

    Attributes:
        draft: what it says.
        confirmed_on: the day on which a person confirmed it.
    """

    draft: TakedownDraft
    confirmed_on: date

    @property
    def reference(self) -> str:
        """Names it towards the hotline: made of what it says, so that the same notice twice is seen as such."""
        return f"SL-{self.draft.digest[:16]}"

    def to_dict(self, hotlines: Sequence[HelpService]) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "safelight_takedown": 1,
            "reference": self.reference,
            "confirmed_by_a_person_on": self.confirmed_on.isoformat(),
            "category_in_words": self.draft.category.in_words,
            **self.draft.to_dict(),
            "hotlines": [help_dict(service) for service in hotlines],
            "statement": list(_STATEMENT),
        }

    def to_text(self, hotlines: Sequence[HelpService]) -> str:
        """As plain text."""
        width = max(len(name) for name, _ in self._rows())
        rows = [f"{name:<{width}}  {value}" for name, value in self._rows()]
        return "\n".join([_TITLE, "", *rows, "", *_STATEMENT, "", "Hotline", *_hotline_lines(hotlines, "")]) + "\n"

    def to_markdown(self, hotlines: Sequence[HelpService]) -> str:
        """As Markdown. The address stands as code and is no link: nobody should open it by accident."""
        rows = [f"| {name} | {_code(value)} |" for name, value in self._rows()]
        lines = [f"# {_TITLE}", "", "| field | |", "|---|---|", *rows, "", *_paragraphs(_STATEMENT), "## Hotline", ""]
        return "\n".join([*lines, *_hotline_lines(hotlines, "- ")]) + "\n"

    def _rows(self) -> list[tuple[str, str]]:
        said = self.draft
        rows = [
            ("reference", self.reference),
            ("confirmed by a person on", self.confirmed_on.isoformat()),
            ("category", said.category.in_words),
            ("address", said.url),
            ("kind of site", said.site_type.value.replace("_", " ")),
            ("seen on", said.seen_on.isoformat()),
            ("jurisdiction", said.jurisdiction),
            ("hosted in", said.hosted_in or "not known"),
        ]
        rows += [("PDQ" if isinstance(one, PdqHash) else "SHA-256", one.hex()) for one in checked(said.hashes)]
        rows += [
            ("matched list entry", f"{entry.list_id} {entry.entry_id}, {entry.distance} of 256 bits differ")
            for entry in said.entries
        ]
        return rows


_TITLE: Final = "Request to assess and remove"
_STATEMENT: Final = (
    "A person looked at these details and confirmed them before this notice was written. The category is what that "
    "person suspects. Whether it is so, and whether it is unlawful, is for the hotline's analysts to say.",
    "This notice says nothing about who made, posted or possesses the material, and nothing about who is shown.",
    "No picture is attached and none is kept. Please do not ask for one, and do not open the address to check it "
    "yourself unless you are an analyst.",
    "Please assess the material and, if it is confirmed, have it removed at its source, through the partner hotline of "
    "the country where it is hosted if that is another one.",
)


def hotline_for(
    directory: Sequence[HelpService], *, jurisdiction: str, category: Category = Category.CSAM
) -> tuple[HelpService, ...]:
    """Who to give a notice to: the country's own services for reports, else the international finders.

    Args:
        directory: sourced services, e.g. of ``load_builtin().directory``.
        jurisdiction: ISO 3166.
        category: an adult's picture goes to services for that.
    """
    audience = "victim_image_removal_adult" if category is Category.ADULT_IMAGE else "anyone_reporting"
    found = [one for one in directory if audience in one.audience]
    local = [one for one in found if one.country == jurisdiction]
    # A hotline proper first, then a form that somebody has read.
    chosen = sorted(
        local or [one for one in found if one.country == "INT"],
        key=lambda one: (one.audience[0] != audience, one.report_url is None),
    )
    return tuple(chosen[:3])


def _message(digest: str, confirmed_on: date) -> bytes:
    return _PREFIX + digest.encode() + b"\0" + confirmed_on.isoformat().encode()


def _code(value: str) -> str:
    return "`" + value.replace("|", "%7C") + "`" if "://" in value else value


def _paragraphs(lines: Iterable[str]) -> list[str]:
    return [part for line in lines for part in (line, "")]


def _hotline_lines(hotlines: Sequence[HelpService], mark: str) -> list[str]:
    if not hotlines:
        return [f"{mark}none in the directory for this country; find it at https://www.inhope.org/"]
    return [
        f"{mark}{one.service}, {one.organisation} ({one.country}): {one.report_url or one.web_url} "
        + (f"(read {one.read_on.isoformat()})" if one.read_on is not None else "(not checked by us)")
        for one in hotlines
    ]
