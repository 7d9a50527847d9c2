"""Several progress bars at a time share a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from imp_parallel_view import ProgressBar
from view_screens import Terminal

NESTED = """
    import sys
    from imp_parallel_core import Manager
    from imp_parallel_local import LocalSlave
    from imp_parallel_view import ProgressBar

    with (
        Manager(output=None, plugins=[ProgressBar(sys.stdout)]) as outer,
        Manager(output=None, plugins=[ProgressBar()]) as inner,
    ):
        for manager, name in ((outer, "outer"), (inner, "inner")):
            manager.add_slave(LocalSlave())
            context = manager.get_context(name=name)
            for number in range(20):
                context.add_task(divmod, number, 3)
            list(context.get_results())
            print(name, "is read")
        sys.stdin.readline()
        inner.close()
        print("inner is closed")
        sys.stdin.readline()
    print("the end")
"""


def test_bars_of_managers_in_each_other_are_one_below_the_other_and_each_stays_once(
    write_script: Callable[[str], list[str]],
) -> None:
    terminal = Terminal(write_script(NESTED))
    try:
        midst = terminal.wait_for(lambda text: text.count("20 of 20 100 %") == 2)
        found = re.findall(r"^(outer|inner) .*\ntasks .*\nslaves .*$", midst, re.MULTILINE)
        assert sorted(found) == ["inner", "outer"]  # in the order in which the runs began
        assert midst.count(" of 20") == 2
        terminal.type("\r")
        terminal.wait_for(lambda text: "inner is closed" in text and "1 ended" in text)
        terminal.type("\r")
        text = terminal.finish()
    finally:
        terminal.end()
    assert terminal.process.returncode == 0, text
    closed = "20 of 20 100 %\ntasks   20 done\nslaves  1 ended\n"
    pattern = rf"^inner .*{closed}inner is closed\nouter .*{closed}the end$"
    assert re.search(pattern, text.replace("\n\n", "\n"), re.MULTILINE), text
    assert text.count(" of 20") == 2


def test_two_bars_of_one_manager_are_both_drawn(
    write_script: Callable[[str], list[str]],
) -> None:
    source = """
        from imp_parallel_core import Manager
        from imp_parallel_view import ProgressBar

        with Manager(output=None, plugins=[ProgressBar(), ProgressBar()]) as manager:
            manager.get_context(name="mine").add_task(int)
            print("printed")
    """
    terminal = Terminal(write_script(source))
    try:
        text = terminal.finish()
    finally:
        terminal.end()
    assert text.count("\nmine ") == 2, text
    assert text.count("printed") == 1


@pytest.mark.parametrize("file", [3, "bar.txt", object()])
def test_what_nothing_can_be_written_to_is_refused_at_once(file: Any) -> None:
    with pytest.raises(TypeError, match=r"it must be a stream, such as sys.stdout, or None"):
        ProgressBar(file)
    ProgressBar(sys.stdout)
