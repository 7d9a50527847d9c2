"""How long a slave on another host takes to start, and how much goes through its connection.

Run it as root on a Debian machine that has nothing else to do: ``python benchmarks/ssh.py
[REPETITIONS]``. It starts an OpenSSH daemon of its own on loopback. All figures are taken in turn
(ours, theirs, ours, …), so that a change of the machine's mood falls on all of them:

- from ``add_slave`` to the first result, against ``ssh host python -c 'import imp_parallel_core'``;
  on a Python that has the package, and on one that has nothing;
- bytes to a task and back through one connection, against what a channel of paramiko, and one of
  OpenSSH's client, carry to ``cat`` and back.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from imp_parallel_ssh import SSHSlave
from imp_parallel_ssh._paramiko.connect import connect
from imp_parallel_ssh._target import parse_target

from imp_parallel_core import Manager
from tests.support.sshd import Daemons, Person, install

CLIENTS = ("paramiko", "openssh")
PAYLOAD_BYTES = 24 << 20


def time_command(config, python, statement):
    """Return the seconds that a command by the program ssh takes, connecting included."""
    command = ["ssh", "-F", config, "-o", "BatchMode=yes", "there"]
    begun_at = time.perf_counter()
    subprocess.run([*command, f"{python} -c '{statement}'"], check=True)
    return time.perf_counter() - begun_at


FIRST_RESULT = """
import os, sys, time
from imp_parallel_core import Manager
from imp_parallel_ssh import SSHSlave
with Manager(output=None) as manager:
    begun_at = time.perf_counter()
    manager.add_slave(SSHSlave("there", client=sys.argv[1], python=sys.argv[2]))
    context = manager.get_context()
    context.add_task(os.getpid)
    list(context.get_results_unordered())
    print(time.perf_counter() - begun_at)
"""


def time_start(client, python):
    """Return the seconds from add_slave to the first result, in a script of its own."""
    command = [sys.executable, "-c", FIRST_RESULT, client, python]
    # as where it is not set: modules are compiled once, when they are installed or first imported
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def time_payload(client, block):
    """Return the bytes per second of an argument that comes back as the result."""
    with Manager(output=None) as manager:
        manager.add_slave(SSHSlave("there", client=client, ship_modules=[]))
        context = manager.get_context()
        context.add_task(os.getpid)
        list(context.get_results_unordered())
        begun_at = time.perf_counter()
        context.add_task(bytes, block)
        (result,) = context.get_results_unordered()
        assert len(result) == len(block)
        return 2 * len(block) / (time.perf_counter() - begun_at)


def _echo(send, receive, block):
    """Send a block and receive as much; return the bytes per second."""
    begun_at = time.perf_counter()
    sender = threading.Thread(target=send, args=(block,))
    sender.start()
    left = len(block)
    while left:
        data = receive(1 << 18)
        if not data:
            raise SystemExit("the connection ended")
        left -= len(data)
    sender.join()
    return 2 * len(block) / (time.perf_counter() - begun_at)


def time_paramiko(block):
    """Return the bytes per second of a plain channel of paramiko's, to cat and back."""
    import paramiko

    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.WarningPolicy())
    settings = paramiko.SSHConfig.from_path(str(Path.home() / ".ssh/config")).lookup("there")
    client.load_host_keys(settings["userknownhostsfile"])
    client.connect(
        settings["hostname"],
        int(settings["port"]),
        settings["user"],
        key_filename=settings["identityfile"],
    )
    with client:
        channel = client.get_transport().open_session()
        channel.exec_command("exec cat")
        return _echo(channel.sendall, channel.recv, block)


def time_openssh(config, block):
    """Return the bytes per second of a channel of OpenSSH's client, to cat and back."""
    ours, theirs = socket.socketpair()
    command = ["ssh", "-F", config, "-o", "BatchMode=yes", "there", "exec cat"]
    with ours, theirs, subprocess.Popen(command, stdin=theirs, stdout=theirs) as process:
        ours.sendall(b"x")
        ours.recv(1)
        speed = _echo(ours.sendall, ours.recv, block)
        ours.shutdown(socket.SHUT_WR)
        process.wait()
    return speed


def interleave(repetitions, measures):
    """Return the figures of each measure, taken in turn, after one round that is not counted."""
    rounds = [
        {name: measure() for name, measure in measures.items()} for _ in range(repetitions + 1)
    ]
    return {name: [figures[name] for figures in rounds[1:]] for name in measures}


def ratios(ones, others):
    """Return the median of the ratios of pairs, and their range, as text."""
    pairs = sorted(one / other for one, other in zip(ones, others, strict=True))
    return f"{statistics.median(pairs):.2f} (pairs {pairs[0]:.2f} to {pairs[-1]:.2f})"


def measure_starts(config, bare, repetitions):
    """Measure starts and print them."""
    own = sys.executable
    measures = {
        "ssh, a Python with the package": lambda: time_command(
            config, own, "import imp_parallel_core"
        ),
    }
    for client in CLIENTS:
        measures[client, own] = lambda client=client: time_start(client, own)
        measures[client, bare] = lambda client=client: time_start(client, bare)
    figures = interleave(repetitions, measures)
    baseline = figures["ssh, a Python with the package"]
    print(f"ssh host python -c 'import …': {statistics.median(baseline) * 1000:.0f} ms")
    for client in CLIENTS:
        for python, what in ((own, "with the package"), (bare, "with nothing")):
            taken = figures[client, python]
            print(
                f"add_slave to first result, {client}, host {what}: "
                f"{statistics.median(taken) * 1000:.0f} ms, ratio {ratios(taken, baseline)}"
            )


def measure_payloads(config, repetitions):
    """Measure payloads and print them."""
    block = os.urandom(PAYLOAD_BYTES)
    measures = {
        "paramiko's channel": lambda: time_paramiko(block),
        "OpenSSH's channel": lambda: time_openssh(config, block),
        **{client: lambda client=client: time_payload(client, block) for client in CLIENTS},
    }
    figures = interleave(repetitions, measures)
    for name, speeds in figures.items():
        against = ratios(speeds, figures["paramiko's channel"])
        print(f"payload, {name}: {statistics.median(speeds) / 1e6:.0f} MB/s, ratio {against}")


def main():
    """Measure and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    install()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        person = Person(folder / "home")
        os.environ["HOME"] = str(person.home)
        venv.create(folder / "bare", with_pip=False)
        # OpenSSH looks for the user's set-up where the system says that the home is
        script = folder / "bin/ssh"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {person.config} "$@"\n')
        script.chmod(0o755)
        os.environ["PATH"] = f"{script.parent}:{os.environ['PATH']}"
        daemons = Daemons(folder / "daemons", person)
        try:
            person.name(daemons.start(), "there")
            connect(parse_target("there"), 20.0).close()
            measure_starts(str(person.config), str(folder / "bare/bin/python"), repetitions)
            measure_payloads(str(person.config), max(3, repetitions // 3))
        finally:
            daemons.stop()


if __name__ == "__main__":
    main()
