"""However a script ends, no process is left 2 s later, and nothing but its own words is printed.

The fixture ``processes`` asserts after each test that nothing is left.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import ClosedError, Manager
from imp_parallel_core._scheduler.tasks import Task
from tests.support.harness import Processes, RunScript
from tests.support.waiting import wait_until

PRELUDE = """
import os, signal, sys, time
from imp_parallel_core import Manager, LocalSlave

def say(text):
    print(text, flush=True)

def forever():
    time.sleep(600)

manager = Manager()
for _ in range(2):
    manager.add_slave(LocalSlave())
context = manager.get_context(lambda: 1)
context.add_task(lambda one: one)
say(list(context.get_results_unordered()))
"""


def finish(process: subprocess.Popen[str], limit_s: float = 20.0) -> tuple[int, str, str]:
    """Wait for a script; return its exit code, output and errors."""
    out, err = process.communicate(timeout=limit_s)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("ending", "code", "error"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("manager.close(); manager.close()", 0, ""),
        ("context.add_task(lambda one: time.sleep(600))", 0, ""),
        ("del manager, context", 0, ""),
        ("raise ValueError('the script is wrong')", 1, "ValueError: the script is wrong"),
        ("with manager: raise ValueError('the script is wrong')", 1, "ValueError: the script"),
        ("os._exit(4)", 4, ""),
        ("sys.stdout.close(); os.abort()", -signal.SIGABRT, ""),
    ],
)
def test_a_script_may_end_in_any_way(
    start_script: RunScript, processes: Processes, ending: str, code: int, error: str
) -> None:
    result, out, err = finish(start_script(PRELUDE + ending))
    assert (result, out) == (code, "[1]\n")
    assert err == "" if not error else (error in err and err.count("Traceback") == 1)
    assert not processes.gone_within(10.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize(
    "busy", ["list(context.get_results_unordered())", "time.sleep(600)"], ids=["waiting", "busy"]
)
def test_a_signal_ends_master_and_slaves(
    start_script: RunScript, processes: Processes, number: signal.Signals, busy: str
) -> None:
    script = start_script(
        PRELUDE + f"for _ in range(4): context.add_task(lambda one: time.sleep(600))\n{busy}"
    )
    assert script.stdout is not None
    assert script.stdout.readline() == "[1]\n"
    script.send_signal(number)
    code, _, err = finish(script)
    assert not processes.gone_within(10.0)
    assert code == -number
    if number == signal.SIGINT:
        assert err.count("Traceback") == 1
        assert err.rstrip().endswith("KeyboardInterrupt")
    else:
        assert err == ""


def test_ctrl_c_in_a_terminal_reaches_the_script_alone_which_may_go_on(
    start_script: RunScript, processes: Processes
) -> None:
    script = start_script(
        PRELUDE
        + """
context.add_task(lambda one: (time.sleep(1), 'unharmed')[1])
try:
    say('ready')
    signal.pause()
except KeyboardInterrupt:
    say(list(context.get_results_unordered()))
manager.close()
""",
        start_new_session=True,
    )
    assert script.stdout is not None
    while script.stdout.readline() != "ready\n":
        pass
    os.killpg(script.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert finish(script) == (0, "['unharmed']\n", "")


# What Python itself does with a Ctrl-C that strikes while it starts; or in a callback of an import,
# which swallows the KeyboardInterrupt and may keep the lock of all imports.
PYTHONS_OWN = (
    "Fatal Python error: init_import_site",
    "Exception ignored in: <function _get_module_lock",
)


def errors_after_ctrl_c(script: subprocess.Popen[str]) -> str:
    """Return what a script wrote to its stderr; end one whose Ctrl-C Python has swallowed."""
    try:
        _, _, err = finish(script)
    except subprocess.TimeoutExpired as expired:
        err = (expired.stderr or b"").decode()
        assert err.startswith(PYTHONS_OWN), err
        script.kill()
        script.communicate()
    return err


def test_signals_at_a_hundred_random_moments_of_a_masters_life_leave_nothing(
    start_script: RunScript, processes: Processes
) -> None:
    source = """
import time
from imp_parallel_core import Manager, LocalSlave
with Manager(output=None) as manager:
    for _ in range(2):
        manager.add_slave(LocalSlave())
    context = manager.get_context(lambda: time.sleep(0.01))
    for _ in range(20):
        context.add_task(time.sleep, 0.005)
    list(context.get_results_unordered())
