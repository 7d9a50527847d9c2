"""Compare this library with others on this machine: small tasks, large payloads, connections.

Run it with ``python benchmarks/compare.py`` on a machine that has nothing else to do, after
``pip install . ./plugins/local ./plugins/tcp -r benchmarks/requirements.txt`` (of the last only
numpy is needed); a single measure with ``--only noop --repeat 5``. All peers of a measure are run
in turn, each round beginning with another, so that a change of the machine's mood falls on all;
printed are medians, and the median of the ratios of each round with their range. ``--table``,
``--numbers`` and ``--picture`` name files to write.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import connections
import measures
import payloads
import report
from measures import Measure
from peers import GENERAL, PEERS, Futures, Joblib, Ours
from tasks import Noop

_PAUSE_S = 0.5


class Number:
    """A task of a class that no module on a slave holds."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> int:
        """Run."""
        return self.number


MEASURES = [
    Measure("noop", "no-op tasks", "tasks/s", measures.rate_of(Noop)),
    Measure("main", "of a class in __main__", "tasks/s", measures.rate_of(Number)),
    Measure("roundtrip", "round trip", "µs", measures.round_trip, smaller_is_better=True),
    Measure("efficiency", "efficiency at 10 ms", "of 1", measures.efficiency),
    Measure(
        "long",
        "2 s among 2,000 of 1 ms",
        "of the least",
        measures.one_long,
        smaller_is_better=True,
    ),
    Measure("killed", "extra for a killed runner", "s", measures.killed, only_ours=True),
    Measure("memory", "for a queued task", "bytes", measures.memory, only_ours=True),
    Measure("map", "a million through map", "tasks/s", measures.map_rate, only_ours=True),
    Measure("mapmemory", "growth meanwhile", "MB", measures.map_memory, only_ours=True),
    Measure("idle", "100 idle slaves", "% of a core", measures.idle, only_ours=True),
    Measure("echo100", "echo of 100 MB", "MB/s", payloads.echo(100 * payloads.MEGABYTE, 1)),
    Measure("echo1", "200 echoes of 1 MB", "MB/s", payloads.echo(payloads.MEGABYTE, 200)),
    Measure(
        "setup",
        "50 MB captured by the set-up",
        "ms",
        payloads.set_up,
        peers=(Futures.name,),
        smaller_is_better=True,
    ),
    Measure(
        "shared",
        "50 MB that 100 tasks share",
        "s",
        payloads.shared_s,
        peers=(*GENERAL, Joblib.name),
        smaller_is_better=True,
    ),
    Measure(
        "sharedmemory",
        "growth meanwhile",
        "MB",
        payloads.shared_mb,
        peers=(*GENERAL, Joblib.name),
        smaller_is_better=True,
    ),
    Measure("slow", "results of 50 MB, read slowly", "MB", payloads.slow_reader, only_ours=True),
    Measure("tls", "no-op tasks over TLS", "of local", connections.no_ops_over_tls, only_ours=True),
    Measure(
        "tlsecho", "echo of 100 MB over TLS", "of bare", connections.echo_over_tls, only_ours=True
    ),
    Measure("connect", "2,000 slaves connect", "s", connections.connect_many, only_ours=True),
    Measure("many", "no-op tasks on them", "of 10", connections.rate_of_many, only_ours=True),
    Measure("each", "memory for each", "kB", connections.memory_of_each, only_ours=True),
    Measure("floor", "a raw loop, no-op tasks", "tasks/s", measures.floor_rate, only_ours=True),
]


def main() -> None:
    """Measure, print, write."""
    names = [measure.name for measure in MEASURES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="measures to take")
    parser.add_argument("--peers", nargs="+", help="whom to compare with; all by default")
    parser.add_argument("--repeat", type=int, default=5, help="how many rounds")
    for option in ("table", "numbers", "picture"):
        parser.add_argument(f"--{option}", type=Path, help="a file to write")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for processes that are spawned
    installed = [
        peer
        for peer in PEERS
        if peer.is_installed()
        and (not options.peers or peer in (Ours,) or peer.name in options.peers)
    ]
    results: dict[str, tuple[Measure, dict[str, list[float]]]] = {}
    for measure in MEASURES:
        if measure.name not in options.only:
            continue
        peers = [
            peer
            for peer in ([Ours] if measure.only_ours else installed)
            if peer is Ours or peer.name in (measure.peers or GENERAL)
        ]
        runs: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for turn in range(options.repeat):
            for peer in peers[turn % len(peers) :] + peers[: turn % len(peers)]:
                runs[peer.name].append(measure.run(peer))
                time.sleep(_PAUSE_S)  # for what ends late
        results[measure.name] = measure, runs
        print("\n".join(report.lines(measure, runs)), flush=True)
    if options.table:
        options.table.write_text(report.table(results) + "\n")
    if options.numbers:
        report.write_numbers(options.numbers, results)
    if options.picture:
        report.draw(options.picture, results)


if __name__ == "__main__":
    main()
