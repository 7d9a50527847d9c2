"""How long numeric tasks take with one thread for each slave, without that limit, and with loky.

Run it with ``python benchmarks/threads.py`` on a machine that has nothing else to do, after
``pip install . ./plugins/local -r benchmarks/requirements.txt``. Each task multiplies two matrices
and computes singular values, by numpy's own BLAS. There are as many processes as the script may use
cores, but at most two. All are run in turn, each round beginning with another, so that a change of
the machine's mood falls on all; printed are medians, and the median of the ratios of each round
with their range. (Variables such as OMP_NUM_THREADS, which would hold for all, are unset.)
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

from matrices import Matrices
from peers import Loky, Ours, Peer

_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
_PAUSE_S = 0.5


class WithoutLimit(Ours):
    """This library, with as many threads in each slave as numpy's BLAS starts by itself."""

    name = "imp-parallel, threads=None"
    threads = None


def seconds(peer_type: type[Peer], tasks: int, size: int, processes: int) -> float:
    """Return how long the tasks take on processes that have imported numpy and done one."""
    with peer_type(processes) as peer:
        for count in (2 * processes, tasks):
            begun_at = time.perf_counter()
            results = list(peer.run(Matrices(number, size) for number in range(count)))
            taken_s = time.perf_counter() - begun_at
            if len(results) != count:
                raise SystemExit(f"{peer.name}: {len(results)} results of {count} tasks")
    return taken_s


def report(name: str, mine: list[float], others: list[float]) -> str:
    """Return a line that compares two peers, round by round."""
    ratios = sorted(one / other for one, other in zip(mine, others, strict=True))
    median = statistics.median(ratios)
    return f"{name}: {median:.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    number: dict[str, tuple[int, str]] = {
        "repeat": (5, "how many rounds"),
        "tasks": (40, "how many tasks in each"),
        "size": (1000, "how many rows and columns a matrix has"),
    }
    for option, (default, text) in number.items():
        parser.add_argument(f"--{option}", type=int, default=default, help=text)
    options = parser.parse_args()
    for name in _LIMITS:
        os.environ.pop(name, None)
    folders = str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))  # for those that are spawned
    processes = min(2, len(os.sched_getaffinity(0)))
    peers: list[type[Peer]] = [Ours, WithoutLimit]
    if Loky.is_installed():
        peers.append(Loky)
    runs: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for turn in range(options.repeat):
        for peer in peers[turn % len(peers) :] + peers[: turn % len(peers)]:
            runs[peer.name].append(seconds(peer, options.tasks, options.size, processes))
            print(f"round {turn + 1}: {peer.name}: {runs[peer.name][-1]:.2f} s", flush=True)
            time.sleep(_PAUSE_S)  # for what ends late
    for name, taken in runs.items():
        each = " ".join(f"{taken_s:.1f}" for taken_s in taken)
        print(f"{name}: {statistics.median(taken):.2f} s ({each})")
    for other in peers[1:]:
        print(report(f"{Ours.name} of {other.name}", runs[Ours.name], runs[other.name]))


if __name__ == "__main__":
    main()
