"""An operator's own words and services: one signed file that stands in for the built-in ones.

The file is JSON: ``{"safelight_pack": 1, "payload": base64, "signature": base64}``. The payload is JSON too: a version,
catalogues by language, and, if the operator wants, a structure and a help directory. The signature is Ed25519 over the
payload's bytes behind a fixed prefix, so that it fits nothing else. What is unsigned, broken, older than what was seen
before or leaves a situation without words is refused as a whole; the built-in texts answer, and that is said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from safelight.decision import AgeBand, Event, HelpService
from safelight.errors import DataError, MissingExtraError, SafelightError
from safelight.notices.builtin import SOURCE_LANGUAGE, BuiltinNotices, best_language, load_builtin
from safelight.notices.catalogue import ACTION_NAMES, Catalogue, Structure, Version, load_catalogue, load_structure
from safelight.notices.directory import load_directory
from safelight.notices.select import CATALOGUE_UNVERIFIED
from safelight.signing import OperatorKey, trusted_keys

if TYPE_CHECKING:
    from safelight.signing import OperatorSecret

PACK_REFUSED: Final = "PACK_REFUSED"
"""Reason id: the operator's pack was not believed; the built-in words and services stand in."""

MAX_PACK_BYTES: Final = 32 << 20

_PREFIX: Final = b"safelight notices pack 1\n"


class PackError(DataError):
    """An operator's pack is unsigned, broken or incomplete; none of it is used."""


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    safelight_pack: Literal[1]
    payload: bytes
    signature: bytes


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Version
    catalogues: Annotated[dict[str, msgspec.Raw], msgspec.Meta(min_length=1)]
    structure: msgspec.Raw = msgspec.Raw(b"")
    helplines: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True)
class NoticePack:
    """A pack that was checked.

    Attributes:
        version: of the pack.
        key: the operator's key that signed it.
        catalogues: by language; English is among them.
        directory: ``None``: the built-in one stays.
    """

    version: str
    key: OperatorKey
    catalogues: dict[str, Catalogue]
    directory: tuple[HelpService, ...] | None

    def notices(self, languages: Sequence[str] = ()) -> BuiltinNotices:
        """What :func:`~safelight.notices.select_notice` needs, in the reader's language."""
        tag = best_language(languages, tuple(self.catalogues)) or SOURCE_LANGUAGE
        if self.directory is not None:
            return BuiltinNotices(self.catalogues[tag], self.directory, ())
        builtin = load_builtin()
        unreadable = (CATALOGUE_UNVERIFIED,) if not builtin.directory else ()
        return BuiltinNotices(self.catalogues[tag], builtin.directory, unreadable)


def make_pack(
    secret: OperatorSecret,
    *,
    version: str,
    catalogues: dict[str, bytes],
    structure: bytes | None = None,
    helplines: bytes | None = None,
) -> bytes:
    """Check texts and sign them as one file.

    Args:
        secret: the operator's private key.
        version: three numbers, e.g. ``1.4.0``; a device can refuse what is older than what it had.
        catalogues: content of the language files by tag; English among them.
        structure: content of a ``structure.json``; the built-in one where left out.
        helplines: content of a ``helplines.json``; the built-in one where left out.

    Raises:
        PackError: a device would refuse it.
        DataError: one of the files is not of its schema.
    """
    payload = msgspec.json.encode(
        {
            "version": version,
            "catalogues": {lang: msgspec.Raw(data) for lang, data in catalogues.items()},
            **({"structure": msgspec.Raw(structure)} if structure is not None else {}),
            **({"helplines": msgspec.Raw(helplines)} if helplines is not None else {}),
        }
    )
    _read_payload(payload, secret.public)
    signature = secret.sign(_PREFIX + payload)
    return msgspec.json.encode({"safelight_pack": 1, "payload": payload, "signature": signature})


def read_pack(
    content: bytes,
    *,
    trust: Iterable[OperatorKey | str],
    at_least: str | None = None,
    test_mode: bool = False,
) -> NoticePack:
    """Check a pack and return it.

    Args:
        content: of the file.
        trust: public keys of the operators whose packs count.
        at_least: version that was in use before: an older pack is refused.
        test_mode: accept the public test keys.

    Raises:
        PackError: not signed by a trusted key, broken, too old or incomplete.
        MissingExtraError: PyNaCl is not installed (extra ``[lists]``).
        UsageError: ``trust`` holds no usable key.
    """
    keys = trusted_keys(trust, test_mode=test_mode)
    if len(content) > MAX_PACK_BYTES:
        raise PackError(f"notice pack: got {len(content)} bytes, expected at most {MAX_PACK_BYTES}; make a smaller one")
    envelope = None
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
        envelope = msgspec.json.decode(content, type=_Envelope)
    if envelope is None:
        raise PackError(
            f"notice pack: got {len(content)} bytes that are no signed pack; expected what 'make_pack' returned; "
            "ask the operator for the file again"
        )
    key = _signer(envelope, keys)
    if key is None:
        raise PackError(
            f"notice pack: got a signature of none of the {len(keys)} trusted keys; expected one of them; "
            "ask the operator for the file, or for the key that goes with it"
        )
    pack = _read_payload(envelope.payload, key)
    if at_least is not None and _numbers(pack.version) < _numbers(at_least):
        raise PackError(
            f"notice pack: got version {pack.version}, expected {at_least} or later; ask the operator for the newest"
        )
    return pack


