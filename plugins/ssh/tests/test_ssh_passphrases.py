"""An encrypted key's passphrase is asked for on the terminal, once, and nowhere else."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.support.checking import script_of_check
from tests.support.sshd import Daemons, Person, Sshd, make_key

SCRIPT = """
import os, sys, threading
from imp_parallel_ssh._paramiko.connect import connect
from imp_parallel_ssh._target import Target

def reach(name):
    try:
        connect(Target(name), 3.0).close()
        os.write(1, f"{name} reached\\n".encode())  # in one go: two threads do it
    except Exception as problem:
        print(problem, flush=True)

threads = [threading.Thread(target=reach, args=(name,)) for name in sys.argv[1:]]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


class Terminal:
    """A terminal, and a script that a person has started on it."""

    def __init__(self, *names: str, script: str = SCRIPT, in_background: bool = False) -> None:
        pid, self._master = pty.fork()
        if not pid:
            command = [sys.executable, "-c", script, *names]
            if in_background:
                # another process group of the same session, as with & in a shell
                code = subprocess.Popen(command, process_group=0).wait()
                os._exit(code)
            os.execv(command[0], command)
        self._pid = pid
        self.text = ""

    def read_until(self, *ends: str, times: int = 1) -> None:
        deadline = time.monotonic() + 20.0
        while not all(self.text.count(end) >= times for end in ends):
            assert time.monotonic() < deadline, f"it never came: {ends}: {self.text}"
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self._master, 4096).decode()
                except OSError:  # the script has ended
                    assert all(end in self.text for end in ends), self.text
                    return

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._master)


@pytest.fixture
def encrypted(person: Person, daemons: Daemons) -> Sshd:
    """Have a key with a passphrase, and two hosts that it opens."""
    person.key.unlink()
    make_key(person.key, passphrase="open sesame")
    one, two = daemons.start(), daemons.start()
    person.name(one, "one")
    person.name(two, "two")
    return one


def test_it_is_asked_for_once_however_many_hosts_need_the_key(
    person: Person, encrypted: Sshd
) -> None:
    terminal = Terminal("one", "two")
    terminal.read_until(f"Enter passphrase for key '{person.key}': ")
    time.sleep(4.0)  # a person takes longer than the time limit
    terminal.type("open sesame\n")
    terminal.read_until("one reached", "two reached")
    assert terminal.text.count("Enter passphrase") == 1
    assert "sesame" not in terminal.text
    terminal.end()


def test_a_wrong_one_is_asked_for_again_and_none_given_is_an_error(encrypted: Sshd) -> None:
    terminal = Terminal("one")
    terminal.read_until("Enter passphrase")
    terminal.type("wrong\n")
    terminal.read_until("Enter passphrase", times=2)
    terminal.type("\n")
    terminal.read_until("passphrase was not given", "ssh-add")
    terminal.end()


def test_a_script_in_the_background_is_not_stopped_by_asking(encrypted: Sshd) -> None:
    terminal = Terminal("one", in_background=True)
    terminal.read_until("not in the foreground", "ssh-add")
    assert "Enter passphrase" not in terminal.text
    terminal.end()


def check_of(host: str, *arguments: str) -> str:
    return script_of_check(f"SSHSlave({host!r}, client='paramiko')", *arguments)


def test_a_check_asks_for_it_and_goes_through_the_whole_chain(
    person: Person, encrypted: Sshd
) -> None:
    terminal = Terminal(script=check_of("one", "--limit", "30"))
    terminal.read_until(f"Enter passphrase for key '{person.key}': ")
    terminal.type("open sesame\n")
    terminal.read_until("All of it works")
    assert terminal.text.count("Enter passphrase") == 1
    assert "sesame" not in terminal.text
    terminal.end()


def test_a_check_to_which_none_is_given_fails_with_what_to_do(encrypted: Sshd) -> None:
    terminal = Terminal(script=check_of("one"))
    terminal.read_until("Enter passphrase")
    terminal.type("\n")
    terminal.read_until("It does not work")
    failure = terminal.text.partition("started ")[2]
    assert "passphrase was not given" in failure
    assert "ssh-add" in failure
    terminal.end()


def test_a_check_in_the_background_fails_with_what_to_do(encrypted: Sshd) -> None:
    terminal = Terminal(script=check_of("one"), in_background=True)
    terminal.read_until("It does not work")
    failure = terminal.text.partition("started ")[2]
    assert "not in the foreground" in failure
    assert "ssh-add" in failure
    assert "Enter passphrase" not in terminal.text
    terminal.end()