"""
    rng = random.Random(5)
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
    for _ in range(25):
        scripts = [start_script(source) for _ in numbers]
        for script, number in zip(scripts, numbers, strict=True):
            time.sleep(rng.uniform(0.0, 0.3))  # the moment is what is random here
            script.send_signal(number)
        for script, number in zip(scripts, numbers, strict=True):
            if number == signal.SIGINT:
                err = errors_after_ctrl_c(script)
                if err.startswith(PYTHONS_OWN):
                    continue
                assert "Exception ignored" not in err, err
                assert err == "" or err.splitlines()[-1] == "KeyboardInterrupt", err
            else:
                _, _, err = finish(script)
                assert err == ""
        assert not processes.gone_within(10.0)


GLOBALS = """
import threading, time
from imp_parallel_core import Manager, LocalSlave

class Farewell:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        print("farewell", self.name, flush=True)

class Task:
    def __init__(self, number):
        self.number = number
    def __call__(self):
        return self.number

farewell = Farewell("global")
out = open("out.txt", "w")
manager = Manager(output=None)
manager.add_slave(LocalSlave())
context = manager.get_context()
for number in range(100):
    context.add_task(Task(number))
    context.add_task(lambda: number)
for result in context.get_results():
    print(result, file=out)
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("context.close()", 0),
        ("manager.close()", 0),
        ("with manager: context.add_task(Task(1)); print(*context.get_results())", 0),
        ("context.add_task(lambda: time.sleep(600))", 0),
        ("results = context.map(Task, range(10**6)); next(results)", 0),
        ("context.add_task(lambda: 1 / 0); list(context.get_results())", 1),
        # what keeps the context beyond the end is not to keep the script's globals
        ("context.add_task(time.sleep, 600)\n"
         "threading.Thread(target=list, args=[context.get_results()], daemon=True).start()", 0),
        ("time.kept = context", 0),
    ],
)  # fmt: skip
def test_the_globals_of_a_script_end_as_they_do_without_slaves(
    start_script: RunScript, tmp_path: Path, ending: str, code: int
) -> None:
    result, out, _ = finish(start_script(GLOBALS + ending), 50.0)
    assert result == code
    assert out.split("\n")[-2] == "farewell global"
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 200  # (it was never closed)


def test_the_globals_of_a_forked_child_end_too(start_script: RunScript, tmp_path: Path) -> None:
    ending = """
import os, sys, warnings
out.close()
warnings.simplefilter("ignore")  # since Python 3.12 there is one of threads
if not (pid := os.fork()):
    out = open("child.txt", "w")
    print("from the child", file=out)
    sys.exit()
os.waitpid(pid, 0)
"""
    assert finish(start_script(GLOBALS + ending), 50.0) == (0, 2 * "farewell global\n", "")
    assert (tmp_path / "child.txt").read_text() == "from the child\n"


@pytest.mark.parametrize(
    "use",
    [
        "list(context.get_results())",
        "list(context.map(lambda one, duration_s: time.sleep(duration_s), [600]))",
        "while True: context.add_task(lambda one: one)",
        "while True: manager.slaves",
    ],
)
def test_a_daemon_thread_that_is_left_at_the_end_prints_no_traceback(
    start_script: RunScript, processes: Processes, use: str
) -> None:
    ending = f"""
import threading
context.add_task(lambda one: time.sleep(600))
def use():
    say('uses')
    {use}
threading.Thread(target=use, daemon=True).start()
while not any(slave.state == 'working' for slave in manager.slaves):
    time.sleep(0.01)
"""
    assert finish(start_script(PRELUDE + ending)) == (0, "[1]\nuses\n", "")
    assert not processes.gone_within(10.0)


def test_a_close_from_another_thread_ends_the_waiting_reader(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(time.sleep, 600)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            list(context.get_results_unordered())
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: one_slave.slaves[0].state == "working")
    one_slave.close()
    reader.join(10)
    assert [type(error) for error in failures] == [ClosedError]


def test_use_after_close_is_a_clear_error(one_slave: Manager) -> None:
    context = one_slave.get_context()
    one_slave.close()
    for use in (
        lambda: one_slave.add_slave(LocalSlave()),
        lambda: one_slave.get_context(),
        lambda: context.add_task(time.sleep, 0),
        lambda: context.get_results_unordered(),
    ):
        with pytest.raises(ClosedError, match="closed"):
            use()
    assert repr(one_slave) == "<Manager, closed>"


