"""Code that is defined anywhere runs on real slaves, and its results come home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import Manager, PicklingError, RemoteError
from tests.support.harness import RunScript

pytestmark = pytest.mark.usefixtures("traced_slaves")

MODEL: Any = None
FACTOR = 1

# Blocks end with an empty line, and hold none, so that it can be typed into an interpreter as well.
PROGRAM = """
import enum, functools, xml.dom.minidom
from dataclasses import dataclass
from typing import NewType
from imp_parallel_core import Manager, LocalSlave, RemoteError
MODEL, SCALE, REGISTRY = None, 2, {}
Length = NewType("Length", int)

@dataclass
class Point:
    x: Length
    def scaled(self): return Point(self.x * SCALE)

class Color(enum.Enum):
    RED = 1

class Problem(Exception): pass

class Base:
    def name(self): return "base"

class Task(Base):
    def __init__(self, n): self.n = n
    def name(self): return "task of " + super().name()
    def __call__(self, start): return self.name(), helper(Point(self.n)), MODEL + start, Color.RED

@functools.lru_cache
def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

def helper(point): return point.scaled()

def setup():
    global MODEL
    MODEL = 100
    return 5

class Missing:
    def __reduce__(self): return "MISSING"

MISSING = Missing()

class Registered:
    def __init_subclass__(cls): REGISTRY[cls.__name__] = cls

class Model(Registered):
    def __init__(self, n): self.n = n
    def __hash__(self): return hash(factor())
    def __eq__(self, other): return self.n * factor() == other.n * SCALE
    def __setstate__(self, state): self.n = state["n"] * factor() // SCALE

def factor(): return SCALE

MODELS = {Model(3): "three"}

def look(start, missing=MISSING):
    return MODELS[Model(3)], sorted(REGISTRY), missing is MISSING, MISSING

def fail(start): raise Problem("as asked")

def parse(start): return xml.dom.minidom.parseString("<a/>").documentElement.tagName

with Manager() as manager:
    manager.add_slave(LocalSlave())
    context = manager.get_context(setup)
    for task in Task(3), parse, lambda start: fibonacci(50), lambda start: (lambda: SCALE), look:
        context.add_task(task)
    first, tag, number, function, found = context.get_results()
    SCALE = 3
    context.add_task(Task(3))
    second, = context.get_results()
    context.add_task(fail)
    try:
        list(context.get_results())
    except RemoteError as error:
        problem = error.exc

assert first == ("task of base", Point(6), 105, Color.RED), first
assert second == ("task of base", Point(9), 105, Color.RED), second
assert type(first[1]) is Point and first[3] is Color.RED
assert tag == "a" and number == 12586269025 and function() == 3
assert type(problem) is Problem and problem.args == ("as asked",), problem
assert MODEL is None
assert found == ("three", ["Model"], True, MISSING), found
print("it went", "well")

"""


def run_python(arguments: list[str], stdin: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "HOME": str(Path.cwd())},  # where a session leaves its history
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "it went well" in done.stdout, done.stderr


def test_a_script_needs_no_guard(start_script: RunScript) -> None:
    output, errors = start_script(PROGRAM).communicate(timeout=50)
    assert output == "it went well\n", errors
    assert errors == ""


MODULE = """
import os
from imp_parallel_core import Manager
from imp_parallel_local import LocalSlave

with open("levels", "a") as file:
    file.write("x")
if os.path.getsize("levels") > 20:
    os._exit(1)  # slaves within slaves, without end

def function(number):
    return number

with Manager(output=None) as manager:
    manager.add_slave(LocalSlave())
    print(list(manager.get_context().map(function, [1])))
"""


def test_a_module_that_makes_a_manager_when_it_is_imported_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slave imports it, too; it must not start slaves in turn."""
    monkeypatch.chdir(tmp_path)
    Path("module.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-c", "import module"], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 1
    assert 'if __name__ == "__main__"' in done.stderr
    assert "the module module" in done.stderr
    assert Path("levels").read_text() == "xx"


def test_a_program_given_with_c_works() -> None:
    run_python(["-c", PROGRAM], "")


def test_a_program_from_stdin_works() -> None:
    run_python([], PROGRAM)


def test_what_is_typed_into_an_interpreter_works() -> None:
    run_python(["-i", "-q"], PROGRAM)


# What a notebook's kernel does: cells are compiled one by one and run in a module that takes the
# place of __main__; a cell may await; its last expression is shown and kept.
KERNEL = """
import ast, sys, types
main = types.ModuleType("__main__")
main.__builtins__ = __builtins__
sys.modules["__main__"] = main
for number, cell in enumerate(sys.stdin.read().split("# %%\\n")):
    code = compile(cell, f"/tmp/ipykernel_1/{number}.py", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    exec(code, main.__dict__)
"""


def test_the_cells_of_a_notebook_work() -> None:
    run_python(["-c", KERNEL], PROGRAM.replace("\n\n", "\n\n# %%\n"))


