"""The command line: setting up, serving, tokens, keys, migrations, retention.

Exit status: 0 done; 2 usage; 1 could not do it. Every command takes ``--json``: one object a line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from nacl.public import PrivateKey
from safelight.signing import write_new_file

from safelight_collector import __version__
from safelight_collector.app import token_digest
from safelight_collector.asgi import no_core_dump
from safelight_collector.errors import CollectorError, SetupError
from safelight_collector.intake import SealingKeys, public_half
from safelight_collector.settings import (
    OPERATOR_TOKEN_FILE,
    PREFIX,
    Settings,
    folder,
    read_settings,
    sealing_key_text,
)
from safelight_collector.storage import Storage, today

F = TypeVar("F", bound=Callable[..., Any])

_KEY_NAME: Final = re.compile(r"sealing[A-Za-z0-9_.-]{0,40}\.key\Z")
_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def _say(as_json: bool, values: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(values, default=str, ensure_ascii=False) if as_json else text)


def _storage(settings: Settings | None = None) -> Storage:
    settings = settings or read_settings()
    if settings.database_url.startswith("sqlite") and not folder().is_dir():
        raise SetupError("folder: there is none yet; run 'safelight-collector init', or name another one with --dir")
    return Storage(settings)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="safelight-collector")
@click.option(
    "--dir",
    "place",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"The collector's folder. Default: {PREFIX}DIR, systemd's STATE_DIRECTORY, or this user's.",
)
def cli(place: Path | None) -> None:
    """Takes sealed hash records from devices, stores each exactly once, and nothing else.

    Settings are environment variables that start with SAFELIGHT_COLLECTOR_; docs/collector.md lists them.
    """
    if place is not None:
        os.environ[f"{PREFIX}DIR"] = str(place.absolute())


@cli.command()
@_json_option
def init(as_json: bool) -> None:
    """Make the folder, the sealing key, the operator's token and the tables. Done again, it changes nothing."""
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SetupError(f"folder: cannot be made ({error.strerror}); name another one with --dir") from None
    made = []
    if not read_settings().sealing_keys:
        _write_secret(place / "sealing.key", sealing_key_text(bytes(PrivateKey.generate())))
        made.append("sealing.key")
    if not read_settings().operator_token:
        _write_secret(place / OPERATOR_TOKEN_FILE, secrets.token_urlsafe(32) + "\n")
        made.append(OPERATOR_TOKEN_FILE)
    settings = read_settings()
    storage = _storage(settings)
    try:
        before, after = storage.migrate()
        if not storage.sealing_keys():
            storage.add_sealing_key(public_half(settings.sealing_keys[0]))
        current = SealingKeys(settings.sealing_keys, storage.sealing_keys()).current
    finally:
        storage.close()
    _say(
        as_json,
        {"made": made, "schema_before": before, "schema": after, "sealing_key": current.hex()},
        f"Made: {', '.join(made) or 'nothing new'}. Schema {after}. Devices seal to {current.hex()}.\n"
        "Keep a copy of sealing.key where this machine cannot reach it: without it nothing that devices sealed can be "
        "read.\nNext: safelight-collector token new --uses N, then safelight-collector serve.",
    )


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8600, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--uds", type=click.Path(dir_okay=False, path_type=Path), metavar="SOCKET", help="A Unix socket instead.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 128), help="Processes.")
@click.option("--tls-certificate", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="PEM chain.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="PEM key.")
@_json_option
def serve(
    host: str,
    port: int,
    uds: Path | None,
    workers: int,
    tls_certificate: str | None,
    tls_key: str | None,
    as_json: bool,
) -> None:
    """Take records until stopped. Prints one line when it listens; no address of anybody is logged."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    # What a worker would find out is said once, here, and as one line.
    settings = read_settings()
    storage = _storage(settings)
    try:
        storage.check_ready()
        SealingKeys(settings.sealing_keys, storage.sealing_keys())
    finally:
        storage.close()
    if not settings.operator_token:
        click.echo("safelight-collector: no operator.token: its pages, counters and metrics stay closed", err=True)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with tempfile.TemporaryDirectory(prefix="safelight-collector-", dir=os.environ.get("RUNTIME_DIRECTORY")) as shared:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        config = uvicorn.Config(
            "safelight_collector.asgi:create",
            factory=True,
            host=host,
            port=port,
            uds=str(uds) if uds else None,
            workers=workers,
            ssl_certfile=tls_certificate,
            ssl_keyfile=tls_key,
            access_log=False,
            log_config=_LOGGING,
            proxy_headers=False,
            server_header=False,
            ws="none",
            lifespan="off",
            limit_concurrency=settings.max_waiting + settings.max_in_flight,
            backlog=1024,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=15,
        )
        sockets = [_listen(host, port, uds)]
        bound = str(uds) if uds else "{}:{}".format(*sockets[0].getsockname()[:2])
        _say(as_json, {"listening": bound, "workers": workers}, f"Listening on {bound}, {workers} worker(s).")
        sys.stdout.flush()
        try:
            if workers > 1:
                Multiprocess(config, sockets=sockets).run()
            else:
                uvicorn.Server(config).run(sockets=sockets)
        finally:
            if uds is not None:
                uds.unlink(missing_ok=True)


def _listen(host: str, port: int, uds: Path | None) -> socket.socket:
    family = socket.AF_UNIX if uds is not None else socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if uds is not None:
            uds.unlink(missing_ok=True)
            listener.bind(str(uds))
            uds.chmod(0o660)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise SetupError(f"address: cannot listen there ({error.strerror}); name another one") from None
    listener.set_inheritable(True)
    return listener


_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}


@cli.group()
def token() -> None:
    """Enrolment tokens: what a device shows once, to have its key taken."""


@token.command("new")
@click.option("--uses", default=1, show_default=True, type=click.IntRange(1, 2_000_000_000), help="Devices.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3650), help="How long it may be used.")
@_json_option
def token_new(uses: int, days: int, as_json: bool) -> None:
    """Make a token and print it. It is shown this once: the database keeps a digest."""
    text = secrets.token_urlsafe(32)
    storage = _storage()
    try:
        number = storage.add_token(token_digest(text), max_uses=uses, days=days)
    finally:
        storage.close()
    _say(as_json, {"number": number, "token": text, "max_uses": uses, "days": days}, text)


@token.command("list")
@_json_option
def token_list(as_json: bool) -> None:
    """Every token: number, used, of how many, until when."""
    storage = _storage()
    try:
        found = storage.tokens()
    finally:
        storage.close()
    for one in found:
        state = "revoked" if one["revoked"] else ("past" if one["expires_on"] < today() else "in force")
        _say(as_json, one, f"{one['id']}\t{one['uses']} of {one['max_uses']}\tuntil {one['expires_on']}\t{state}")


@token.command("revoke")
@click.argument("number", type=int)
@_json_option
def token_revoke(number: int, as_json: bool) -> None:
    """Nobody enrols with token NUMBER any more; devices that did stay enrolled."""
    storage = _storage()
    try:
        done = storage.revoke_token(number)
    finally:
        storage.close()
    if not done:
        raise SetupError(f"token: got {number}, which is none in force; 'token list' shows them")
    _say(as_json, {"number": number, "revoked": True}, f"Token {number} is revoked.")


@cli.group()
def key() -> None:
    """Sealing keys: what devices seal records to."""


@key.command("new")
@click.option("--name", default=None, metavar="FILE", help="File in the folder, as sealing-2027.key.")
@_json_option
def key_new(name: str | None, as_json: bool) -> None:
    """Make a further sealing key. Devices are told it after 'key use'; old ones stay until 'key retire'."""
    name = name or f"sealing-{today().isoformat()}.key"
    if not _KEY_NAME.match(name):
        raise click.UsageError("--name: expected a file name as sealing-2027.key")
    secret = bytes(PrivateKey.generate())
    _write_secret(folder() / name, sealing_key_text(secret))
    public = public_half(secret).hex()
    _say(
        as_json,
        {"file": name, "public_key": public},
        f"{public}\nCopy {name} to every machine of the collector, then: safelight-collector key use {public}",
    )


@key.command("use")
@click.argument("public_key")
@_json_option
def key_use(public_key: str, as_json: bool) -> None:
    """Tell devices PUBLIC_KEY from now on. Its secret half must be here; restart every process afterwards."""
    settings = read_settings()
    public = _hex_key(public_key)
    if public not in {public_half(secret) for secret in settings.sealing_keys}:
        raise SetupError("sealing key: its secret half is not here, and devices would seal to it; copy its file")
    storage = _storage(settings)
    try:
        if not storage.add_sealing_key(public) and storage.sealing_keys()[-1:] != [public]:
            raise SetupError("sealing key: it was in use before, expected a new one; make one with 'key new'")
    finally:
        storage.close()
    _say(as_json, {"current": public.hex()}, "Devices are told it once the processes are restarted.")


@key.command("retire")
@click.argument("public_key")
@_json_option
def key_retire(public_key: str, as_json: bool) -> None:
    """No device has anything left that is sealed to PUBLIC_KEY; what still comes is refused for good."""
    public = _hex_key(public_key)
    storage = _storage()
    try:
        done = storage.retire_sealing_key(public)
    finally:
        storage.close()
    if not done:
        raise SetupError("sealing key: got one that is not in use; 'key list' shows them")
    _say(as_json, {"retired": public.hex()}, "Retired. Its file can go once the processes are restarted.")


@key.command("list")
@_json_option
def key_list(as_json: bool) -> None:
    """The keys in use, the one devices are told last, and whether their secret halves are here."""
    settings = read_settings()
    here = {public_half(secret) for secret in settings.sealing_keys}
    storage = _storage(settings)
    try:
        found = storage.sealing_keys()
    finally:
        storage.close()
    for public in found:
        values = {"public_key": public.hex(), "current": public == found[-1], "secret_here": public in here}
        words = ("current" if public == found[-1] else "older", "" if public in here else "SECRET HALF MISSING")
        _say(as_json, values, "\t".join((public.hex(), *filter(None, words))))


@cli.command()
@click.option("--to", "revision", default="head", show_default=True, metavar="REVISION", help="As Alembic names them.")
@click.option("--down", is_flag=True, help="Go back to REVISION: tables of later ones are dropped.")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 when the schema is not the newest.")
@_json_option
def migrate(revision: str, down: bool, check: bool, as_json: bool) -> None:
    """Bring the tables to the newest form. Safe to start from several machines: one does it, the others wait."""
    if down and revision == "head":
        raise click.UsageError("--down: expected --to REVISION as well")
    storage = _storage()
    try:
        if check:
            storage.check_ready()
            _say(as_json, {"schema": storage.revision(), "newest": True}, f"Schema {storage.revision()}: the newest.")
            return
        before, after = storage.migrate(revision, down=down)
    finally:
        storage.close()
    _say(as_json, {"schema_before": before, "schema": after}, f"Schema {before} → {after}.")


@cli.command()
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650), help="Contents are kept so long.")
@click.option("--count-days", default=1825, show_default=True, type=click.IntRange(1, 36500), help="And counts by day.")
@click.option("--believe-clock", is_flag=True, help="The collector did nothing for months, and the clock is right.")
@_json_option
def retention(days: int, count_days: int, believe_clock: bool, as_json: bool) -> None:
    """Erase what is older. A timer runs it daily; it may run beside a collector at work."""
    storage = _storage()
    show = sys.stderr.isatty()

    def progress(total: int) -> None:
        if show:
            click.echo(f"\r{total} rows", nl=False, err=True)

    try:
        done = storage.erase(days=days, count_days=count_days, believe_clock=believe_clock, progress=progress)
    finally:
        storage.close()
    if show:
        click.echo(err=True)
    _say(
        as_json,
        asdict(done),
        f"Erased the contents of {done.contents} records, {done.ids} ids of past keys, {done.days} rows of counts.",
    )


@cli.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day of receipt. Default: yesterday.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of receipt. Default: yesterday.")
def export(since: Any, until: Any) -> None:
    """Print what was stored in whole days, one JSON object a line, without any pseudonym: for adapters to hotlines."""
    yesterday = today() - timedelta(days=1)
    first: date = since.date() if since else yesterday
    last: date = until.date() if until else yesterday
    if first > last:
        raise click.UsageError("--since: got a day after --until")
    storage = _storage()
    try:
        for one in storage.export(first, last):
            click.echo(json.dumps(one, default=str, ensure_ascii=False))
    finally:
        storage.close()


def _write_secret(path: Path, text: str) -> None:
    problem = ""
    try:
        write_new_file(path, text.encode(), mode=0o600)
    except FileExistsError:
        problem = "there is one already, and keys are never overwritten; name another one"
    except OSError as error:
        problem = f"cannot be written ({error.strerror}); look at the folder"
    if problem:
        raise SetupError(f"{path.name}: {problem}")


def _hex_key(text: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise click.UsageError("PUBLIC_KEY: expected 64 hexadecimal digits; 'key list' shows them")
    return bytes.fromhex(text)


def main() -> None:
    """Run the command; an error of the collector becomes one line and an exit status, never a traceback."""
    os.umask(0o077)
    no_core_dump()
    try:
        cli.main(prog_name="safelight-collector", standalone_mode=True)
    except CollectorError as error:
        click.echo(f"safelight-collector: {error}", err=True)
        sys.exit(1)