def test_a_closed_context_frees_its_slave_and_its_values(
    one_slave: Manager, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"

    class Value:
        def __del__(self) -> None:
            gone.touch()

    context = one_slave.get_context(Value)
    context.add_task(lambda value: 1)
    assert list(context.get_results_unordered()) == [1]
    context.close()
    wait_until(gone.exists)
    busy = one_slave.get_context()
    busy.add_task(time.sleep, 600)
    wait_until(lambda: one_slave.slaves[0].state == "working")
    busy.close()
    with pytest.raises(ClosedError):
        busy.add_task(time.sleep, 0)
    other = one_slave.get_context()
    other.add_task(lambda: "free")
    assert list(other.get_results_unordered()) == ["free"]


def test_a_collected_context_drops_its_values(one_slave: Manager, tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    class Value:
        def __del__(self) -> None:
            gone.touch()

    context = one_slave.get_context(Value)
    context.add_task(lambda value: 1)
    assert list(context.get_results_unordered()) == [1]
    del context
    wait_until(gone.exists)


def test_a_manager_in_a_forked_child_is_refused_and_the_parent_goes_on(
    one_slave: Manager, tmp_path: Path
) -> None:
    context = one_slave.get_context()
    context.add_task(lambda: 1)
    said = tmp_path / "said"
    child = os.fork()
    if child == 0:
        try:
            context.add_task(lambda: 2)
        except ClosedError as error:
            said.write_text(str(error))
        finally:
            one_slave.close()
            os._exit(0)
    os.waitpid(child, 0)
    assert "forked child" in said.read_text()
    assert list(context.get_results_unordered()) == [1]


def test_a_forked_child_of_the_master_keeps_no_slave_alive(
    start_script: RunScript, processes: Processes
) -> None:
    script = start_script(
        PRELUDE
        + """
if os.fork() == 0:
    os.environ.clear()
    os.execv('/bin/sleep', ['sleep', '1'])
if os.fork() == 0:
    time.sleep(30)
    os._exit(0)
say('forked')
signal.pause()
"""
    )
    assert script.stdout is not None
    while script.stdout.readline() != "forked\n":
        pass
    script.kill()
    script.wait()
    wait_until(lambda: not processes.supervisors() and not processes.runners(), 10.0)
    for pid in processes.alive():  # the children are the script's own affair
        os.kill(pid, signal.SIGKILL)
    finish(script)


def test_a_script_inside_pytest_ends_without_noise(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(
        "from imp_parallel_core import Manager, LocalSlave\n"
        "class Task:\n"
        "    def __call__(self):\n"
        "        return 5\n"
        "def test_it():\n"
        "    manager = Manager()\n"
        "    manager.add_slave(LocalSlave())\n"
        "    context = manager.get_context()\n"
        "    context.add_task(Task())\n"
        "    assert list(context.get_results_unordered()) == [5]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert done.stderr == ""


def test_a_slave_told_to_go_hands_back_what_it_has_not_begun(
    two_slaves: Manager, processes: Processes, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def task(number: int) -> int:
        with log.open("a") as file:
            file.write(f"{number}\n")
        time.sleep(0.01)
        return number

    context = two_slaves.get_context(max_attempts=1)
    for number in range(200):
        context.add_task(task, number)
    results = context.get_results_unordered()
    first = [next(results) for _ in range(20)]
    os.kill(processes.supervisors()[0], signal.SIGTERM)
    assert sorted([*first, *results]) == list(range(200))
    assert len(log.read_text().split()) == 200
    wait_until(lambda: "gone" in {slave.state for slave in two_slaves.slaves})


def launch_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("imp_parallel launch")]


def test_managers_that_are_closed_at_once_leave_no_slave_and_no_thread(
    processes: Processes,
) -> None:
    for _ in range(40):
        manager = Manager(output=None)
        manager.add_slave(LocalSlave())
        manager.add_slave(LocalSlave())
        manager.close()
        assert not launch_threads()
        assert not processes.gone_within(10.0), "close() did not see to its end"


def test_a_reader_of_a_context_that_another_thread_closes_first_is_told_so(
    one_slave: Manager,
) -> None:
    context = one_slave.get_context()
    results = context.map(abs, [1])
    context.close()
    with pytest.raises(ClosedError):
        next(results)
    late = one_slave.get_context()
    late.close()
    inbox, _ = (
        late._open.requests.open_map_inbox()
    )  # as by a thread that has just found the context open
    list(inbox.numbering(Task(late._open.id, ())))
    with pytest.raises(ClosedError, match="Context has been closed"):
        inbox.take()
