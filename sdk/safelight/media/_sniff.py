"""What kind of content these bytes are. Content decides, never a name or an extension."""

from __future__ import annotations

import re
from typing import Final, Literal

from safelight.decision import State
from safelight.media._refuse import Refused

#: The readers; that of ``HEIF`` reads AVIF too.
Format = Literal["JPEG", "PNG", "GIF", "WEBP", "BMP", "HEIF"]

#: The formats that are looked into; every other kind of media is ``NO_DECODER``. AVIF needs Pillow 11.3 or later
#: built with it, HEIF the extra ``[heic]``; see :func:`available_formats`.
DECODED_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIF")

# Media that this layer has no decoder for, by their first bytes. They are media all the same: the answer
# is "could not look", never "nothing to see". On purpose:
# TIFF is a family of formats (fax codings, tiles, raw sensor data) behind a library with a long list of memory
# errors, and no phone makes or gallery shows it. SVG is a program that draws. JPEG 2000 and camera raw are like
# TIFF, JPEG XL has no decoder in Pillow. An icon (ICO, ICNS) is a directory of small pictures of which every
# viewer chooses another one; nobody sends a photo as an icon. A video needs a decoder of its own.
_OTHER_MEDIA: Final = (
    (0, b"II*\0"),  # TIFF, and most camera raw files
    (0, b"MM\0*"),
    (0, b"II+\0"),  # BigTIFF
    (0, b"MM\0+"),
    (4, b"ftyp"),  # MP4, MOV, 3GP, CR3; HEIC and AVIF say so in their brands
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
    (0, b"icns"),
    (40, b" EMF"),
    (0, b"\xd7\xcd\xc6\x9a"),  # WMF
    (0, b"\1\0\x09\0\0\3"),
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
_PICTURE_BRANDS: Final = re.compile(rb"mif[12]|msf1|hei[cxms]|hev[cxms]|avi[fs]|miaf")
_MAX_BRANDS_BYTES: Final = 512

_ARCHIVES: Final = (
    (0, b"PK\3\4", "zip"),
    (0, b"PK\5\6", "zip"),  # an empty one
    (0, b"PK\7\x08", "zip"),  # one of several volumes
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),  # Word, Excel and PowerPoint before 2007; objects in later ones
    (0, b"7z\xbc\xaf\x27\x1c", "archive"),
    (0, b"Rar!\x1a\7", "archive"),
    (0, b"\xfd7zXZ\0", "archive"),
    (0, b"BZh", "archive"),
    (0, b"\x28\xb5\x2f\xfd", "archive"),  # Zstandard
    (0, b"\4\x22\x4d\x18", "archive"),  # LZ4
    (0, b"LZIP", "archive"),
    (0, b"MSCF", "archive"),
    (0, b"\x1f\x9d", "archive"),
    (257, b"ustar", "archive"),
)
_PDF_WINDOW_BYTES: Final = 1_024  # readers accept bytes before it


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
    if _is_bmp(data):
        return "BMP"
    if _is_heif(data):
        return "HEIF"
    if _other_media(data):
        raise Refused(State.NO_DECODER, "other_media")
    raise Refused(State.NOT_MEDIA, "unknown_content" if data else "empty")


def is_media(head: bytes) -> bool:
    """Whether bytes begin as a picture or clip of any kind, decodable here or not; 4,096 of them are enough."""
    try:
        sniff(head)
    except Refused as refused:
        return refused.state is not State.NOT_MEDIA
    return True


def archive_kind(data: bytes) -> str:
    """``zip``, ``gzip``, ``pdf``, ``ole`` or ``archive`` for a container of other files, else nothing."""
    for at, magic, kind in _ARCHIVES:
        if data.startswith(magic, at):
            return kind
    return "pdf" if b"%PDF-" in data[:_PDF_WINDOW_BYTES] else ""


def available_formats() -> tuple[str, ...]:
    """Those of :data:`DECODED_FORMATS` that this installation can decode. Imports Pillow."""
    from PIL import features

    missing = set()
    if not features.check("webp"):
        missing.add("WEBP")
    try:
        from PIL import AvifImagePlugin

        if not AvifImagePlugin.SUPPORTED:
            missing.add("AVIF")
    except ImportError:  # Pillow before 11.3
        missing.add("AVIF")
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        missing.add("HEIF")
    return tuple(name for name in DECODED_FORMATS if name not in missing)


def _is_bmp(data: bytes) -> bool:
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS


def _is_heif(data: bytes) -> bool:
    """Whether an ISO base media file says that it holds pictures rather than a film."""
    if data[4:8] != b"ftyp":
        return False
    brands = data[8 : min(max(int.from_bytes(data[:4], "big"), 16), _MAX_BRANDS_BYTES)]
    # Behind the first brand stands its version.
    return any(_PICTURE_BRANDS.fullmatch(brands[n : n + 4]) for n in range(0, len(brands), 4) if n != 4)


def _other_media(data: bytes) -> bool:
    if any(data.startswith(magic, at) for at, magic in _OTHER_MEDIA):
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
