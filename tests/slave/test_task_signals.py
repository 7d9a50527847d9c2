"""What becomes of a batch system's warnings in processes that tasks start."""

from __future__ import annotations

import subprocess
import sys

PROLOGUE = """
import os, signal, threading
from imp_parallel_core._slave.task_signals import pass_over_warnings

WARNINGS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]

def fork():
    child = os.fork()
    if not child:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
AT_ONCE = """
current = 0
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), current))
pass_over_warnings()
for current in WARNINGS:
    os.kill(os.getpid(), current)  # in the runner itself it does nothing
    assert fork() == -current, current
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
"""
OWN_MASK = """
pass_over_warnings()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGALRM])
own = signal.pthread_sigmask(signal.SIG_BLOCK, ())
if not os.fork():
    is_same = signal.pthread_sigmask(signal.SIG_BLOCK, ()) == own
    # a grandchild too
    os._exit(0 if is_same and fork() == 7 else 1)
assert os.wait()[1] == 0
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == own
"""
OWN_HANDLER = """
class Told(Exception): pass

def tell(number, frame): raise Told

pass_over_warnings()
signal.signal(signal.SIGTERM, tell)
if not os.fork():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Told:
        os._exit(0)
    os._exit(1)
assert os.wait()[1] == 0
"""
MANY = """
def nested():
    if threading.current_thread() is not threading.main_thread():
        return
    global depth
    depth += 1
    if depth == 1:
        assert fork() == 7
    depth -= 1

depth = 0
pass_over_warnings()
os.register_at_fork(before=nested)
found = []

def fork_often():
    found.extend(fork() for _ in range(50))
    found.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()) or 7)

threads = [threading.Thread(target=fork_often) for _ in range(4)]
for thread in threads: thread.start()
fork_often()
for thread in threads: thread.join()
assert found == [7] * 255, found
"""
POOL = """
import multiprocessing
if __name__ == "__main__":
    pass_over_warnings()
    for _ in range(60):
        pool = multiprocessing.get_context("fork").Pool(2)
        pool.terminate()
        pool.join()
"""


def check(text: str) -> None:
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    done = subprocess.run([*command, "-c", PROLOGUE + text], capture_output=True, timeout=100)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_a_warning_that_comes_to_a_fork_at_once_ends_it() -> None:
    check(AT_ONCE)


def test_a_fork_and_its_parent_have_the_mask_of_signals_that_the_task_has_set() -> None:
    check(OWN_MASK)


def test_a_handler_that_a_task_has_set_is_called_in_its_forks() -> None:
    check(OWN_HANDLER)


def test_forks_in_several_threads_and_within_each_other_get_back_their_own_masks() -> None:
    check(MANY)


def test_pools_that_are_terminated_when_they_have_just_been_made_end() -> None:
    check(POOL)
