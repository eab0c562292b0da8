"""Drawings for the transparency page, as SVG without script. Needs the extra ``[plots]`` (matplotlib)."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Final

from safelight.errors import MissingExtraError

#: Dark blue on white, 8:1; the withheld ones are hatched and say so.
_COLOUR: Final = "#1f4e79"


def draw_counts(title: str, names: Sequence[str], counts: Sequence[int | None]) -> str:
    """Bars of counts as an SVG element; ``None`` is drawn as a word, never as an empty bar.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "drawings need matplotlib, expected the extra [plots]; run: pip install 'safelight[plots]'"
        ) from None
    # The same input gives the same bytes: no date, ids from a fixed salt. Text stays text.
    with rc_context({"svg.hashsalt": "safelight", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 0.4 * len(names) + 1.1), layout="constrained")
        axes = figure.subplots()
        known = [count or 0 for count in counts]
        axes.barh(range(len(names)), known, color=_COLOUR)
        longest = max([*known, 1])
        for place, count in enumerate(counts):
            label = "withheld or not stated" if count is None else f"{count:,}"
            axes.text((count or 0) + longest * 0.01, place, label, va="center", fontsize=9)
        axes.set_yticks(range(len(names)), list(names))
        axes.invert_yaxis()
        axes.set(title=title, xlabel="events", xlim=(0, longest * 1.2))
        axes.spines[["top", "right"]].set_visible(False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    # Several drawings stand on one page: ids must differ, and the figure around it has the label.
    mark = re.sub(r"\W+", "", title.lower())
    svg = re.sub(r'(id="|xlink:href="#|url\(#)', rf"\g<1>{mark}-", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
