"""What strangers at the port cost a run: a run under attack against one that is left alone.

Run it with ``python benchmarks/hostile_port.py [REPETITIONS]``. Slaves of this machine dial the
master by the transport ``tcp``; another process attacks its port: 500 connections that idle (and
come again when they are turned away), 50 that write a byte of a handshake now and then, and 40 new
ones a second that send random bytes, a pickle, a plain HTTP request, or a TLS handshake with a
certificate of their own. Undisturbed runs and attacked ones take turns.

Tasks sleep, since the attacker has to share this machine's cores with the run; in earnest it would
have its own.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from imp_parallel_core import Manager
from tests.support import file_launcher
from tests.support.file_launcher import FileSlave

SLAVES, TASKS, TASK_S = 4, 1000, 0.02

ATTACK = """
import os, socket, ssl, sys, time
from imp_parallel_tcp._credentials import RunCredentials
from imp_parallel_tcp._tls import SlaveCredentials
address = ("127.0.0.1", int(sys.argv[1]))
context = SlaveCredentials(RunCredentials().secret(0), 0).context
context.verify_mode = ssl.CERT_NONE
HELLO = b"\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03" + bytes(500)
BYTES = [os.urandom(4096), b"cos\\nsystem\\n(S'touch pwned'\\ntR.", b"GET / HTTP/1.1\\r\\n\\r\\n"]

def connect():
    connected = socket.create_connection(address, 5)
    connected.setblocking(False)
    return connected

def is_open(connected):
    try:
        return bool(connected.recv(4096))
    except BlockingIOError:
        return True
    except OSError:
        return False

def write_more(slow):
    for at, (connected, sent) in enumerate(slow):
        try:
            connected.send(HELLO[sent:sent + 1])
            slow[at] = connected, sent + 1
        except OSError:
            connected.close()
            slow[at] = connect(), 0

def knock(number):
    try:
        with socket.create_connection(address, 1) as stranger:
            if number % 4 == 3:
                with context.wrap_socket(stranger) as secured:
                    secured.send(b"\\0\\0\\0\\0")
                    secured.recv(1)
            else:
                stranger.sendall(BYTES[number % 4])
    except OSError:
        pass

idle = [connect() for _ in range(500)]
slow = [(connect(), 0) for _ in range(50)]
print("attacking", flush=True)
number = turned_away = 0
while True:
    begun_at = time.monotonic()
    for _ in range(4):
        number += 1
        knock(number)
    for at in range(number // 4 % 10, len(idle), 10):
        if not is_open(idle[at]):
            idle[at].close()
            idle[at] = connect()
    if number % 20 == 0:
        write_more(slow)
    time.sleep(max(0.0, begun_at + 0.1 - time.monotonic()))
"""


def time_run(*, is_attacked: bool) -> tuple[float, float]:
    """Return the seconds that a run takes, from the first slave's launch on, and those of tasks."""
    output = str(Path.cwd() / "slave%d.output")
    with Manager(host="127.0.0.1", output=output, plugins=[file_launcher]) as manager:
        port = manager._transports.get("tcp")[1][0].rpartition(":")[2]
        attacker = None
        if is_attacked:
            command = [sys.executable, "-c", ATTACK, port]
            attacker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            if attacker.stdout is None or attacker.stdout.readline() != "attacking\n":
                raise SystemExit("the attack failed")
        try:
            begun_at = time.perf_counter()
            for _ in range(SLAVES):
                manager.add_slave(FileSlave())
            context = manager.get_context()
            for _ in range(TASKS):
                context.add_task(time.sleep, TASK_S)
            results = context.get_results_unordered()
            next(results)
            first_at = time.perf_counter()
            if len(list(results)) != TASKS - 1:
                raise SystemExit("results are missing")
            ended_at = time.perf_counter()
        finally:
            if attacker is not None:
                if attacker.poll() is not None:
                    raise SystemExit("the attacker gave up")
                attacker.kill()
                attacker.communicate()
    if Path("pwned").exists():
        raise SystemExit("a stranger's pickle was loaded")
    return ended_at - begun_at, ended_at - first_at


def main() -> None:
    """Measure and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        time_run(is_attacked=False)  # not counted: it compiles modules
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rounds = [
            (time_run(is_attacked=False), time_run(is_attacked=True)) for _ in range(repetitions)
        ]
        os.chdir("/")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    for at, what in enumerate(("whole run", "from the first result on")):
        alone = [quiet[at] for quiet, _ in rounds]
        attacked = [noisy[at] for _, noisy in rounds]
        ratios = sorted(noisy / quiet for noisy, quiet in zip(attacked, alone, strict=True))
        print(
            f"{what}: {statistics.median(alone):.2f} s, under attack "
            f"{statistics.median(attacked):.2f} s: {(statistics.median(ratios) - 1) * 100:+.1f} % "
            f"(pairs {(ratios[0] - 1) * 100:+.1f} to {(ratios[-1] - 1) * 100:+.1f} %)"
        )
    print(f"the master's peak memory grew by {grown / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
