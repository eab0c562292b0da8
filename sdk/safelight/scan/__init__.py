"""Looking through a folder when somebody asks for it: with consent, to be gone on with later, and nothing is deleted.

walk        a folder → names of media files, by content, never through links
engine      names → decisions: threads here, or Dask workers elsewhere (paths travel, never pictures)
journal     what was decided, so that a scan that was stopped goes on where it was
scan        the three together, for an app and for ``safelight scan``
"""

from __future__ import annotations

from safelight.scan.journal import Journal
from safelight.scan.scan import Progress, Scan, ScanResult
from safelight.scan.walk import Walk

__all__ = ["Journal", "Progress", "Scan", "ScanResult", "Walk"]
