"""Files that ``threatexchange`` (Meta) loads: its command line's local file, and the CSV of its library and of HMA 1.

| | what it is | loaded by |
|---|---|---|
| :func:`export_te_file` | ``<type> <signal>`` a line | ``threatexchange config collab edit local_file``, ``fetch`` |
| :func:`export_te_csv` | hash, id, date, labels | ``CliIndicatorSerialization.load`` of its library |

Both were loaded by threatexchange 1.2.17; ``safelight lists build --format threatexchange`` and ``te-csv`` read them
back. A list of hashes in the clear is sensitive: keep the files where only operators read them, never on a device.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from safelight.errors import UsageError
from safelight.exchange._hashes import AnyHash, checked, checked_pdq
from safelight.hashing import PdqHash

CSV_NAME: Final = "simple.HASH_PDQ.te"
"""What the CSV must be called: threatexchange takes the kind of hash from the name."""

_LABEL: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_ID_BITS: Final = 63


def export_te_file(hashes: Iterable[AnyHash]) -> bytes:
    """Hashes as threatexchange's local file: ``pdq`` and ``sha256`` lines, without repeats, in order.

    Raises:
        UnsupportedInputError: something else than hashes.
        UsageError: a hash that may not be matched.
    """
    lines = (f"{'pdq' if isinstance(one, PdqHash) else 'sha256'} {one.hex()}\n" for one in checked(hashes))
    return "".join(lines).encode("ascii")


def export_te_csv(
    hashes: Iterable[PdqHash], *, added_on: date, labels: Iterable[str] = (), ids: Mapping[str, int] | None = None
) -> bytes:
    """PDQ hashes as threatexchange's CSV; write it under the name :data:`CSV_NAME`.

    Args:
        hashes: without repeats in the file, in order.
        added_on: the day that every row states.
        labels: words that every row carries, e.g. ``safelight``; letters, digits and ``_.:-``.
        ids: hexadecimal text of a hash to its number, where there is one; others get 63 bits of a hash of themselves,
            the same in every export.

    Raises:
        UnsupportedInputError: something else than PDQ hashes.
        UsageError: a hash that may not be matched, a label of another form, or a number outside 0 to 2**63 - 1.
    """
    words = list(dict.fromkeys(labels))
    if not all(isinstance(word, str) and _LABEL.match(word) for word in words):
        raise UsageError("labels: expected words of letters, digits and _.:-, at most 64 each; mend them")
    numbers = dict(ids or {})
    if not all(0 <= number < 1 << _ID_BITS for number in numbers.values()):
        raise UsageError("ids: expected whole numbers from 0 to 2**63 - 1; mend them")
    out = io.StringIO()
    writer = csv.writer(out)
    for one in checked_pdq(hashes):
        text = one.hex()
        number = numbers.get(text, _derived_id(one))
        writer.writerow((text, number, added_on.isoformat(), " ".join(words)))
    return out.getvalue().encode("ascii")


def _derived_id(one: PdqHash) -> int:
    return int.from_bytes(hashlib.blake2b(one.bits, digest_size=8).digest(), "big") >> (64 - _ID_BITS)
