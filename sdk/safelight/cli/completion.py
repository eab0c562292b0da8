"""``safelight completion``: shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL, e.g. eval "$(safelight completion bash)"."""
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click ships all three
        raise click.UsageError(f"this version of click has no completion for {shell}; update click.")
    click.echo(kind(root, {}, "safelight", "_SAFELIGHT_COMPLETE").source())
