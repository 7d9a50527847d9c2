"""How long a script takes to start: this library against ``concurrent.futures``.

Run it with ``python benchmarks/start.py [REPETITIONS]`` on a machine that has nothing else to do.
Whole processes are measured, in turn (ours, theirs, ours, …), so that a change of the machine's
mood falls on both:

- from the start of ``python script.py`` until it has a result of each of two slaves, and until it
  has ended, against a ``ProcessPoolExecutor`` of two workers that are spawned, as ours are;
- ``import imp_parallel_core``, and with ``Manager``, against an empty script.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# as where it is not set: modules are compiled once, when they are installed or first imported
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

MEET = '''
class Meet:
    """Returns when as many processes are at it as are expected."""

    def __init__(self, folder, expected=2):
        self.folder, self.expected = folder, expected

    def __call__(self):
        open(f"{self.folder}/{os.getpid()}", "w").close()
        deadline = time.monotonic() + 60
        while len(os.listdir(self.folder)) < self.expected:
            if time.monotonic() > deadline:
                raise TimeoutError("the other process has not come")
            time.sleep(0.001)
        return os.getpid()
'''

OURS = f"""
import os, sys, time
from imp_parallel_core import Manager
from imp_parallel_local import LocalSlave
{MEET}
with Manager(output=None) as manager:
    for _ in range(2):
        manager.add_slave(LocalSlave())
    context = manager.get_context()
    for _ in range(2):
        context.add_task(Meet(sys.argv[1]))
    assert len(set(context.get_results_unordered())) == 2
    print("results", flush=True)
"""

THEIRS = f"""
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
{MEET}
if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(Meet(sys.argv[1])) for _ in range(2)]
        assert len({{future.result() for future in futures}}) == 2
        print("results", flush=True)
"""


def time_script(path):
    """Run a script; return the seconds until its results, and until its end."""
    with tempfile.TemporaryDirectory() as meeting:
        begun_at = time.perf_counter()
        command = [sys.executable, str(path), meeting]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
            line = process.stdout.readline()
            results_s = time.perf_counter() - begun_at
        end_s = time.perf_counter() - begun_at
    if line != b"results\n" or process.returncode:
        raise SystemExit(f"{path} failed")
    return results_s, end_s


def time_statement(statement):
    """Return the seconds that ``python -c statement`` takes."""
    begun_at = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=ENVIRONMENT)
    return time.perf_counter() - begun_at


def interleave(repetitions, *measures):
    """Return the figures of each measure, taken in turn, after one round that is not counted."""
    rounds = [[measure() for measure in measures] for _ in range(repetitions + 1)]
    return zip(*rounds[1:], strict=True)


def report(name, ours, theirs):
    """Print two medians and how they compare."""
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    median, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"{name}: {median * 1000:.0f} ms, ProcessPoolExecutor {other * 1000:.0f} ms, "
        f"ratio {median / other:.2f} (pairs {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main():
    """Measure and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder:
        scripts = []
        for name, source in (("ours.py", OURS), ("theirs.py", THEIRS)):
            scripts.append(Path(folder) / name)
            scripts[-1].write_text(source)
        ours, theirs = interleave(
            repetitions, *(lambda path=path: time_script(path) for path in scripts)
        )
    for what, mine, other in zip(
        ("results of both slaves", "end of the script"),
        zip(*ours, strict=True),
        zip(*theirs, strict=True),
        strict=True,
    ):
        report(what, mine, other)
    statements = (
        "pass",
        "import imp_parallel_core",
        "from imp_parallel_core import Manager; from imp_parallel_local import LocalSlave",
    )
    bare, *imports = interleave(
        repetitions,
        *(lambda statement=statement: time_statement(statement) for statement in statements),
    )
    for statement, taken in zip(statements[1:], imports, strict=True):
        added_ms = (statistics.median(taken) - statistics.median(bare)) * 1000
        print(f"{statement}: {added_ms:.0f} ms more than an empty script")


if __name__ == "__main__":
    main()
