"""``safelight takedown``: a notice for a hotline, after a person looked and said yes twice. Sends nothing."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safelight.cli._family import asks_a_person
from safelight.cli.output import print_json
from safelight.errors import MediaNotFoundError, SafelightError, UsageError

if TYPE_CHECKING:
    from safelight.exchange.takedown import SignOff, TakedownDraft

# The words of safelight.exchange.takedown, which a command line must not load to complete them; a test compares.
CATEGORIES = (
    "child_sexual_abuse_material",
    "child_sexual_exploitation_material",
    "live_online_child_sexual_abuse",
    "solicitation_of_a_child",
    "sexual_extortion_of_a_child",
    "own_image_of_a_child_shared",
    "intimate_image_of_an_adult_without_consent",
    "not_sure",
)
SITE_TYPES = (
    *("website", "forum", "social_media", "image_host", "file_host"),
    *("video_or_streaming", "messaging", "game", "search_engine", "other"),
)


@click.command()
@click.option("--url", required=True, metavar="URL", help="Where it was found.")
@click.option("--category", required=True, type=click.Choice(CATEGORIES), help="What you suspect.")
@click.option("--jurisdiction", required=True, metavar="CODE", help="Country whose hotline it goes to, e.g. LU.")
@click.option("--seen-on", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Day seen there. Default: today.")
@click.option("--site-type", type=click.Choice(SITE_TYPES), default="other", show_default=True)
@click.option("--hosted-in", metavar="CODE", help="Country of the server, if known.")
@click.option("--pdq", multiple=True, metavar="HASH", help="PDQ of it, hexadecimal or base64. May be repeated.")
@click.option("--sha256", multiple=True, metavar="HASH", help="SHA-256 of it. May be repeated.")
@click.option("--entry", "entries", multiple=True, metavar="LIST:ENTRY:DISTANCE", help="List entry that it matched.")
@click.option("--sign-off", metavar="FILE", help="Signed confirmation of exactly this notice, instead of asking.")
@click.option("--trust", multiple=True, metavar="KEY", help="Public key of a person who may sign off, or its file.")
@click.option("--sign", metavar="FILE", help="Private key: after both questions, write a sign-off instead of a notice.")
@click.option("--passphrase-file", type=click.Path(dir_okay=False), metavar="FILE", help="For a sealed key.")
@click.option("--format", "form", type=click.Choice(["markdown", "text"]), default="markdown", show_default=True)
@click.option("--out", metavar="FILE", help="Write to a new FILE instead of the screen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def takedown(
    url: str,
    category: str,
    jurisdiction: str,
    seen_on: datetime | None,
    site_type: str,
    hosted_in: str | None,
    pdq: tuple[str, ...],
    sha256: tuple[str, ...],
    entries: tuple[str, ...],
    sign_off: str | None,
    trust: tuple[str, ...],
    sign: str | None,
    passphrase_file: str | None,
    form: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Write a notice that asks a hotline to assess and remove something. Nothing is sent from here.

    A person has to confirm each notice twice. Where nobody sits at a terminal, --sign-off FILE must hold that
    confirmation, for exactly this notice, signed with a key named by --trust (made elsewhere with --sign).
    No picture can be attached, and no person can be named.
    """
    from safelight.exchange.takedown import Category, ListEntry, SiteType, TakedownDraft, hotline_for
    from safelight.hashing import PdqHash, Sha256Hash
    from safelight.notices import load_builtin

    if (sign_off is not None) != bool(trust):
        raise click.UsageError("--sign-off and --trust: got one without the other, expected both or neither.")
    if sign_off is not None and sign is not None:
        raise click.UsageError("--sign-off and --sign: got both, expected one.")
    today = date.today()
    try:
        draft = TakedownDraft(
            url,
            Category(category),
            jurisdiction.upper(),
            seen_on.date() if seen_on is not None else today,
            site_type=SiteType(site_type),
            hosted_in=hosted_in.upper() if hosted_in is not None else None,
            hashes=(*map(PdqHash.parse, pdq), *map(Sha256Hash.parse, sha256)),
            entries=tuple(map(ListEntry.parse, entries)),
        )
        if draft.seen_on > today:
            raise UsageError("seen-on: got a day that is still to come, expected one until today; check it")
        confirmed = _signed(sign_off) if sign_off is not None else _asked(draft, today)
        notice = draft.confirm(confirmed, trust=_keys(trust) if sign_off is not None else None)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    if sign is not None:
        from safelight.cli.lists import _load_secret
        from safelight.exchange.takedown import SignOff

        text = SignOff.sign(draft, _load_secret(sign, passphrase_file), confirmed_on=today).write().decode()
    else:
        hotlines = hotline_for(load_builtin().directory, jurisdiction=draft.jurisdiction, category=draft.category)
        if as_json and out is None:
            print_json(notice.to_dict(hotlines))
            return
        text = notice.to_markdown(hotlines) if form == "markdown" else notice.to_text(hotlines)
    if out is None:
        click.echo(text, nl=False)
        return
    _write(out, text)
    if as_json:
        print_json({"written": out, "reference": notice.reference, "sign_off": sign is not None, "sent": 0})
    else:
        click.echo(f"{out}: {'sign-off' if sign is not None else 'notice'} {notice.reference}; nothing was sent.")


def _asked(draft: TakedownDraft, today: date) -> SignOff:
    """Two questions at a terminal; anything but a whole yes to both ends it."""
    from safelight.exchange.takedown import SignOff

    if not asks_a_person():
        raise click.UsageError(
            "got no terminal to ask a person at, expected one, or --sign-off FILE with --trust KEY: a notice is "
            "written only after a person confirmed it."
        )
    click.echo(f"category      {draft.category.in_words}", err=True)
    click.echo(f"address       {draft.url}", err=True)
    click.echo(f"jurisdiction  {draft.jurisdiction}", err=True)
    click.echo(f"hashes        {len(draft.hashes)}, list entries {len(draft.entries)}\n", err=True)
    for question in (
        "Are these details right, as far as you know, and do you want a hotline to assess them?",
        "A notice cannot be taken back once a hotline has it. Write it?",
    ):
        if click.prompt(f"{question} Type yes or no", err=True, default="no").strip().lower() != "yes":
            raise SafelightError("takedown: got no second yes, expected two; nothing was written: run it again")
    return SignOff(draft.digest, today)


def _signed(path: str) -> SignOff:
    from safelight.exchange.takedown import SignOff

    return SignOff.read(_content(path, "sign-off"))


def _keys(given: tuple[str, ...]) -> list[str]:
    keys = []
    for one in given:
        text = one if one.startswith("ed25519:") else _content(one, "trust").decode("ascii", "replace")
        keys.append(text)
    return keys


def _content(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        raise MediaNotFoundError(f"{what}: got no file that can be opened, expected one; check the name.") from None


def _write(path: str, text: str) -> None:
    from safelight.signing import write_new_file

    problem = ""
    try:
        write_new_file(Path(path), text.encode("utf-8"), mode=0o600)
    except FileExistsError:
        problem = "got a name that exists, expected a new one; nothing was overwritten"
    except OSError:
        problem = "got a file that cannot be written, expected a folder of this user with room"
    if problem:
        click.echo(f"safelight: out: {problem}.", err=True)
        sys.exit(1)
