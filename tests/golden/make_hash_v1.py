"""Writes the vectors of hashing that every face asserts: run it from the repository, look at the difference, commit.

    python tests/golden/make_hash_v1.py FOLDER

pdq_v1.tsv is pdqhash 0.2.8's answers for the pictures of tests/reference/pdq.py. hash_index_v1.bin is an index as the
readable twin writes it; hash_index_v1.tsv is what the twin finds in it.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference import hash_index as twin

# width, height, seed, quality, hash
PDQ = [
    (64, 64, 1, 100, "d9b269e9a691fc1ed5d551c52222a7f2db6c07f0a332f16551d13d1ea492c1e1"),
    (5, 5, 2, 87, "64d9c6f19b263b0ec3f093a4c1f06e5b3e0fc6f164d9c6f19b26390ec1f091a4"),
    (7, 61, 3, 100, "f07e6b65d6727cf8cf83958a912e6b259e726b250924912ecf833d8894da9782"),
    (127, 129, 4, 100, "6df0173d8c89c3f3dc8dd0c46beba1d09554a1c24bebd085dc1de3f34c091e3c"),
    (128, 128, 5, 100, "02008012ebee5d5fa7f3b5569c1db086588d30865c1d355667f37ddf3bee2412"),
    (200, 300, 6, 100, "8363067393e42dda4ebb4b69180c788f9c9c788f980c4b696ebb2dda13e4e633"),
    (512, 512, 7, 100, "202012256493667324b2ed5b763769cab80f69cb7637ed5b64b2e77324935365"),
    (640, 480, 8, 100, "21c43c1ebebf788f64931144ad5a1d5ccc191d5c2d5a11446493788ffebf3c1e"),
    (1023, 97, 9, 100, "f768b567c3e1bc1ef087e5d3b2a603608eb80b6832a6a592d085bc1e07f0f557"),
    (1920, 1080, 10, 100, "fa7d8ff8e1c3c889db6d980c1634a9cacc99a9ca9634980cdb6d4889e1c38ff8"),
]
NEAR512 = 2


def flipped(rng: random.Random, bits: bytes, count: int) -> bytes:
    mask = sum(1 << bit for bit in rng.sample(range(256), count))
    return (int.from_bytes(bits, "big") ^ mask).to_bytes(32, "big")


def main() -> None:
    folder = Path(sys.argv[1])
    rows = "".join("\t".join(map(str, row)) + "\n" for row in PDQ)
    (folder / "pdq_v1.tsv").write_text("# width height seed quality hash\n" + rows, encoding="ascii")

    rng = random.Random(1)
    hashes = [rng.randbytes(32) for _ in range(4)]
    hashes.append(flipped(rng, hashes[0], 12))
    negatives = [flipped(rng, hashes[1], 20)]
    content = {"ids": [7, 2**64 - 1, 3, 3, 12], "categories": [0, 65_535, 1, 2, 1], "negatives": negatives}
    (folder / "hash_index_v1.bin").write_bytes(twin.to_bytes(hashes, profile=NEAR512, slot_count=0, **content))
    lines = ["# hash, max_distance, id:distance:category of each match\n"]
    for bits in [*hashes, *negatives, rng.randbytes(32), flipped(rng, hashes[1], 4), flipped(rng, negatives[0], 4)]:
        for max_distance in (0, 31, 160):
            found = twin.query(bits, hashes, max_distance=max_distance, **content)
            cell = " ".join(":".join(map(str, match)) for match in found)
            lines.append(f"{bits.hex()}\t{max_distance}\t{cell or '-'}\n")
    (folder / "hash_index_v1.tsv").write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
