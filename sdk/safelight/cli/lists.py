"""``safelight lists``: build, inspect, verify and install signed hash lists."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli.output import print_json
from safelight.errors import ListMissingError, SafelightError

if TYPE_CHECKING:
    from safelight.lists import HashList, KnownList
    from safelight.signing import OperatorSecret

EXIT_FAILED = 1

_FORMATS = ("text", "threatexchange", "te-csv", "ncmec", "stopncii")
_trust_option = click.option(
    "--trust", multiple=True, metavar="KEY", help="Operator's public key, or its .pub file. May be repeated."
)
_keys_folder_option = click.option(
    "--keys-folder", metavar="FOLDER", help="Where this device's key is, if not in its usual place."
)
_test_mode_option = click.option("--test-mode", is_flag=True, help="Accept the public test keys.")
_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a list, one a line.")


@click.group()
def lists() -> None:
    """Signed lists of known material: for operators (build, verify) and devices (update, inspect).

    Nothing here uses a network: copy a repository's folder in any way you like.
    """


@lists.command("build")
@click.argument("repository", metavar="REPOSITORY")
@click.argument("sources", nargs=-1, metavar="[SOURCE…]")
@click.option("--list-id", metavar="ID", help="Name of the list, e.g. partners-2026.")
@click.option("--format", "source_format", type=click.Choice(_FORMATS), default="text", show_default=True)
@click.option("--kind", type=click.Choice(["pdq", "sha256"]), default="pdq", show_default=True, help="Of text sources.")
@click.option("--category", metavar="NAME", help="For entries whose source says none.")
@click.option("--negatives", multiple=True, metavar="FILE", help="Text file of PDQ hashes that must never match.")
@click.option(
    "--profile", type=click.Choice(["full", "thumb512", "near512"]), default="full", show_default=True, help="Of PDQ."
)
@click.option("--dihedral", is_flag=True, help="Look for turned and mirrored copies as well.")
@click.option("--max-distance", type=click.IntRange(0, 31), default=31, show_default=True, help="Bits of 256.")
@click.option("--key", "keys", multiple=True, required=True, metavar="FILE", help="Private key. May be repeated.")
@click.option("--online-key", metavar="FILE", help="Private key that signs what runs out soon.")
@click.option("--threshold", type=click.IntRange(1), default=1, show_default=True, help="How many keys must sign.")
@click.option("--passphrase-file", type=click.Path(dir_okay=False), metavar="FILE", help="For sealed keys.")
@_json_option
def build(
    repository: str,
    sources: tuple[str, ...],
    list_id: str | None,
    source_format: Any,
    kind: Any,
    category: str | None,
    negatives: tuple[str, ...],
    profile: str,
    dihedral: bool,
    max_distance: int,
    keys: tuple[str, ...],
    online_key: str | None,
    threshold: int,
    passphrase_file: str | None,
    as_json: bool,
) -> None:
    """Read SOURCEs and publish them as the next version of a list in REPOSITORY, made if it is not there.

    The sources are the whole list: what is not in them is taken off. Without SOURCEs, everything is signed again,
    which renews what runs out (30 days).
    """
    from safelight.lists import RepositoryKeys, Source, build_list, create_repository, publish, write_files

    if bool(sources) != (list_id is not None):
        raise click.UsageError("SOURCE and --list-id: got one without the other, expected both or neither.")
    secrets = [_load_secret(name, passphrase_file) for name in keys]
    online = _load_secret(online_key, passphrase_file) if online_key is not None else None
    signing = RepositoryKeys(secrets, online, threshold)
    folder = Path(repository)
    if not (folder / "metadata").is_dir():
        write_files(folder, create_repository(signing))
    if list_id is None:
        files = publish(_mirror(folder), [], keys=signing)
        write_files(folder, files)
        _say({"repository": repository, "renewed": True}, "signed again", as_json)
        return
    previous = _published(folder, list_id)
    given = [Source(name, source_format, kind, category, profile) for name in sources]
    refused = [Source(name, "text", "pdq", None, profile) for name in negatives]
    with _bar("Reading", quiet=as_json) as show:
        made, reports = build_list(
            list_id,
            previous.info.version + 1 if previous is not None else 1,
            given,
            negatives=refused,
            dihedral=dihedral,
            max_distance=max_distance,
            previous=previous,
            progress=lambda number, records: show(f"source {number}: {records:,} records"),
        )
    files = publish(_mirror(folder), [made], keys=signing)
    write_files(folder, files)
    sizes = {name: len(data) for name, data in files.items()}
    full = max((size for name, size in sizes.items() if name.endswith(".list")), default=0)
    delta = next((size for name, size in sizes.items() if name.endswith(".delta")), None)
    skipped: dict[str, int] = {}
    for report in reports:
        for what, count in report.skipped.items():
            skipped[what] = skipped.get(what, 0) + count
    row = {
        "list": list_id,
        "version": made.info.version,
        "profile": made.info.profile.value,
        "hashes": {name: count for name, count in made.counts.items() if count},
        "records": sum(report.records for report in reports),
        "skipped": skipped,
        "full_bytes": full,
        "delta_bytes": delta,
    }
    left_out = "; left out: " + ", ".join(f"{count:,} {what}" for what, count in skipped.items()) if skipped else ""
    _say(
        row,
        f"{list_id} version {made.info.version}: {len(made):,} hashes of {row['records']:,} records{left_out}\n"
        f"full {full:,} bytes" + (f", delta {delta:,} bytes" if delta is not None else ""),
        as_json,
    )


@lists.command("inspect")
@click.argument("folder", metavar="LIST")
@_trust_option
@_keys_folder_option
@_test_mode_option
@_json_option
def inspect(folder: str, trust: tuple[str, ...], keys_folder: str | None, test_mode: bool, as_json: bool) -> None:
    """Say what is installed in LIST (a device's folder) or published in it (a repository or mirror)."""
    from safelight.lists import ListStore

    if _is_repository(folder):
        for row in _describe_repository(folder):
            _say(row, _sentence(row), as_json)
        return
    store = ListStore(folder, trust=read_trust(trust), keys=_provider(keys_folder), test_mode=test_mode)
    for one in store.installed():
        row = {
            "list": one.list_id,
            "version": one.version,
            "hashes": one.hashes,
            "expires": one.expires.isoformat(),
            "stale": one.stale,
        }
        _say(row, _sentence(row), as_json)


@lists.command("verify")
@click.argument("folder", metavar="LIST")
@_trust_option
@_keys_folder_option
@_test_mode_option
@_json_option
def verify(folder: str, trust: tuple[str, ...], keys_folder: str | None, test_mode: bool, as_json: bool) -> None:
    """Check every signature, digest and file of LIST, installed or published, as a device would.

    Exits 0 when a device would take and use it, 1 when it would not.
    """
    try:
        opened = open_lists(folder, trust, keys_folder, test_mode=test_mode)
    except SafelightError as error:
        if not as_json:
            raise
        print_json({"ok": False, "error": {"type": type(error).__name__, "message": str(error)}})
        sys.exit(EXIT_FAILED)
    for one in opened:
        with one:
            row = {"ok": True, "list": one.list_id, "version": one.info.version, "hashes": len(one)}
            _say(row, f"{one.list_id} version {one.info.version}: {len(one):,} hashes, good", as_json)


@lists.command("update")
@click.argument("folder", metavar="LIST")
@click.option("--from", "mirror", required=True, metavar="MIRROR", help="Folder of a copied repository, or its ZIP.")
@click.option("--reinstall", is_flag=True, help="Begin anew when what is installed is damaged.")
@_trust_option
@_keys_folder_option
@_test_mode_option
@_json_option
def update(
    folder: str,
    mirror: str,
    reinstall: bool,
    trust: tuple[str, ...],
    keys_folder: str | None,
    test_mode: bool,
    as_json: bool,
) -> None:
    """Install from MIRROR into LIST, this device's folder. What is refused changes nothing."""
    from safelight.lists import ListStore

    store = ListStore(folder, trust=read_trust(trust), keys=_provider(keys_folder), test_mode=test_mode)
    with _bar("Installing", quiet=as_json) as show:
        done = store.update(
            _mirror(Path(mirror)),
            reinstall=reinstall,
            progress=lambda list_id, part: show(f"{list_id} {part:.0%}"),
        )
    for one in done:
        row = {
            "list": one.list_id,
            "from_version": one.from_version,
            "to_version": one.to_version,
            "how": one.how,
            "bytes_read": one.bytes_read,
        }
        _say(
            row,
            f"{one.list_id}: {one.how}, version {one.from_version or '-'} → {one.to_version or '-'}, "
            f"{one.bytes_read:,} bytes read",
            as_json,
        )
    if not done:
        _say({"lists": 0}, "the repository has no lists", as_json)


def open_lists(
    folder: str, trust: tuple[str, ...], keys_folder: str | None, *, test_mode: bool
) -> tuple[KnownList, ...]:
    """Lists of a device's folder, or of a mirror: then installed in memory-backed files of this run alone."""
    from safelight.lists import ListStore

    if not _is_repository(folder):
        store = ListStore(folder, trust=read_trust(trust), keys=_provider(keys_folder), test_mode=test_mode)
        return store.open()
    import tempfile

    with tempfile.TemporaryDirectory(prefix="safelight-") as here:
        # Sealed with a key that is gone with this folder.
        store = ListStore(
            Path(here) / "lists", trust=read_trust(trust), keys=_provider(f"{here}/keys"), test_mode=test_mode
        )
        store.update(folder)
        return store.open()


def _is_repository(folder: str) -> bool:
    if not Path(folder).is_dir():
        raise ListMissingError("LIST: got a path that is no folder, expected installed lists or a mirror; check it")
    return (Path(folder) / "metadata" / "timestamp.json").exists()


def _mirror(path: Path) -> Any:
    from safelight.lists import open_mirror

    if path.is_file():
        return open_mirror(path.read_bytes())
    return open_mirror(path)


def _published(folder: Path, list_id: str) -> HashList | None:
    from safelight.lists import open_mirror, read_list
    from safelight.lists._rules import read_targets
    from safelight.lists.repository import published_lists, read_repository, read_target

    mirror = open_mirror(folder)
    targets = read_targets(read_repository(mirror))
    name = published_lists(targets).get(list_id)
    return read_list(read_target(mirror, targets, name)) if name is not None else None


def _describe_repository(folder: str) -> Iterator[dict[str, Any]]:
    from safelight.lists import open_mirror
    from safelight.lists._rules import expires, read_targets
    from safelight.lists.repository import published_deltas, published_lists, read_repository

    seen = read_repository(open_mirror(folder))
    targets = read_targets(seen)
    names = published_lists(targets)
    if not names:
        raise ListMissingError("repository: it has no list yet; publish one with 'safelight lists build'")
    for list_id, name in sorted(names.items()):
        custom = targets.targets[name].unrecognized_fields["custom"]
        deltas = published_deltas(targets, list_id)
        yield {
            "list": list_id,
            "version": custom["version"],
            "hashes": custom.get("hashes"),
            "full_bytes": targets.targets[name].length,
            "deltas": len(deltas),
            "delta_bytes": sum(targets.targets[delta].length for _, delta in deltas.values()),
            "expires": expires(seen).isoformat(),
        }


def _sentence(row: dict[str, Any]) -> str:
    text = f"{row['list']} version {row['version']}: {row['hashes']:,} hashes, signed until {row['expires'][:10]}"
    if row.get("stale"):
        text += ", STALE: it keeps matching; get a newer mirror"
    if "deltas" in row:
        text += f"; full {row['full_bytes']:,} bytes, {row['deltas']} deltas of {row['delta_bytes']:,}"
    return text


def _load_secret(name: str, passphrase_file: str | None) -> OperatorSecret:
    from safelight.cli.keys import read_passphrase
    from safelight.errors import UsageError
    from safelight.signing import OperatorSecret

    try:
        return OperatorSecret.load(name)
    except UsageError as error:
        if "passphrase" not in str(error):
            raise
    return OperatorSecret.load(name, passphrase=read_passphrase(passphrase_file))


def read_trust(trust: tuple[str, ...]) -> list[str]:
    """Keys as given, or read from .pub files."""
    found = []
    for text in trust:
        path = Path(text)
        if not text.startswith("ed25519:") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
        found.append(text)
    if not found:
        raise click.UsageError("--trust: got none, expected the operator's public key or its .pub file.")
    return found


def _provider(keys_folder: str | None) -> Any:
    from safelight.keys import FileKeyProvider

    return FileKeyProvider(keys_folder)


def _say(row: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_json(row)
    else:
        click.echo(text)


@contextmanager
def _bar(title: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on standard error that says how far it is, when somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status(title) as status:
        yield lambda text: status.update(f"{title}: {text}")