def test_a_cell_that_is_run_again_replaces_its_classes() -> None:
    cells = """
        from imp_parallel_core import Manager, LocalSlave
        manager = Manager()
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        # %%
        class Model:
            def score(self): return "first"
        def task(): return Model()
        # %%
        context.add_task(task)
        old, = context.get_results()
        # %%
        class Model:
            def score(self): return "second"
        # %%
        context.add_task(task)
        new, = context.get_results()
        assert (old.score(), new.score()) == ("first", "second")
        assert type(new) is Model and type(old) is not Model
        manager.close()
        print("it went well")
    """
    run_python(["-c", KERNEL], textwrap.dedent(cells))


def test_a_method_that_is_the_first_to_travel_knows_its_class() -> None:
    program = """
        from imp_parallel_core import Manager, LocalSlave
        class Base:
            def score(self, x): return x
        class Model(Base):
            count = 0
            def score(self, x): return super().score(x) + 1
            def inc(self):
                __class__.count += 1
                return type(self).count
        def first(*task):
            context = manager.get_context()
            context.add_task(*task)
            return next(context.get_results())
        manager = Manager()
        manager.add_slave(LocalSlave())
        assert first(Model().score, 1) == 2
        assert first(Model().inc) == 1
        assert first(Model.score, Model(), 2) == 3
        context = manager.get_context(Model().inc)
        context.add_task(lambda count: count)
        assert list(context.get_results()) == [1]
        context = manager.get_context(Model)
        context.add_task(Model.score, 4)
        context.add_task(lambda made, sent: type(made) is type(sent) is Model, Model())
        assert list(context.get_results()) == [5, True]
        manager.close()
        print("it went well")
    """
    run_python(["-c", textwrap.dedent(program)], "")


def test_contexts_do_not_see_what_the_set_ups_of_others_did(one_slave: Manager) -> None:
    def make_setup(value: str) -> Callable[[], None]:
        def setup() -> None:
            global MODEL
            MODEL = value

        return setup

    class Task:
        def __call__(self) -> Any:
            return MODEL

    contexts = [one_slave.get_context(make_setup(value)) for value in ("first", "second")]
    for _ in range(2):
        for context in contexts:
            context.add_task(Task())
            context.add_task(lambda: MODEL)
    assert list(contexts[0].get_results()) == ["first"] * 4
    assert list(contexts[1].get_results()) == ["second"] * 4
    assert MODEL is None


def test_a_task_that_is_tried_again_sees_the_globals_of_its_time(
    one_slave: Manager, tmp_path: Path
) -> None:
    global FACTOR
    flag = tmp_path / "tried"

    def task() -> int:
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return FACTOR

    try:
        context = one_slave.get_context()
        context.add_task(task)
        FACTOR = 2
        context.add_task(lambda: FACTOR)
        FACTOR = 3
        context.add_task(lambda: FACTOR)
        assert list(context.get_results()) == [1, 2, 3]
    finally:
        FACTOR = 1


LOCK = threading.Lock()


class Holder:
    def __init__(self) -> None:
        self.lock = LOCK


@pytest.mark.parametrize(
    ("task", "args", "culprit"),
    [
        (print, (Holder(),), r"args\[0\]\.lock"),
        (
            lambda: LOCK,
            (),
            r"the task → global 'LOCK'(.|\n)*the global 'LOCK' of .*, which the func",
        ),
        ((lambda lock: lambda: lock)(LOCK), (), r"the task → captured variable 'lock'"),
        (Holder().__init__, (), r"the task\.__self__\.lock"),  # type: ignore[misc]  # any bound method
    ],
)
def test_what_can_not_be_pickled_is_named_and_the_context_works_on(
    one_slave: Manager, task: Any, args: tuple[Any, ...], culprit: str
) -> None:
    context = one_slave.get_context()
    context.add_task(lambda: FACTOR)
    with pytest.raises(PicklingError, match=culprit):
        context.add_task(task, *args)
    context.add_task(lambda: FACTOR + 1)
    assert list(context.get_results()) == [1, 2]


def test_a_value_that_can_not_be_pickled_is_named(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(lambda: [1, threading.Lock()])
    with pytest.raises(RemoteError, match=r"the value\[1\] \(of type lock\)"):
        list(context.get_results())


def test_code_that_can_not_be_loaded_fails_its_task_and_no_earlier_one(
    one_slave: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_on_the_master.py").write_text("class A: pass\n")
    context = one_slave.get_context()
    context.add_task(lambda: FACTOR)
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(tmp_path))
        import only_on_the_master  # type: ignore[import-not-found]  # made above
    context.add_task(lambda: only_on_the_master.A())
    (tmp_path / "only_on_the_master.py").unlink()
    first, error = context.get_results(on_error="return")
    sys.modules.pop("only_on_the_master")
    assert first == 1
    assert isinstance(error, RemoteError)
    assert isinstance(error.exc, ModuleNotFoundError)
