"""What an operator may set, in one value, and where secrets come from. Every process reads it from the environment.

A secret (sealing key, operator's token, the database's address) is looked for in this order: its own environment
variable; the folder of credentials that systemd hands over (``LoadCredential=``); the collector's own folder.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import platformdirs
from safelight.reporting.wire import MAX_BATCH, SEALED_BYTES

from safelight_collector.errors import SetupError

PREFIX: Final = "SAFELIGHT_COLLECTOR_"
SEALING_KEY_FILES: Final = "sealing*.key"
OPERATOR_TOKEN_FILE: Final = "operator.token"
DATABASE_FILE: Final = "database.url"
_MAX_SECRET_BYTES: Final = 4096
_SEALING_KEY: Final = re.compile(r"x25519-secret:([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits and places. Each field but the last is the variable ``SAFELIGHT_COLLECTOR_<NAME>``.

    Attributes:
        database_url: SQLAlchemy's address; SQLite in the collector's folder unless set. May hold a password.
        max_batch: records a request, 1 to 100 (devices of schema 1 take no longer answer).
        max_in_flight: requests that a process works on at once; more get 503.
        max_waiting: requests whose body a process reads at once; more get 503.
        body_timeout_s: how long a body may take to arrive.
        threads: of a process, for cryptography and the database; also its connections.
        rate_records_per_s: sustained, a pseudonym and process.
        burst_records: at once, a pseudonym and process.
        total_records_per_s: sustained, all pseudonyms of a process; 0 for no limit.
        keys_per_s: enrolments and rotations, a process.
        max_buckets: pseudonyms whose rate a process remembers.
        retry_after_s: what 503 asks for, at least.
        epoch_days: how long a device uses a key before it rotates.
        grace_days: how long after that the old key's records are still taken: a device may be switched off for months.
        min_cell: counts below it are withheld from what may be published.
        metrics_open: whether ``/metrics`` needs no token (when a firewall does that).
        sealing_keys: secret halves, 32 bytes each.
        operator_token: of ``/``, ``/metrics`` and ``/v1/counters``; without one they are closed.
    """

    database_url: str
    max_batch: int = 100
    max_in_flight: int = 32
    max_waiting: int = 256
    body_timeout_s: float = 20.0
    threads: int = 8
    rate_records_per_s: float = 2.0
    burst_records: int = 2000
    total_records_per_s: float = 0.0
    keys_per_s: float = 20.0
    max_buckets: int = 100_000
    retry_after_s: int = 2
    epoch_days: int = 30
    grace_days: int = 180
    min_cell: int = 10
    metrics_open: bool = False
    sealing_keys: tuple[bytes, ...] = field(default=(), repr=False)
    operator_token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("max_batch", 1, MAX_BATCH),
            ("max_in_flight", 1, 10_000),
            ("max_waiting", 1, 100_000),
            ("body_timeout_s", 0.1, 600),
            ("threads", 1, 256),
            ("rate_records_per_s", 0.001, 1e6),
            ("burst_records", 1, 10**7),
            ("total_records_per_s", 0, 1e9),
            ("keys_per_s", 0.001, 1e6),
            ("max_buckets", 1, 10**8),
            ("retry_after_s", 1, 3600),
            ("epoch_days", 1, 3650),
            ("grace_days", 1, 3650),
            ("min_cell", 1, 10_000),
        ):
            if not least <= getattr(self, name) <= most:
                raise SetupError(f"{name}: got {getattr(self, name)}, expected {least} to {most}; change the setting")
        if self.burst_records < self.max_batch:
            raise SetupError("burst_records: got less than max_batch, expected at least as many; raise it")

    @property
    def max_body_bytes(self) -> int:
        """What a full batch needs as JSON, with room for spaces."""
        return 1024 + self.max_batch * ((SEALED_BYTES + 2) // 3 * 4 + 256)


def folder(environ: Mapping[str, str] | None = None) -> Path:
    """The collector's folder: ``SAFELIGHT_COLLECTOR_DIR``, systemd's ``STATE_DIRECTORY``, or this user's."""
    environ = os.environ if environ is None else environ
    named = environ.get(f"{PREFIX}DIR") or environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(named) if named else platformdirs.user_data_path("safelight-collector")


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment and secrets from where they are kept.

    Raises:
        SetupError: a value of another form, or a secret that others may read.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for one in fields(Settings):
        text = environ.get(PREFIX + one.name.upper())
        if text is None or one.name in ("database_url", "sealing_keys", "operator_token"):
            continue
        kind = type(one.default)
        try:
            values[one.name] = _read_value(text, kind)
        except ValueError:
            raise SetupError(f"{one.name}: got text that is no {kind.__name__}; change the setting") from None
    places = [Path(place) for place in (environ.get("CREDENTIALS_DIRECTORY", ""),) if place] + [folder(environ)]
    url = environ.get(f"{PREFIX}DATABASE_URL") or _first(places, DATABASE_FILE)
    return Settings(
        database_url=url or f"sqlite:///{folder(environ) / 'collector.sqlite'}",
        sealing_keys=_sealing_keys(environ, places),
        operator_token=environ.get(f"{PREFIX}OPERATOR_TOKEN") or _first(places, OPERATOR_TOKEN_FILE),
        **values,
    )


def _read_value(text: str, kind: Any) -> Any:
    return text.lower() in ("1", "true", "yes") if kind is bool else kind(text)


def _sealing_keys(environ: Mapping[str, str], places: list[Path]) -> tuple[bytes, ...]:
    texts = [line for line in environ.get(f"{PREFIX}SEALING_KEY", "").split() if line]
    for place in places:
        texts += [_secret(path) for path in sorted(place.glob(SEALING_KEY_FILES))]
    keys = []
    for text in texts:
        match = _SEALING_KEY.match(text)
        if match is None:
            raise SetupError(
                "sealing key: got text of another form, expected 'x25519-secret:' and 64 hexadecimal digits; "
                "restore the file from its backup, or make a new key with 'safelight-collector key new'"
            )
        keys.append(bytes.fromhex(match[1]))
    return tuple(dict.fromkeys(keys))


def sealing_key_text(secret: bytes) -> str:
    """The content of a sealing key's file."""
    return f"x25519-secret:{secret.hex()}\n"


def _first(places: list[Path], name: str) -> str:
    for place in places:
        if (place / name).is_file():
            return _secret(place / name)
    return ""


def _secret(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_SECRET_BYTES)
    except OSError as error:
        raise SetupError(f"{path.name}: cannot be read ({error.strerror}); let the collector's user read it") from None
    # systemd shows credentials to the service only, whatever their mode says.
    if mode & (stat.S_IRWXO | stat.S_IWGRP) and "CREDENTIALS_DIRECTORY" not in os.environ:
        raise SetupError(f"{path.name}: others may read or change it, expected its owner only; chmod 600 it")
    return content.decode("ascii", "replace").strip()
