"""Third-party detectors: found by entry point, used only when the host names them.

A package offers a detector in the entry-point group ``safelight.detectors``; the entry point is a
:class:`DetectorPlugin`. Installing such a package changes nothing: what is looked for changes only when the host
asks for it by name, and ``safelight capabilities`` lists every plug-in that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from safelight.decision import FindingKind
from safelight.detect.base import PictureDetector
from safelight.detect.isolated import DetectorSpec
from safelight.errors import SafelightError, UsageError

GROUP = "safelight.detectors"


class PluginError(SafelightError):
    """A plug-in could not be loaded or is not what the protocol asks for."""


@dataclass(frozen=True, slots=True)
class DetectorPlugin:
    """What an entry point of the group ``safelight.detectors`` names.

    Attributes:
        create: makes the detector; called once for every guard that uses it.
        kinds: what its findings are about.
        description: one line for ``safelight capabilities``.
        uses_network: whether pictures, hashes or anything else leave the device. Such a plug-in is refused
            unless the host allows it in so many words.
    """

    create: Callable[[], PictureDetector]
    kinds: tuple[FindingKind, ...]
    description: str
    uses_network: bool


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plug-in as ``capabilities`` lists it; ``problem`` says why it cannot be used."""

    name: str
    package: str
    version: str
    kinds: tuple[str, ...]
    description: str
    uses_network: bool
    problem: str | None


def installed_plugins() -> tuple[InstalledPlugin, ...]:
    """Every plug-in that is installed, sorted by name. Imports their modules; creates no detector."""
    return tuple(_describe(point) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name))


def create_plugin(name: str, *, allow_network: bool = False) -> PictureDetector:
    """Make the detector of an installed plug-in.

    Args:
        name: of the entry point.
        allow_network: accept one that sends something off the device.

    Raises:
        UsageError: no such plug-in, or it uses the network and that was not allowed.
        PluginError: it cannot be loaded, or what it makes is not a detector.
    """
    plugin = _allowed(name, allow_network=allow_network)
    try:
        detector = plugin.create()
    except Exception as error:
        raise PluginError(
            f"detector plug-in {name!r} failed to start with {type(error).__name__}; ask its author."
        ) from error
    missing = [part for part in ("id", "kinds", "prepare", "detect", "close") if not hasattr(detector, part)]
    if missing:
        raise PluginError(
            f"detector plug-in {name!r} lacks {', '.join(missing)}; it should pass "
            "safelight.testing.contract.check_detector."
        )
    return detector


def plugin_spec(name: str, *, allow_network: bool = False) -> DetectorSpec:
    """How to make the detector of an installed plug-in in another process. Raises as :func:`create_plugin`."""
    plugin = _allowed(name, allow_network=allow_network)
    return DetectorSpec(create_plugin, name, plugin.kinds, {"name": name, "allow_network": allow_network})


def _allowed(name: str, *, allow_network: bool) -> DetectorPlugin:
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise UsageError(f"got detector plug-in {name!r}, installed are: {', '.join(sorted(found)) or 'none'}.")
    plugin = _load(found[name])
    if plugin.uses_network and not allow_network:
        raise UsageError(
            f"detector plug-in {name!r} sends data off the device; pass allow_network=True if that is meant "
            "and the person who holds the device knows."
        )
    return plugin


def _load(point: EntryPoint) -> DetectorPlugin:
    try:
        plugin = point.load()
    except Exception as error:
        raise PluginError(f"detector plug-in {point.name!r} cannot be imported: {type(error).__name__}.") from error
    if not isinstance(plugin, DetectorPlugin):
        raise PluginError(
            f"detector plug-in {point.name!r} is a {type(plugin).__name__}, expected a "
            "safelight.detect.plugins.DetectorPlugin; ask its author."
        )
    return plugin


def _describe(point: EntryPoint) -> InstalledPlugin:
    package = point.dist.name if point.dist is not None else ""
    version = point.dist.version if point.dist is not None else ""
    try:
        plugin = _load(point)
    except PluginError as error:
        return InstalledPlugin(point.name, package, version, (), "", True, str(error))
    kinds = tuple(kind.value for kind in plugin.kinds)
    return InstalledPlugin(point.name, package, version, kinds, plugin.description, plugin.uses_network, None)
