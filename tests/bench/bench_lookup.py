"""check_query beside the profanity filter that people would pick, on the same harmless queries.

    python -m pip install better-profanity==0.7.0
    taskset -c 0 python tests/bench/bench_lookup.py [--rounds 30] [--json]

Ours is the whole lookup (every reading of the query, phrases of help, the list that ships in 26 languages); the peer
answers for English only.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

from safelight.lookup import QueryChecker, SiteChecker, build_list, builtin_help_phrases, builtin_words
from safelight.lookup.table import read_unsigned

QUERIES = (
    "how to draw a horse step by step",
    "weather tomorrow",
    "why is the sky blue and not green",
    "m1necraft h0use ideas",
    "l e t t e r s apart",
    "宿題 のやり方",
)


def _median_us(call: Callable[[str], object], inputs: tuple[str, ...], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        for text in inputs:
            started = time.perf_counter()
            call(text)
            times.append((time.perf_counter() - started) * 1e6)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Times check_query beside a profanity filter.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true", dest="as_json")
    args = parser.parse_args()
    checker = QueryChecker([builtin_words()], phrases=builtin_help_phrases())
    hosts = [f"host{number}.example" for number in range(100_000)]
    listed = read_unsigned(build_list(hosts, list_id="hosts", version=1, kind="hosts", key=bytes(16)))
    sites = SiteChecker([listed], help_hosts=frozenset())
    urls = ("https://a.b.host7.example/x", "https://www.example.org/", "http://xn--bcher-kva.example:8080")
    found = {
        "query_us": _median_us(checker.check, QUERIES, args.rounds),
        "url_us": _median_us(sites.check, urls, args.rounds),
    }
    try:
        from better_profanity import profanity
    except ImportError:
        print("better-profanity is not installed: left out")
    else:
        profanity.load_censor_words()
        found["better_profanity_us"] = _median_us(profanity.contains_profanity, QUERIES, args.rounds)
        found["peer_over_ours"] = found["better_profanity_us"] / found["query_us"]
    if args.as_json:
        print(json.dumps({"machine": platform.processor() or platform.machine(), **found}))
    else:
        for name, value in found.items():
            print(f"{name:20} {value:10.1f}")


if __name__ == "__main__":
    main()
