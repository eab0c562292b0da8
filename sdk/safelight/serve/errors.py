"""What goes wrong with the service as a whole. What goes wrong with a check is a decision."""

from __future__ import annotations

from safelight.errors import SafelightError


class ServeError(SafelightError):
    """The service cannot be started here."""
