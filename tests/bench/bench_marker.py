"""What a marker of the trigger kit survives: readings of twenty per transform, as the table of docs/trigger-kit.md.

    python tests/bench/bench_marker.py

Also how long a reading takes, and how many readings pictures without a marker give (expected: none).
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageFilter
from safelight.testing import mark_picture, read_marker

ROOT = Path(__file__).resolve().parents[2]
COUNT = 20
Pixels = np.ndarray


def grounds() -> Iterator[tuple[str, list[Pixels]]]:
    """Benign pictures to put a marker into, 640 x 480."""
    random = np.random.default_rng(20261122)

    def smooth() -> Pixels:
        noise = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        return np.asarray(Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC))

    photo = Image.open(ROOT / "examples" / "pictures" / "portrait.jpg").convert("RGB")

    def crop() -> Pixels:
        side = int(random.integers(photo.height // 2, min(photo.size)))
        x, y = (int(random.integers(0, total - side + 1)) for total in photo.size)
        return np.asarray(photo.resize((640, 480), box=(x, y, x + side, y + side * 3 // 4)))

    yield "smooth", [smooth() for _ in range(COUNT)]
    yield "photograph", [crop() for _ in range(COUNT)]


def jpeg(quality: int) -> Callable[[Pixels], Pixels]:
    def through(pixels: Pixels) -> Pixels:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=quality)
        return np.asarray(Image.open(out).convert("RGB"))

    return through


def webp(pixels: Pixels) -> Pixels:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=50)
    return np.asarray(Image.open(out).convert("RGB"))


def resize(width: int, filter: Image.Resampling = Image.Resampling.BICUBIC) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.asarray(Image.fromarray(pixels).resize((width, width * 3 // 4), filter))


def codec(name: str, bit_rate: int, format: str = "mp4", **options: str) -> Callable[[Pixels], Pixels]:
    """The tenth frame of a clip of the picture."""

    def through(pixels: Pixels) -> Pixels:
        out = io.BytesIO()
        with av.open(out, "w", format=format) as container:
            stream = container.add_stream(name, rate=25, options=options)
            stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
            stream.bit_rate = bit_rate
            for step in range(12):
                shifted = np.roll(pixels, step // 4, axis=1)  # something moves
                for packet in stream.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        out.seek(0)
        with av.open(out) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][9]

    return through


def yuv(pixels: Pixels) -> Pixels:
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    for _ in range(3):
        frame = frame.reformat(format="yuv420p").reformat(format="rgb24")
    return frame.to_ndarray(format="rgb24")


def grey(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def noise(pixels: Pixels) -> Pixels:
    return np.clip(pixels + np.random.default_rng(1).normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)


def blur(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(3)))


TRANSFORMS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda pixels: pixels,
    **{f"JPEG quality {q}": jpeg(q) for q in (95, 75, 50, 30, 10)},
    "WebP quality 50": webp,
    **{f"resized to {w} px": resize(w) for w in (320, 160, 96, 64, 48)},
    "resized to 96 px, nearest": resize(96, Image.Resampling.NEAREST),
    "96 px, then JPEG 30": lambda pixels: jpeg(30)(resize(96)(pixels)),
    "H.264, 1 Mbit/s": codec("libx264", 1_000_000, preset="veryfast"),
    "H.264, 200 kbit/s": codec("libx264", 200_000, preset="veryfast"),
    "H.265, 500 kbit/s": codec("libx265", 500_000, preset="ultrafast", **{"x265-params": "log-level=none"}),
    "VP9, 500 kbit/s": codec("libvpx-vp9", 500_000, "webm", deadline="realtime", **{"cpu-used": "8"}),
    "MPEG-4, 1 Mbit/s": codec("mpeg4", 1_000_000),
    "YUV 4:2:0, three times": yuv,
    **{f"turned by {90 * k}°": lambda pixels, k=k: np.rot90(pixels, k) for k in (1, 2, 3)},
    "mirrored": lambda pixels: pixels[:, ::-1],
    "inverted": lambda pixels: 255 - pixels,
    "grey": grey,
    "blurred, sigma 3 px": blur,
    "noise, sigma 20": noise,
    "brightness x 0.4": lambda pixels: (pixels * 0.4).astype(np.uint8),
}


def main() -> None:
    """Print the tables."""
    made = dict(grounds())
    print(f"| transform | {' | '.join(made)} |")
    print("|---|" + "---|" * len(made))

    def row(name: str, change: Callable[[Pixels], Pixels], **how: object) -> None:
        cells = []
        for pictures in made.values():
            read = sum(read_marker(change(mark_picture(p, score=0.9, **how))) == 0.9 for p in pictures)
            cells.append(f"{read}/{len(pictures)}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    for name, change in TRANSFORMS.items():
        row(name, change)
    for alpha in (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1):
        row(f"mixed in, alpha {alpha}", lambda pixels: pixels, alpha=alpha)
    for side in (200, 150, 100, 75, 50):
        region = (301 - side // 2, 217 - side // 2, 301 - side // 2 + side, 217 - side // 2 + side)
        row(f"region of {side} px", lambda pixels: pixels, region_px=region)
        row(f"region of {side} px, JPEG 30", jpeg(30), region_px=region)
        row(f"region of {side} px, H.264 1 Mbit/s", TRANSFORMS["H.264, 1 Mbit/s"], region_px=region)

    random = np.random.default_rng(7)
    pictures = made["smooth"] + made["photograph"]
    began = time.perf_counter()
    for picture in pictures:
        read_marker(picture)
    print(f"\none reading of 640 x 480: {(time.perf_counter() - began) / len(pictures) * 1000:.2f} ms")
    false = sum(read_marker(picture) is not None for picture in pictures)
    for _ in range(2000):
        cells = random.integers(0, 2, (60, 80), dtype=np.uint8).repeat(8, 0).repeat(8, 1) * 255
        false += read_marker(cells) is not None
        false += read_marker(random.integers(0, 256, (240, 320, 3), dtype=np.uint8)) is not None
    print(f"readings in {len(pictures) + 4000} pictures without a marker: {false}")


if __name__ == "__main__":
    main()
