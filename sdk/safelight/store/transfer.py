"""Settings as a file, for another device: authentic, without the PIN's hash, and never a way around the two keys.

The file is authenticated with a *transfer code* that is made for it and shown once. A code of 100 random bits, because
a file that anybody may copy must not let the guardian's PIN be guessed against it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from typing import Annotated, Any, Final, Literal

import msgspec
import nacl.pwhash.argon2id as argon2id
import nacl.utils

from safelight.errors import UsageError
from safelight.store import changes
from safelight.store import pin as pins
from safelight.store.settings import Settings, validated

MAX_BYTES: Final = 256 * 1024
_MAC_BYTES: Final = 32


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    safelight_settings: Literal[1]
    settings: dict[str, Any]
    salt: Annotated[bytes, msgspec.Meta(min_length=argon2id.SALTBYTES, max_length=argon2id.SALTBYTES)]
    mac: bytes


def export_settings(settings: Settings) -> tuple[bytes, str]:
    """The file's content (JSON), and the code without which it is not taken elsewhere."""
    code = pins.new_code()
    salt = nacl.utils.random(argon2id.SALTBYTES)
    values = settings.to_dict()
    document = _File(1, values, salt, _mac(values, code, salt))
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n", code


def import_settings(content: bytes, code: str) -> Settings:
    """The settings in a file.

    Raises:
        UsageError: it is no such file, it was changed, or the code is another file's.
    """
    document: _File | None = None
    if len(content) <= MAX_BYTES:
        with contextlib.suppress(msgspec.DecodeError, ValueError):
            document = msgspec.json.decode(content, type=_File)
    if document is None:
        raise UsageError("import: got a file that is no export of settings; make one with `safelight policy export`.")
    expected = _mac(document.settings, pins.normal_code(code), document.salt)
    if not hmac.compare_digest(expected, document.mac):
        raise UsageError(
            "import: got a file that was changed, or another file's code; check the code, or export again."
        )
    return validated(document.settings)


def patch_to(current: Settings, target: Settings) -> dict[str, Any]:
    """The patch that turns one document into another, key by key."""
    patch: dict[str, Any] = {}
    old, new = current.to_dict(), target.to_dict()
    for name in changes.PLAIN:
        if old[name] != new[name]:
            patch[name] = new[name]
    for name in ("rules", "consent", "bedtime", "allowance"):
        for key in sorted({*old[name], *new[name]}):
            if key not in new[name]:
                patch[f"{name}.{key}"] = None
            elif key not in old[name] or old[name][key] != new[name][key]:
                value = new[name][key]
                patch[f"{name}.{key}"] = "none" if value is None else value
    for purpose in sorted({*old["windows"], *new["windows"]}):
        if purpose not in new["windows"]:
            patch[f"windows.{purpose}"] = None
        elif old["windows"].get(purpose) != new["windows"][purpose]:
            patch[f"windows.{purpose}"] = new["windows"][purpose]
    return patch


def _mac(values: dict[str, Any], code: str, salt: bytes) -> bytes:
    key = pins.derive_key(code, salt)
    content = msgspec.json.encode(values, order="deterministic")
    return hashlib.blake2b(b"safelight settings export\0" + content, digest_size=_MAC_BYTES, key=key).digest()
