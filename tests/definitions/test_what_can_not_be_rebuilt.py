"""What can't be rebuilt on a slave fails the tasks that need it, and no others."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from imp_parallel_core._definitions.book import DefinitionBook

from .slave import Runner, more, script

FAILS = """
    class Fails:
        def __reduce__(self): return open, ("/nonexistent/file",)
"""


class Rebuilt:
    """Counts how often slaves have rebuilt something; fails the first times."""

    times = 0
    failures = 1


def rebuild() -> str:
    Rebuilt.times += 1
    if Rebuilt.times <= Rebuilt.failures:
        raise RuntimeError(f"attempt {Rebuilt.times}")
    return "rebuilt"


class Flaky:
    def __reduce__(self) -> Any:
        return rebuild, ()


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rebuilt, "times", 0)
    monkeypatch.setattr(Rebuilt, "failures", 1)


def outcome(runner: Runner, thing: Any, *args: Any) -> Any:
    """Return what a task returns, or the exception that comes home."""
    try:
        return runner.run(thing, *args)
    except Exception as problem:
        return runner.loaded.explained(problem)


def test_a_global_that_can_not_be_rebuilt_fails_only_the_tasks_that_use_it(runner: Runner) -> None:
    namespace = script(FAILS + "    CFG = Fails()\n    OTHER = 2")
    for _ in range(2):
        problem = outcome(runner, eval("lambda: CFG", namespace))
        assert type(problem) is FileNotFoundError
        (note,) = problem.__notes__
        assert "global 'CFG'" in note
    assert outcome(runner, abs, -1) == 1
    assert outcome(runner, eval("lambda: OTHER", namespace)) == 2
    namespace["CFG"] = 1
    assert outcome(runner, eval("lambda: CFG", namespace)) == 1


def test_other_runners_are_told_the_same(book: DefinitionBook) -> None:
    namespace = script(FAILS + "    CFG = Fails()")
    runners = [Runner(book), Runner(book)]
    for runner in runners:
        assert type(outcome(runner, eval("lambda: CFG", namespace))) is FileNotFoundError
        assert outcome(runner, abs, -1) == 1
    namespace["CFG"] = 1
    for runner in (*runners, Runner(book)):
        assert outcome(runner, eval("lambda: CFG", namespace)) == 1


def test_a_function_that_can_not_be_rebuilt_raises_what_prevented_it(runner: Runner) -> None:
    namespace = script(FAILS + "    CFG = Fails()\n    def task(): return CFG")
    for _ in range(2):
        assert type(outcome(runner, namespace["task"])) is FileNotFoundError
    more(namespace, "CFG = 1\ndef task(): return CFG")
    assert outcome(runner, namespace["task"]) == 1


def test_a_rebind_that_fails_does_not_leave_the_old_value(runner: Runner) -> None:
    namespace = script(FAILS + "    CFG = 1\n    def task(): return CFG")
    early = runner.book.pickle(namespace["task"])
    assert runner.receive(early)() == 1
    more(namespace, "CFG = Fails()")
    problem = outcome(runner, namespace["task"])
    assert type(problem) is FileNotFoundError
    assert runner.receive(early)() == 1  # an older task, which is tried again
    assert type(outcome(runner, namespace["task"])) is FileNotFoundError
    more(namespace, "CFG = 3")
    assert outcome(runner, namespace["task"]) == 3


def test_what_a_failed_bundle_has_bound_before_it_failed_is_taken_away(runner: Runner) -> None:
    namespace = script(FAILS + "    A, B = [1], Fails()")
    assert type(outcome(runner, eval("lambda: (A, B)", namespace))) is FileNotFoundError
    assert type(outcome(runner, eval("lambda: A", namespace))) is FileNotFoundError


def test_a_built_in_object_does_not_take_the_place_of_a_global_of_its_name(runner: Runner) -> None:
    namespace = script(FAILS + "    max = Fails()")
    for source in ("lambda: max(1, 2)", "lambda: max.n", "lambda: max + 1"):
        assert type(outcome(runner, eval(source, namespace))) is FileNotFoundError
    more(namespace, "def max(*args): return 'mine'")
    assert outcome(runner, eval("lambda: max(1, 2)", namespace)) == "mine"


def test_a_name_that_is_missing_for_another_reason_stays_a_name_error(runner: Runner) -> None:
    namespace = script(FAILS + "    CFG = Fails()")
    assert type(outcome(runner, eval("lambda: CFG", namespace))) is FileNotFoundError
    assert type(outcome(runner, eval("lambda: CFH", namespace))) is NameError


def test_a_global_that_failed_once_is_there_for_the_task_after_the_one_that_missed_it(
    runner: Runner,
) -> None:
    namespace = script("def task(): return VALUE, len(LATER)", VALUE=1, LATER="a")
    assert outcome(runner, namespace["task"]) == (1, 1)
    namespace["VALUE"] = Flaky()
    assert str(outcome(runner, namespace["task"])) == "attempt 1"
    namespace["LATER"] = "abc"
    assert outcome(runner, namespace["task"]) == ("rebuilt", 3)
    assert Rebuilt.times == 2


def test_a_bundle_that_fails_is_not_tried_again_for_tasks_that_do_not_need_it(
    runner: Runner,
) -> None:
    Rebuilt.failures = 100
    namespace = script("def task(): return VALUE", VALUE=Flaky())
    assert str(outcome(runner, namespace["task"])) == "attempt 1"
    for _ in range(3):
        assert outcome(runner, abs, -1) == 1
    assert Rebuilt.times == 1
    assert str(outcome(runner, namespace["task"])) == "attempt 2"


def test_what_a_setup_has_bound_stays_when_a_failed_bundle_is_loaded_at_last(
    runner: Runner,
) -> None:
    namespace = script(
        """
        MODEL = None
        def setup(): globals()["MODEL"] = "loaded"
        def task(): return MODEL, VALUE
        """,
        VALUE=Flaky(),
    )
    runner.run(namespace["setup"])
    assert str(outcome(runner, namespace["task"])) == "attempt 1"
    assert outcome(runner, namespace["task"]) == ("loaded", "rebuilt")


def test_a_class_whose_init_subclass_failed_once_is_made_at_the_next_attempt(
    runner: Runner,
) -> None:
    namespace = script("""
        import imp_parallel_core
        class Base:
            def __init_subclass__(cls):
                if getattr(imp_parallel_core, "is_slave", False):
                    imp_parallel_core.is_slave = False
                    raise ValueError("no subclasses yet")
        class Model(Base):
            n = 3
        def task(): return Model.n
    """)
    try:
        sys.modules["imp_parallel_core"].__dict__["is_slave"] = True
        assert str(outcome(runner, namespace["task"])) == "no subclasses yet"
        assert outcome(runner, abs, -1) == 1
        assert outcome(runner, namespace["task"]) == 3
    finally:
        del sys.modules["imp_parallel_core"].__dict__["is_slave"]


def test_a_corrected_class_works_in_the_same_context(runner: Runner) -> None:
    namespace = script("""
        class Model:
            def __init__(self): self.n = 3
            def __setstate__(self, state): raise ValueError("not like this")
        MODEL = Model()
        def task(): return MODEL.n
    """)
    assert str(outcome(runner, namespace["task"])) == "not like this"
    more(
        namespace,
        """
        class Model:
            def __init__(self): self.n = 3
        MODEL = Model()
        def task(): return MODEL.n
        """,
    )
    assert outcome(runner, namespace["task"]) == 3


def test_what_needs_something_that_failed_fails_for_the_same_reason(runner: Runner) -> None:
    Rebuilt.failures = 2
    namespace = script(
        """
        class Base:
            value = VALUE
        def other(): return 5
        """,
        VALUE=Flaky(),
    )
    assert str(outcome(runner, namespace["Base"])) == "attempt 1"
    more(namespace, "class Derived(Base): n = 1\ndef task(): return Derived.value")
    assert str(outcome(runner, namespace["task"])) == "attempt 2"
    assert outcome(runner, namespace["other"]) == 5
    assert outcome(runner, namespace["task"]) == "rebuilt"
