"""What kind of content these bytes are. Content decides, never a name or an extension."""

from __future__ import annotations

import re
from typing import Final, Literal

from safelight.decision import State
from safelight.media._refuse import Refused

Format = Literal["JPEG", "PNG", "GIF", "WEBP"]

#: The formats that are looked into; every other kind of media is ``NO_DECODER``.
DECODED_FORMATS: Final[tuple[Format, ...]] = ("JPEG", "PNG", "WEBP", "GIF")

# Media that this layer has no decoder for, by their first bytes. They are media all the same: the answer
# is "could not look", never "nothing to see".
_OTHER_MEDIA: Final = (
    (0, b"II*\0"),  # TIFF, and most camera raw files
    (0, b"MM\0*"),
    (0, b"II+\0"),  # BigTIFF
    (0, b"MM\0+"),
    (4, b"ftyp"),  # HEIC, AVIF, MP4, MOV, 3GP, CR3
    (4, b"moov"),  # QuickTime without a type box
    (4, b"mdat"),
    (4, b"wide"),
    (0, b"\xff\x0a"),  # JPEG XL codestream
    (0, b"\0\0\0\x0cJXL \r\n\x87\n"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n"),  # JPEG 2000
    (0, b"\xff\x4f\xff\x51"),
    (0, b"\x1a\x45\xdf\xa3"),  # WebM, Matroska
    (0, b"8BPS"),  # Photoshop
    (0, b"\0\0\1\0"),  # ICO
    (0, b"\0\0\2\0"),  # CUR
    (8, b"AVI "),
    (0, b"FLV\1"),
    (0, b"OggS"),
    (0, b"\0\0\1\xba"),  # MPEG program stream
    (0, b"\0\0\1\xb3"),  # MPEG video
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # WMV
    (0, b"\x8aMNG\r\n\x1a\n"),
    (0, b"\x8bJNG\r\n\x1a\n"),
    (0, b"\x76\x2f\x31\x01"),  # OpenEXR
    (0, b"qoif"),
    (0, b"farbfeld"),
    (0, b"#?RADIANCE"),
    (0, b"BPG\xfb"),
    (0, b"FLIF"),
    (0, b"DDS "),
    (0, b"%!PS"),
    (0, b"\xc5\xd0\xd3\xc6"),  # EPS with a preview
    (0, b"SIMPLE  ="),  # FITS
    (0, b"FUJIFILMCCD-RAW"),
    (128, b"DICM"),
)
_PNM: Final = re.compile(rb"P[1-7][\s#]")
_SVG: Final = re.compile(rb"<svg[\s>/]|<!DOCTYPE\s+svg", re.IGNORECASE)
_SVG_WINDOW_BYTES: Final = 4_096
_BMP_HEADERS: Final = (12, 16, 40, 52, 56, 64, 108, 124)  # "BM" alone is also text: look at the header's size
_TS_PACKET_BYTES: Final = 188


def sniff(data: bytes) -> Format:
    """The format of ``data``, if it is one that we decode.

    Raises:
        Refused: ``NO_DECODER`` for other media, ``NOT_MEDIA`` for everything else.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if _other_media(data):
        raise Refused(State.NO_DECODER, "other_media")
    raise Refused(State.NOT_MEDIA, "unknown_content" if data else "empty")


def _other_media(data: bytes) -> bool:
    if any(data.startswith(magic, at) for at, magic in _OTHER_MEDIA):
        return True
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return True
    if _PNM.match(data):
        return True
    if data[:1] == b"G" and len(data) > 2 * _TS_PACKET_BYTES:
        return data[_TS_PACKET_BYTES] == data[2 * _TS_PACKET_BYTES] == 0x47
    head = data[:_SVG_WINDOW_BYTES]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.replace(b"\0", b"")[2:]
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith(b"<") and _SVG.search(head) is not None
