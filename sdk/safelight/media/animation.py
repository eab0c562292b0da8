"""Animated pictures (GIF, APNG, WebP) with the times at which their frames are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from safelight.media import _icc
from safelight.media import limits as _limits
from safelight.media._options import Options
from safelight.media._refuse import Refused
from safelight.media._sniff import sniff
from safelight.media.image import Image, NotJudged
from safelight.media.limits import Limits
from safelight.media.load import _not_judged, _open_reader
from safelight.media.views import digest, views

# What browsers do: a frame that asks for less gets this long.
_SHORTEST_MS = 11
_SHORTENED_TO_MS = 100


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnimationPicture:
    """One view of one frame; a frame with transparency has several of these.

    Attributes:
        frame: index in the file.
        mark: 16 bytes, the same for the same picture: it need be looked at once only.
        image: as ``load_image`` gives it; ``None`` for a picture that came before.
    """

    frame: int
    mark: bytes
    image: Image | None


@dataclass(eq=False, repr=False)
class Animation:
    """An animated picture, decoded as it is iterated over.

    Iterating yields :class:`AnimationPicture`, and, if a frame cannot be decoded, one :class:`NotJudged` as the last
    item.

    Attributes:
        times_ms: for every frame from when to when it is shown. A default picture that is no part of the animation is
            what some viewers show all the time.
    """

    times_ms: tuple[tuple[int, int], ...]
    _data: bytes
    _limits: Limits

    def __iter__(self) -> Iterator[AnimationPicture | NotJudged]:
        seen: set[bytes] = set()
        readings = _icc.Readings()
        failure: NotJudged | None = None
        try:
            for rendered in _open_reader(self._data, Options(self._limits)).frames():
                mark = digest(rendered)
                if mark in seen:
                    yield AnimationPicture(rendered.frame, mark, None)
                    continue
                seen.add(mark)
                for reading in readings.of(rendered):
                    for image in views(reading):
                        yield AnimationPicture(rendered.frame, mark, image)
        except Exception as error:  # noqa: BLE001 - hostile content meets three libraries: all they raise is a state
            failure = _not_judged(error)
        if failure is not None:
            yield failure

    def __repr__(self) -> str:
        return f"<Animation of {len(self.times_ms)} frames>"


def open_animation(data: bytes, *, limits: Limits = _limits.DEFAULT) -> Animation | None:
    """The animation in these bytes; ``None`` for anything else, which ``load_image`` can tell more about.

    Args:
        data: an encoded file.
        limits: what it may cost.
    """
    try:
        if sniff(data) not in ("GIF", "PNG", "WEBP"):
            return None
        reader = _open_reader(data, Options(limits))
    except Refused:
        return None
    except Exception:  # noqa: BLE001 - load_image meets the same and says what it is
        return None
    durations_ms: tuple[int, ...] = getattr(reader, "durations_ms", ())
    if reader.frame_count < 2 or not durations_ms:
        return None
    times_ms: list[tuple[int, int]] = []
    at_ms = 0
    for duration_ms in durations_ms:
        end_ms = at_ms + (duration_ms if duration_ms >= _SHORTEST_MS else _SHORTENED_TO_MS)
        times_ms.append((at_ms, end_ms))
        at_ms = end_ms
    if getattr(reader, "default_apart", False):
        times_ms.insert(0, (0, at_ms))
    return Animation(tuple(times_ms), data, limits)
