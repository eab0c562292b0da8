"""Where somebody is about to go: is the host, or a domain above it, on a list?

Addresses are read as browsers read them (the WHATWG URL standard, by ada-url; extra ``[site]``): user names before
``@``, backslashes, percent signs, full-width letters, punycode, trailing dots and numbers that are an IP address all
come to one host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from safelight.decision import Finding, FindingKind, HelpService, Label, State
from safelight.errors import MissingExtraError
from safelight.lookup.table import LookupList

MAX_URL_CHARS: Final = 8192
MODEL: Final = "site_hosts"

# Those that go to a host; the WHATWG standard's special schemes without file.
_TO_A_HOST: Final = frozenset({"http:", "https:", "ws:", "wss:", "ftp:"})


def host_of(url: str) -> str | None:
    """The host that a browser would go to, in ASCII without a trailing dot; ``None`` if it would go to none.

    Args:
        url: an address, with or without ``https://``.

    Raises:
        MissingExtraError: ada-url is not installed (extra ``[site]``).

    Example:
        >>> host_of("https://childline.org.uk@EXAMPLE.com.:8080/x"), host_of("example.com/x"), host_of("mailto:a@b.c")
        ('example.com', 'example.com', None)
    """
    ada: Any = _ada()
    # Browsers take these out anywhere, and blanks at the ends.
    text = url.translate({9: None, 10: None, 13: None}).strip()
    for whole in (text, f"https://{text}"):
        try:
            parsed = ada.URL(whole)
        except ValueError:
            if text.lower().startswith(tuple(_TO_A_HOST)):
                return None
            continue
        if parsed.protocol in _TO_A_HOST:
            return parsed.hostname.rstrip(".") or None
        # "example.com:8080" reads as a scheme with a dot; "javascript:" and "data:" go to no host.
        if "." not in parsed.protocol and parsed.protocol != "localhost:":
            return None
    return None


def _ada() -> Any:
    try:
        import ada_url
    except ImportError:
        raise MissingExtraError("ada-url is not installed; addresses need it: pip install 'safelight[site]'") from None
    return ada_url


def is_address(host: str) -> bool:
    """Whether a host is an IP address, which is under no domain."""
    return host.startswith("[") or host.replace(".", "").isdigit()


def domains(host: str) -> Iterator[str]:
    """The host and every domain above it that has at least two labels."""
    yield host
    if is_address(host):
        return
    labels = host.split(".")
    for start in range(1, len(labels) - 1):
        yield ".".join(labels[start:])


def help_hosts(services: Iterable[HelpService]) -> frozenset[str]:
    """The hosts of services that help, each with and without ``www.``: what no list may stand in the way of."""
    hosts = set()
    for service in services:
        for url in (service.web_url, service.chat_url, service.report_url):
            host = host_of(url) if url is not None else None
            if host is not None:
                bare = host.removeprefix("www.")
                hosts |= {bare, f"www.{bare}"}
    return frozenset(hosts)


class SiteChecker:
    """Looks an address up.

    Args:
        lists: of kind ``hosts``; empty: nothing can be said, which is ``NO_LIST``.
        help_hosts: what no list may stand in the way of.
        state: why there is no list, when there is none.
    """

    def __init__(
        self, lists: Sequence[LookupList], *, help_hosts: frozenset[str], state: State = State.NO_LIST
    ) -> None:
        self._lists = tuple(lists)
        self._help_hosts = help_hosts
        self._state = state

    def check(self, url: str) -> tuple[Finding, ...]:
        """One finding of kind ``site``. An address that goes to no host is ``MALFORMED``."""
        if len(url) > MAX_URL_CHARS:
            return (Finding(FindingKind.SITE, State.TOO_LONG, model=MODEL),)
        try:
            host = host_of(url)
        except MissingExtraError:
            return (Finding(FindingKind.SITE, State.NO_DECODER, model=MODEL),)
        if host is None:
            return (Finding(FindingKind.SITE, State.MALFORMED, model=MODEL),)
        if host in self._help_hosts:
            return (Finding(FindingKind.SITE, State.OK, Label.HELP, 1.0, "help_directory"),)
        candidates = tuple(domains(host))
        for one in self._lists:
            if one.contains_any(candidates):
                return (Finding(FindingKind.SITE, State.OK, Label.MATCH, 1.0, one.id),)
        if not self._lists:
            return (Finding(FindingKind.SITE, self._state, model=MODEL),)
        return (Finding(FindingKind.SITE, State.OK, Label.NO_MATCH, 1.0, self._lists[0].id),)
