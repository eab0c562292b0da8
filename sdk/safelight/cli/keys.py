"""``safelight keys``: operator keys, whose public half devices trust."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from safelight.cli.output import print_json
from safelight.errors import UsageError


@click.group()
def keys() -> None:
    """Operator keys: who may give devices hash lists."""


@keys.command("new")
@click.argument("name", metavar="NAME")
@click.option("--passphrase-file", type=click.Path(dir_okay=False), metavar="FILE", help="First line seals the key.")
@click.option("--no-passphrase", is_flag=True, help="Leave the private key readable for this user.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def new(name: str, passphrase_file: str | None, no_passphrase: bool, as_json: bool) -> None:
    """Make NAME.key (private; keep it offline) and NAME.pub (give it to devices). Never overwrites.

    Asks for a passphrase, which seals the private key, unless told otherwise.
    """
    from safelight.signing import OperatorSecret, write_new_file

    if passphrase_file is not None and no_passphrase:
        raise click.UsageError("--passphrase-file and --no-passphrase: got both, expected one.")
    private, public = Path(f"{name}.key"), Path(f"{name}.pub")
    if private.exists() or public.exists():
        raise click.UsageError("NAME: got one that exists, expected a new one; keys are never overwritten.")
    passphrase = None if no_passphrase else read_passphrase(passphrase_file, confirm=True)
    secret = OperatorSecret.new()
    secret.save(private, passphrase=passphrase)
    failed = False
    try:
        write_new_file(public, f"{secret.public.text} {public.stem}\n".encode())
    except OSError:
        failed = True
        private.unlink(missing_ok=True)
    if failed:
        raise UsageError("NAME: the public key could not be written, expected a folder of this user with room.")
    if as_json:
        print_json(
            {
                "private": str(private),
                "public": str(public),
                "key": secret.public.text,
                "sealed": passphrase is not None,
            }
        )
        return
    click.echo(f"{private}  private{'' if passphrase else ', NOT sealed'}: whoever has it decides what devices hold")
    click.echo(f"{public}  public: give it to devices as trust")
    click.echo(secret.public.text)


def read_passphrase(file: str | None, *, confirm: bool = False) -> str:
    """From the first line of a file, or asked for."""
    if file is not None:
        text: str | None = None
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
            text = lines[0] if lines else ""
        except (OSError, UnicodeDecodeError):
            text = None
        if not text:
            raise click.UsageError(
                "--passphrase-file: got no readable text, expected the passphrase in the first line."
            )
        return text
    if not sys.stdin.isatty():
        raise click.UsageError("passphrase: nobody is there to ask; give --passphrase-file FILE or --no-passphrase.")
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