def load_notices(
    content: bytes | None,
    *,
    trust: Iterable[OperatorKey | str] = (),
    languages: Sequence[str] = (),
    at_least: str | None = None,
    test_mode: bool = False,
) -> BuiltinNotices:
    """The operator's words and services if they can be believed, else the built-in ones and why; never raises.

    Args:
        content: of the pack's file, or ``None`` if it could not be read.
        trust, at_least, test_mode: as for :func:`read_pack`.
        languages: BCP 47 tags of the reader, best first.
    """
    with contextlib.suppress(SafelightError):
        if content is not None:
            return read_pack(content, trust=trust, at_least=at_least, test_mode=test_mode).notices(languages)
    builtin = load_builtin(languages)
    return BuiltinNotices(builtin.catalogue, builtin.directory, (*builtin.reasons, PACK_REFUSED))


def check_coverage(structure: Structure) -> None:
    """Make sure that every reader gets words for every action, whatever the trigger.

    Raises:
        PackError: a band, action and event for which there is no ``generic`` notice.
    """
    there = {
        (band, action, event)
        for entry in structure.notices
        if entry.cell == "generic"
        for band in entry.bands
        for action in entry.actions
        for event in entry.events
    }
    wanted = {(band, action, event) for band in AgeBand for action in ACTION_NAMES for event in Event}
    if wanted - there:
        band, action, event = sorted(wanted - there)[0]
        raise PackError(
            f"notice pack: got no 'generic' notice for {band}, {action}, {event}; expected one for every band, action "
            "and event; add it to the structure"
        )


def _read_payload(payload: bytes, key: OperatorKey) -> NoticePack:
    try:
        content = msgspec.json.decode(payload, type=_Payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PackError(
            f"notice pack: got a payload that does not follow its schema ({error}); expected a version and catalogues; "
            "make it with 'make_pack'"
        ) from error
    if SOURCE_LANGUAGE not in content.catalogues:
        raise PackError("notice pack: got no English catalogue; expected one, for what other languages lack; add it")
    builtin = load_builtin()
    if bytes(content.structure):
        structure = load_structure(bytes(content.structure))
    elif builtin.catalogue is not None:
        structure = builtin.catalogue.structure
    else:
        raise PackError("notice pack: got no structure, and the built-in one cannot be read; add one to the pack")
    check_coverage(structure)
    source = load_catalogue(structure, bytes(content.catalogues[SOURCE_LANGUAGE]))
    catalogues = {SOURCE_LANGUAGE: source}
    for lang, data in content.catalogues.items():
        catalogues[lang] = load_catalogue(structure, bytes(data), fallback=source)
        if catalogues[lang].lang != lang:
            raise PackError(
                f"notice pack: got a catalogue of {catalogues[lang].lang!r} as {lang!r}; expected its own tag"
            )
    if any(entry.lang != SOURCE_LANGUAGE for entry in source.notices) or len(source.notices) != len(structure.notices):
        raise PackError("notice pack: got an unfinished English catalogue; expected every notice in it; complete it")
    directory = load_directory(bytes(content.helplines)) if bytes(content.helplines) else None
    return NoticePack(content.version, key, catalogues, directory)


def _signer(envelope: _Envelope, keys: Iterable[OperatorKey]) -> OperatorKey | None:
    signing, bad_signature = _nacl()
    for key in sorted(keys):
        try:
            signing.VerifyKey(bytes.fromhex(key.public_hex)).verify(_PREFIX + envelope.payload, envelope.signature)
        except (bad_signature, ValueError):
            continue
        return key
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _nacl() -> tuple[Any, type[Exception]]:
    try:
        from nacl import exceptions, signing
    except ImportError:
        raise MissingExtraError(
            "PyNaCl: got no installation, expected it for signed packs; pip install 'safelight[lists]'"
        ) from None
    return signing, exceptions.BadSignatureError
