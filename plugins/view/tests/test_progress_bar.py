"""The progress bar on a terminal, in a notebook, and where there is neither."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from imp_parallel_local import LocalSlave
from imp_parallel_view import ProgressBar
from jupyter_client.manager import KernelManager
from view_screens import Terminal

from imp_parallel_core import Manager

SCRIPT = """
    import logging, sys, time
    from imp_parallel_core import Manager
    from imp_parallel_local import LocalSlave
    from imp_parallel_view import ProgressBar

    def work(number):
        time.sleep(0.05)
        if number == 7:
            raise ValueError("seven")
        return number

    with Manager(output=None, plugins=[ProgressBar()]) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context(name="scoring")
        for number in range(60):
            context.add_task(work, number)
        for result in context.get_results(on_error="return"):
            %s
    print("the end")
"""


def test_a_bar_shows_what_happens_and_what_is_printed_is_above_it_untorn(
    write_script: Callable[[str], list[str]],
) -> None:
    printing = "print('result', repr(result)[:2], 'x' * 120)"
    terminal = Terminal(write_script(SCRIPT % printing))
    try:
        midst = terminal.wait_for(lambda text: " working" in text and " of 60" in text)
        assert re.search(r"^scoring  +[━─]+ +\d+ of 60 +\d+ %$", midst, re.MULTILINE)
        text = terminal.finish()
    finally:
        terminal.end()
    assert terminal.process.returncode == 0, text
    # a line that is wider than the terminal goes on in the next one
    printed = re.findall(r"^result (\S+) (x+)\n(x+)$", text, re.MULTILINE)
    assert len(printed) == 60
    assert {len(first + rest) for _, first, rest in printed} == {120}
    assert re.search(
        r"^scoring .*60 of 60 100 %\ntasks +59 done, 1 failed.*\nslaves +2 ended\nthe end$",
        text,
        re.MULTILINE,
    ), text
    assert text.count(" of 60") == 1


def test_warnings_and_unfinished_lines_appear_above_the_bar(
    write_script: Callable[[str], list[str]],
) -> None:
    source = """
        import logging, sys
        logging.basicConfig()  # holds the standard errors that were there before the bar
        from imp_parallel_core import Manager
        from imp_parallel_view import ProgressBar

        with Manager(output=None, plugins=[ProgressBar()]):
            sys.stdin.readline()
            logging.getLogger("imp_parallel.anything").warning("be warned")
            print("some", end=" ", file=sys.stderr)
            print("more")
            print("How many? ", end="")
            print("So many:", sys.stdin.readline())
        print("the end")
    """
    terminal = Terminal(write_script(source))
    try:
        terminal.wait_for(lambda text: "slaves  none yet" in text)
        terminal.type("go on\r")
        text = terminal.wait_for(lambda text: "How many?" in text)
        assert re.search(r"^How many\?$", text, re.MULTILINE), text
        terminal.type("7\r")
        text = terminal.finish()
    finally:
        terminal.end()
    assert "WARNING:imp_parallel.anything:be warned\nsome more\n" in text
    assert re.search(
        r"^How many\? So many: 7\n+tasks .*\nslaves .*\nthe end$", text, re.MULTILINE
    ), text


def test_another_bar_of_the_script_is_seen_as_it_is_now(
    write_script: Callable[[str], list[str]],
) -> None:
    source = """
        import sys
        from imp_parallel_core import Manager
        from imp_parallel_view import ProgressBar

        with Manager(output=None, plugins=[ProgressBar()]):
            sys.stdin.readline()
            for percent in range(0, 100_000):
                print(f"\\r{percent} %", end="", file=sys.stderr)
            sys.stdin.readline()
            print(file=sys.stderr)
    """
    terminal = Terminal(write_script(source))
    try:
        terminal.wait_for(lambda text: "slaves  none yet" in text)
        terminal.type("go on\r")
        terminal.wait_for(lambda text: "99999 %\ntasks" in text)
        terminal.type("go on\r")
        text = terminal.finish()
    finally:
        terminal.end()
    assert text.count("%") == 1, text


def test_the_screen_is_drawn_ten_times_a_second_at_most(
    write_script: Callable[[str], list[str]],
) -> None:
    began = time.monotonic()
    terminal = Terminal(write_script(SCRIPT % "pass"))
    try:
        terminal.finish()
    finally:
        terminal.end()
    assert 3 <= terminal.raw.count(b"slaves") <= 3 + 10 * (time.monotonic() - began)


def test_a_stream_that_goes_to_a_file_gets_what_is_printed_and_nothing_else(
    write_script: Callable[[str], list[str]], tmp_path: Path
) -> None:
    with (tmp_path / "output").open("w") as output:
        terminal = Terminal(write_script(SCRIPT % "print(result)"), stdout=output.fileno())
        try:
            text = terminal.finish()
        finally:
            terminal.end()
    lines = (tmp_path / "output").read_text().splitlines()
    assert len(lines) > 60
    assert (lines[0], lines[-1]) == ("0", "the end")
    assert "60 of 60" in text
    assert "the end" not in text


def test_where_there_is_no_terminal_a_line_is_written_at_the_end(
    write_script: Callable[[str], list[str]],
) -> None:
    done = subprocess.run(
        write_script(SCRIPT % "pass"), capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "the end\n"
    line = r"60 tasks in [\d.]+ m?s: 59 done, 1 failed; 2 slaves\n"
    assert re.fullmatch(line, done.stderr), done.stderr


def test_the_terminal_is_as_before_when_the_script_fails(
    write_script: Callable[[str], list[str]],
) -> None:
    terminal = Terminal(write_script(SCRIPT % "raise KeyError('mine')"))
    try:
        text = terminal.finish()
    finally:
        terminal.end()
    assert terminal.process.returncode == 1
    assert re.search(r"^slaves .*\nTraceback", text, re.MULTILINE), text
    assert text.endswith("KeyError: 'mine'")
    assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(
        b"\x1b[?25l"
    )  # the cursor is shown


def test_what_holds_a_stream_for_longer_than_the_bar_loses_no_text(
    write_script: Callable[[str], list[str]],
) -> None:
    script = """
        import logging, os, sys, warnings
        from imp_parallel_core import Manager
        from imp_parallel_view import ProgressBar

        warnings.simplefilter("ignore")  # some versions of Python warn of a fork among threads
        before = sys.stdout
        with Manager(output=None, plugins=[ProgressBar()]) as manager:
            while sys.stdout is before:
                pass
            held = sys.stdout
            logging.basicConfig()  # its handler holds what is sys.stderr now
            if not (child := os.fork()):
                # lines around it, since the block may be drawn over what is where it was
                print(*[""] * 6, "of a fork", *[""] * 6, sep="\\n", flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        print("of a held stream", file=held)
        logging.warning("of a handler")
    """
    terminal = Terminal(write_script(script))
    try:
        text = terminal.finish()
    finally:
        terminal.end()
    for expected in ("of a fork", "of a held stream", "WARNING:root:of a handler"):
        assert expected in text, text


def test_a_stream_of_a_class_of_the_scripts_own_is_left_alone(
    write_script: Callable[[str], list[str]], tmp_path: Path
) -> None:
    script = """
        import sys

        class Tee:
            def __init__(self, stream):
                self.stream = stream

            def write(self, text):
                with open("copy", "a") as copy:
                    copy.write(text)
                return self.stream.write(text)

            def flush(self):
                self.stream.flush()

        class TeeOfATerminal(Tee):
            def isatty(self):
                return True
    """
    rest = textwrap.dedent(SCRIPT % "print(result)")
    own = textwrap.dedent(script).replace('"copy"', repr(str(tmp_path / "copy")))
    own += rest.replace("\nwith Manager", "\nsys.stdout = KIND(sys.stdout)\nwith Manager")
    for kind in ("Tee", "TeeOfATerminal"):
        (tmp_path / "copy").unlink(missing_ok=True)
        terminal = Terminal(write_script(own.replace("KIND", kind)))
        try:
            text = terminal.finish()
        finally:
            terminal.end()
        assert "not called again" not in text
        assert "60 of 60" in text, text
        assert (tmp_path / "copy").read_text().splitlines()[-2:] == ["59", "the end"]


def test_a_bar_serves_one_manager_after_another(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    for count in (3, 5):
        with Manager(output=None, plugins=[bar]) as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            for number in range(count):
                context.add_task(abs, number)
            assert len(list(context.get_results())) == count
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" in ")[0] for line in lines] == ["3 tasks", "5 tasks"]


def test_a_script_that_shows_nothing_does_not_import_rich() -> None:
    source = "import sys, imp_parallel_view; sys.exit(any('rich' in name for name in sys.modules))"
    subprocess.run([sys.executable, "-c", source], check=True)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start the kernel of a notebook; yield its client."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    manager = KernelManager(kernel_name="python3", transport="ipc")
    manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"])
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=50)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_notebook_shows_a_block_that_changes_in_place(kernel: Any) -> None:
    source = """
from imp_parallel_core import Manager
from imp_parallel_local import LocalSlave
from imp_parallel_view import ProgressBar
with Manager(output=None, plugins=[ProgressBar()]) as manager:
    manager.add_slave(LocalSlave())
    context = manager.get_context(name="scoring")
    for number in range(30):
        context.add_task(abs, -number)
    print(sum(context.get_results_unordered()))
"""
    messages: list[tuple[str, dict[str, Any]]] = []
    request = kernel.execute(source)
    while ("status", "idle") not in [
        (kind, text.get("execution_state")) for kind, text in messages
    ]:
        try:
            message = kernel.get_iopub_msg(timeout=50)
        except Empty:
            pytest.fail(f"nothing more has come: {messages}")
        if message["parent_header"].get("msg_id") == request or "display" in message["msg_type"]:
            messages.append((message["msg_type"], message["content"]))
    blocks = [content for kind, content in messages if kind.endswith("display_data")]
    kinds = [kind for kind, _ in messages if kind.endswith("display_data")]
    assert kinds[0] == "display_data"
    assert set(kinds[1:]) == {"update_display_data"}
    assert len({content["transient"]["display_id"] for content in blocks}) == 1
    last = blocks[-1]["data"]["text/html"]
    assert "scoring" in last
    assert "30 of 30" in last
    assert "1 ended" in last
    texts = [content["text"] for kind, content in messages if kind == "stream"]
    assert "".join(texts) == f"{sum(range(30))}\n"
