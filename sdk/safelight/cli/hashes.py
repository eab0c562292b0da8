"""``safelight hash`` and ``safelight match``: fingerprints of files, and whether a list has them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from safelight.cli.output import print_json
from safelight.errors import SafelightError

if TYPE_CHECKING:
    from safelight.lists import KnownList

EXIT_MATCHED = 3
EXIT_FAILED = 1
_HEAD_BYTES = 4096


@click.command("hash")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--profile",
    type=click.Choice(["full", "thumb512", "near512"]),
    default="full",
    show_default=True,
    help="PDQ: what is done before hashing. Lists say which they were made with.",
)
@click.option("--dihedral", is_flag=True, help="Also the hashes of the seven turned and mirrored pictures.")
@click.option("--sha256-only", is_flag=True, help="Do not decode; FILE may be anything.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file, one a line.")
def hash_command(files: tuple[str, ...], profile: str, dihedral: bool, sha256_only: bool, as_json: bool) -> None:
    """Print SHA-256 and PDQ of each FILE. Use - for standard input.

    A perceptual hash can be turned back into a blurred picture in part: treat it as sensitive. Quality below 50
    is the state LOW_QUALITY: such a hash matches nothing. Of an animation it is the first picture.
    """
    _own_process()
    failed = False
    for name in _progress(files, quiet=as_json):
        try:
            row = _hash_row(name, profile, dihedral=dihedral, sha256_only=sha256_only)
        except SafelightError as error:
            failed = True
            _report(name, error, as_json=as_json)
            continue
        failed = failed or row.get("state") not in (None, "OK", "LOW_QUALITY")
        if as_json:
            print_json(row)
        else:
            _print_hash(row)
    if failed:
        sys.exit(EXIT_FAILED)


def _hash_row(name: str, profile: str, *, dihedral: bool, sha256_only: bool) -> dict[str, Any]:
    from safelight.decision import State
    from safelight.hashing import pdq, pdq_dihedral, sha256
    from safelight.media import Image, Limits, NotJudged, load_image, read_content

    content = read_content(_source(name), limits=Limits())
    if not isinstance(content, bytes):
        state = content.state if isinstance(content, NotJudged) else State.NOT_MEDIA
        return {"input": name, "sha256": None, "pdq": None, "quality": None, "profile": profile, "state": state.value}
    row: dict[str, Any] = {"input": name, "sha256": sha256(content).hex(), "pdq": None, "quality": None}
    if sha256_only:
        return row | {"profile": None}
    row["profile"] = profile
    loaded = load_image(content)
    if isinstance(loaded, NotJudged):
        return row | {"state": loaded.state.value}
    with loaded as pictures:
        first = next(iter(pictures))
    if not isinstance(first, Image):
        return row | {"state": first.state.value}
    hashes = (
        pdq_dihedral(first.pixels, profile=profile)  # type: ignore[arg-type]
        if dihedral
        else (pdq(first.pixels, profile=profile),)  # type: ignore[arg-type]
    )
    row |= {"pdq": hashes[0].hex(), "quality": hashes[0].quality, "state": hashes[0].state.value}
    if dihedral:
        row["dihedral"] = [one.hex() for one in hashes]
    return row


def _print_hash(row: dict[str, Any]) -> None:
    from safelight._text import printable

    click.echo(printable(row["input"]))
    click.echo(f"  sha256  {row['sha256'] or '-'}")
    if row["profile"] is not None:
        quality = "" if row["quality"] is None else f"  quality {row['quality']}"
        click.echo(f"  pdq     {row['pdq'] or '-'}{quality}  profile {row['profile']}")
        for turned in row.get("dihedral", [])[1:]:
            click.echo(f"          {turned}")
        if row["state"] != "OK":
            meaning = ": matches nothing" if row["state"] == "LOW_QUALITY" else ": there is no PDQ"
            click.echo(f"  state   {row['state']}{meaning}")


@click.command("match")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--list", "folder", required=True, metavar="LIST", help="Folder of installed lists, or a mirror's.")
@click.option("--trust", multiple=True, metavar="KEY", help="Operator's public key, or its .pub file. May be repeated.")
@click.option("--keys-folder", metavar="FOLDER", help="Where this device's key is, if not in its usual place.")
@click.option("--test-mode", is_flag=True, help="Accept the public test keys.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file, one a line.")
def match(
    files: tuple[str, ...],
    folder: str,
    trust: tuple[str, ...],
    keys_folder: str | None,
    test_mode: bool,
    as_json: bool,
) -> None:
    """Say for each FILE whether a list in LIST has it: entry and distance, never the file's own hash.

    Exits 3 when a file matches or could not be judged, 0 when none does, 1 when a file could not be opened.
    """
    from safelight.cli.lists import open_lists

    _own_process()
    worst, failed = 0, False
    with ExitStack() as stack:
        opened = open_lists(folder, trust, keys_folder, test_mode=test_mode)
        for one in opened:
            stack.enter_context(one)
        for name in _progress(files, quiet=as_json):
            try:
                row = _match_row(name, opened)
            except SafelightError as error:
                failed = True
                _report(name, error, as_json=as_json)
                continue
            if row["matches"] or row["state"] != "OK":
                worst = EXIT_MATCHED
            if as_json:
                print_json(row)
            else:
                _print_match(row)
    if worst or failed:
        sys.exit(worst or EXIT_FAILED)


def _match_row(name: str, opened: tuple[KnownList, ...]) -> dict[str, Any]:
    from safelight.decision import Label, State
    from safelight.detect.base import worst_findings
    from safelight.detect.known import KnownLook, opened_lists
    from safelight.lists.clips import hash_clip
    from safelight.media import Limits, NotJudged, load_image, read_content
    from safelight.media.clip import is_clip

    content = read_content(_source(name), limits=Limits())
    if not isinstance(content, bytes):
        state = content.state if isinstance(content, NotJudged) else State.NOT_MEDIA
        return {"input": name, "state": state.value, "matches": []}
    look = KnownLook(opened_lists(opened), content)
    findings = look.file()
    not_judged: State | None = None
    clips: list[dict[str, Any]] = []
    if is_clip(content[:_HEAD_BYTES]) and any(one.has_clips for one in opened):
        clip = hash_clip(content)
        not_judged = clip.state if clip.state is not State.OK else None
        clips = [
            {
                "list": found.list_id,
                "entry_id": found.entry_id,
                "distance": found.distance,
                "query_matched_percent": round(found.query_matched_percent, 1),
                "list_matched_percent": round(found.list_matched_percent, 1),
            }
            for one in opened
            for found in one.match_clip(clip.hashes)
        ]
    elif look.needs_full_pictures:
        loaded = load_image(content, containers="look_inside", motion_photo="still_only")
        if isinstance(loaded, NotJudged):
            not_judged = loaded.state
        else:
            with loaded as pictures:
                for picture in pictures:
                    if isinstance(picture, NotJudged):
                        not_judged = picture.state
                    else:
                        findings += look.picture(picture)
    findings += look.finish()
    found = worst_findings(findings)
    states = [finding.state for finding in found if finding.state is not State.OK]
    return {
        "input": name,
        "state": str(not_judged or next(iter(states), State.OK)),
        "matches": [
            {"list": finding.model, "entry_id": finding.entry_id, "distance": finding.distance}
            for finding in found
            if finding.label is Label.MATCH
        ]
        + clips,
    }


def _print_match(row: dict[str, Any]) -> None:
    from safelight._text import printable

    name = printable(row["input"])
    for one in row["matches"]:
        alike = (
            f", {one['query_matched_percent']} % of it is {one['list_matched_percent']} % of the entry"
            if "query_matched_percent" in one
            else ""
        )
        click.echo(f"{name}: on list {one['list']}, entry {one['entry_id']}, distance {one['distance']}{alike}")
    if not row["matches"]:
        state = row["state"]
        click.echo(f"{name}: on no list" if state == "OK" else f"{name}: {state}, could not be compared as a picture")


def _own_process() -> None:
    # The command owns its process. Pillow's warnings are about files we turn into states anyway.
    warnings.filterwarnings("ignore", module=r"PIL(\.|\Z)")


def _source(name: str) -> Any:
    return sys.stdin.buffer.read() if name == "-" else name


def _report(name: str, error: SafelightError, *, as_json: bool) -> None:
    if as_json:
        print_json({"input": name, "error": {"type": type(error).__name__, "message": str(error)}})
        return
    from safelight._text import printable

    click.echo(f"safelight: {printable(name)}: {error}", err=True)


def _progress(files: tuple[str, ...], *, quiet: bool) -> Iterator[str]:
    if quiet or len(files) < 10 or not sys.stderr.isatty():
        yield from files
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(files, description="Hashing", console=Console(stderr=True), transient=True)
