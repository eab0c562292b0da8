"""Entry point: the command group, and how errors reach a person.

Exit status: 0 allowed or done; 3 the action is BLUR or higher; 2 usage; 1 could not do it.
"""

from __future__ import annotations

import sys

import click

from safelight._build import __version__
from safelight.cli.capabilities import capabilities
from safelight.cli.chat import chat
from safelight.cli.check import check
from safelight.cli.completion import completion
from safelight.cli.doctor import doctor
from safelight.cli.hashes import hash_command, match
from safelight.cli.helplines import helplines
from safelight.cli.holds import holds
from safelight.cli.keys import keys
from safelight.cli.lists import lists
from safelight.cli.models import models
from safelight.cli.notices import notices
from safelight.cli.outbox import outbox
from safelight.cli.policy import policy
from safelight.cli.redesign import redesign
from safelight.cli.report import report
from safelight.cli.risk import risk
from safelight.cli.scan import scan
from safelight.cli.serve import serve
from safelight.cli.setup import setup
from safelight.cli.takedown import takedown
from safelight.cli.transparency import transparency
from safelight.cli.watch import watch
from safelight.errors import SafelightError, UsageError
from safelight.process import no_core_dumps


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="safelight")
def cli() -> None:
    """Keeps children safe on their own device: looks locally, decides, and shows the right words.

    Nothing is uploaded, and no picture or text is kept unasked. Every command takes --json.
    """


cli.add_command(capabilities)
cli.add_command(chat)
cli.add_command(check)
cli.add_command(completion)
cli.add_command(doctor)
cli.add_command(hash_command)
cli.add_command(helplines)
cli.add_command(holds)
cli.add_command(keys)
cli.add_command(lists)
cli.add_command(match)
cli.add_command(models)
cli.add_command(notices)
cli.add_command(outbox)
cli.add_command(policy)
cli.add_command(report)
cli.add_command(scan)
cli.add_command(serve)
cli.add_command(redesign)
cli.add_command(risk)
cli.add_command(setup)
cli.add_command(takedown)
cli.add_command(transparency)
cli.add_command(watch)


def main() -> None:
    """Run the command; turn a Safelight error into one line and an exit status, never a traceback."""
    no_core_dumps()
    try:
        cli.main(prog_name="safelight", standalone_mode=True)
    except UsageError as error:
        click.echo(f"safelight: {error}", err=True)
        sys.exit(2)
    except SafelightError as error:
        click.echo(f"safelight: {error}", err=True)
        sys.exit(1)
