"""``safelight helplines``: where to turn to, from the built-in directory."""

from __future__ import annotations

import click

from safelight.cli import _options as options
from safelight.cli.output import console, help_text, print_json
from safelight.decision import help_dict
from safelight.errors import UsageError


@click.command()
@click.option("--country", metavar="CODE", help="ISO 3166 country, e.g. GB. Default: international services.")
@options.LANG
@click.option("--audience", multiple=True, metavar="NAME", default=("child", "crisis"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a service, one a line.")
def helplines(country: str | None, lang: tuple[str, ...], audience: tuple[str, ...], as_json: bool) -> None:
    """List services that help, each with the date on which its details were read."""
    from safelight.guard import Guard
    from safelight.policy import Profile

    try:
        guard = Guard(Profile(country=country, languages=lang), detectors=())
        services = guard.help(audiences=audience)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    for service in services:
        if as_json:
            print_json(help_dict(service))
        else:
            console().print(help_text(service))
