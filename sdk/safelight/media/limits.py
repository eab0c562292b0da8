"""Every bound of the media layer in one place, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields

from safelight.errors import UsageError

#: Pillow's own default warning threshold, ``1024**3 // 4 // 3``. We stay at or below it, so that its
#: decompression-bomb warning or error can only ever coincide with our ``TOO_LARGE``.
PILLOW_WARNING_PX = 89_478_485


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one input may cost. All sizes are checked before a pixel is decoded.

    Peaks are of the whole process, measured with Pillow 13 at the limit; a device with little memory lowers
    ``max_pixels``, ``max_webp_pixels`` and ``max_animation_pixels`` together.

    Attributes:
        max_bytes: of an encoded file. 64 MiB: a 50-megapixel JPEG at high quality is about 25 MB, a long
            animated GIF 30 MB. One input is held in memory once, its compressed pixels for a while twice.
        max_pixels: of one still picture, width times height. 2**26 = 67.1 million: a 64-megapixel phone
            picture (9248 x 6936 = 64.1 million) fits. Pillow keeps 4 bytes a pixel and we hand on 3: 470 MB,
            measured 490 MiB for JPEG and 700 MiB for PNG with alpha. A colour profile far from sRGB adds 4 bytes.
        max_scaled_jpeg_pixels: of a JPEG in one scan that is decoded at reduced scale: then only the reduced size
            takes memory, which must itself be within ``max_pixels``. 200 million: the 200-megapixel phones
            (16,320 x 12,240); a file of 33 MB took 90 MiB and 0.8 s. A progressive JPEG keeps coefficients of
            all pixels in memory and stays under ``max_pixels``.
        max_heif_pixels: of one HEIC or AVIF picture, in all its tiles. 3 * 2**24 = 50.3 million: a 48-megapixel
            phone picture (8,064 x 6,048) fits. Measured at that size: 350 MiB for HEIC and 470 MiB for AVIF,
            with alpha and full chroma 570 and 620 MiB.
        max_webp_pixels: of one WebP picture. 2**25 = 33.6 million: Pillow decodes every WebP with libwebp's
            animation decoder, which holds two canvases and hands over a third, so 20 bytes a pixel, 670 MB.
        max_animation_pixels: of one canvas of an animation. 2**24 = 16.8 million (4096 x 4096): an
            animation needs the canvas, a saved copy, the frame and a view of it at once, some 20 bytes a
            pixel: 340 MB, measured 340 MiB.
        max_side_px: of width and of height. 32,767: the last coordinate of 16-bit viewers and toolkits.
        min_side_px: 16; below it a picture is ``TOO_SMALL``. It is the smallest square of an icon, and no
            model was trained on less than 64.
        max_frames: pictures in one file. 1,000: 100 s at 10 frames a second.
        max_total_decoded_pixels: canvas pixels times frames. 2**29 = 537 million: 1,309 frames of 854 x 480.
            Composing, comparing and copying a frame with transparency costs about 30 ns a pixel on the
            slow machine it was measured on: 16 s, the worst that the decoding of one input may cost.
        max_scan_pixels: JPEG pixels times scans. 2**30: a progressive file pays for every pixel in every
            scan, so a few hundred bytes a scan could cost minutes. 16 scans of the largest picture; libjpeg
            writes 10.
        max_container_members: entries of a ZIP, nested ones included. 10,000: a large text book in EPUB has 2,000.
        max_container_bytes: inflated from one input in all. 2**28 = 256 MiB: every entry's first bytes, and
            pictures and texts whole.
        max_container_ratio: inflated to stored bytes of an entry over 1 MiB. 200: text reaches 20, a flat
            drawing as BMP 100; deflate could do 1,032.
        max_container_pixels: pixels of all pictures in a container, frames included, at full size. 2**30: 89
            pictures of 12 megapixels; as PNG they take some 30 s, as JPEG at reduced scale 5 s.
        max_blocks: segments, chunks, boxes or sub-blocks of a file. 1,000,000: a 64 MiB GIF in full 255-byte
            sub-blocks has 263,000; walking a million takes about a second.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 1 << 26
    max_animation_pixels: int = 1 << 24
    max_webp_pixels: int = 1 << 25
    max_scaled_jpeg_pixels: int = 200_000_000
    max_heif_pixels: int = 3 << 24
    max_side_px: int = 32_767
    min_side_px: int = 16
    max_frames: int = 1_000
    max_total_decoded_pixels: int = 1 << 29
    max_scan_pixels: int = 1 << 30
    max_container_members: int = 10_000
    max_container_bytes: int = 1 << 28
    max_container_ratio: int = 200
    max_container_pixels: int = 1 << 30
    max_blocks: int = 1_000_000

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(
                    f"Limits.{item.name}: got {type(value).__name__} that is not a whole number above 0; "
                    "give a positive int"
                )
        if self.max_pixels > PILLOW_WARNING_PX:
            raise UsageError(
                f"Limits.max_pixels: got {self.max_pixels}, expected at most {PILLOW_WARNING_PX}, "
                "the size at which Pillow warns of a decompression bomb; choose a smaller value"
            )


#: What ``load_image`` uses when it is given none.
DEFAULT = Limits()
