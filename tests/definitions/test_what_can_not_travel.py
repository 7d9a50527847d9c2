"""What can't be pickled is named, and nothing else is harmed."""

from __future__ import annotations

import ctypes
import pickle
import sys
import threading
import types
from typing import Any

import pytest

from imp_parallel_core._code.culprit import explain, find_culprit
from imp_parallel_core._code.exception_facts import read_facts
from imp_parallel_core._code.loaded import LoadedDefinitions
from imp_parallel_core._code.results import describe_exception, pickle_value
from imp_parallel_core._definitions.book import DefinitionBook
from imp_parallel_core._wire.shared_memory import opened

from .slave import Runner, script, unpickle

LOCKED = {
    "a captured variable": (
        "def make(lock):\n  return lambda: lock\ntask = make(LOCK)",
        "x → captured variable 'lock' (of type lock)",
    ),
    "a global": ("def task(): return LOCK", "x → global 'LOCK' (of type lock)"),
    "a global of a helper": (
        "def helper(): return LOCK\ndef task(): return helper()",
        "x → global 'helper' → global 'LOCK' (of type lock)",
    ),
    "a global of a method": (
        "class Task:\n  def __call__(self): return LOCK\ntask = Task()",
        "x → class Task.__call__ → global 'LOCK' (of type lock)",
    ),
    "a global of a property": (
        "class Task:\n  @property\n  def p(self): return LOCK\ntask = Task",
        "x.p → global 'LOCK' (of type lock)",
    ),
    "an attribute": (
        "class Task: pass\ntask = Task()\ntask.inner = Task()\ntask.inner.lock = LOCK",
        "x.inner.lock (of type lock)",
    ),
    "a slot": (
        "class Task: __slots__ = ('lock',)\ntask = Task()\ntask.lock = LOCK",
        "x.lock (of type lock)",
    ),
    "a class attribute": ("class Task: lock = LOCK\ntask = Task", "x.lock (of type lock)"),
    "a base class": (
        "class Base: lock = LOCK\nclass Task(Base): pass\ntask = Task",
        "x → base Base.lock (of type lock)",
    ),
    "a default": ("def task(a=1, b=LOCK): pass", "x → default 1 (of type lock)"),
    "a keyword default": ("def task(*, b=LOCK): pass", "x → default 'b' (of type lock)"),
    "an attribute of a function": ("def task(): pass\ntask.a = LOCK", "x.a (of type lock)"),
    "a bound method's object": (
        "class A:\n  def f(self): pass\na = A()\na.lock = LOCK\ntask = a.f",
        "x.__self__.lock (of type lock)",
    ),
    "a partial's argument": (
        "from functools import partial\ntask = partial(print, 1, end=LOCK)",
        "x.keywords['end'] (of type lock)",
    ),
    "an item of containers": (
        "task = [1, {'a': (2, LOCK)}]",
        "x[1]['a'][1] (of type lock)",
    ),
    "an object that says it is something else": (
        """
class Proxy:
    def __init__(self): self.__dict__["lock"] = LOCK
    @property
    def __class__(self): return dict
    def __getattr__(self, name): raise RuntimeError("don't touch")
task = [Proxy()]
""",
        "x[0].lock (of type lock)",
    ),
    "something whose __reduce__ raises": (
        "class A:\n  def __reduce__(self): raise RuntimeError('no')\ntask = [A()]",
        "x[0] (of type A)",
    ),
}

NOT_FOR_SLAVES = {
    "a library of ctypes": "import ctypes\nIT = ctypes.CDLL(None)",
    "a library of ctypes that was used": "import ctypes\nIT = ctypes.CDLL(None)\nIT.abs(-1)",
    "a type of ctypes": "import ctypes\nIT = ctypes.CFUNCTYPE(ctypes.c_int)",
    "an array of ctypes": "import ctypes\nIT = (ctypes.c_int * 3)()",
    "a lock": "import threading\nIT = threading.Lock()",
    "a file that is written": "import os\nIT = open(os.devnull, 'w')",
    "a binary file": "import os\nIT = open(os.devnull, 'rb')",
    "a generator": "IT = (n for n in range(3))",
    "a socket": "import socket\nIT = socket.socket()",
    "a connection to a database": "import sqlite3\nIT = sqlite3.connect(':memory:')",
    "an iterator over a folder": "import os\nIT = os.scandir()",
}
INSIDE = {
    "a thread": "import threading\nIT = threading.Thread()",
    "a pool of threads": "import concurrent.futures as c\nIT = c.ThreadPoolExecutor()",
    "a process": "import subprocess\nIT = subprocess.Popen('true')\nIT.wait()",
    "a lock in a table": "import threading\nIT = {'a': [threading.Lock()]}",
}


def can_pickle(thing: Any) -> bool:
    try:
        DefinitionBook().pickle(thing)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("name", LOCKED)
def test_the_culprit_is_named_with_the_way_to_it(runner: Runner, name: str) -> None:
    source, path = LOCKED[name]
    namespace = script(source, LOCK=threading.Lock())
    with pytest.raises(Exception, match=r"pickle|no|wrong class"):
        runner.book.pickle(namespace["task"])
    assert find_culprit(namespace["task"], "x", can_pickle) == path

    namespace["LOCK"] = None
    assert runner.run(eval("lambda: 5", namespace)) == 5  # the book works on


@pytest.mark.parametrize("name", [*NOT_FOR_SLAVES, *INSIDE])
def test_a_global_that_can_not_travel_is_named_with_who_uses_it(name: str) -> None:
    source = {**NOT_FOR_SLAVES, **INSIDE}[name]
    namespace = script(f"{source}\ndef score(): return IT\ndef task(): return score()")
    culprit, advice = explain(namespace["task"], "the task", can_pickle)
    assert culprit.startswith("the task → global 'score' → global 'IT'")
    assert ("'IT' (of type" in culprit) == (name in NOT_FOR_SLAVES)
    place = "the" if name in NOT_FOR_SLAVES else "in the"
    assert advice.splitlines()[1:] == [
        f"  It is {place} global 'IT' of __main__, which the function score uses.",
        "  Make it in the set-up or in the function, so that each slave has its own.",
    ]
    if hasattr(type(namespace["IT"]), "close"):  # a library has the close of C, for any descriptor
        namespace["IT"].close()


def foreign_function() -> Any:
    """Return a function as pybind11 makes them: a built-in one that is bound to a capsule."""
    api = ctypes.pythonapi
    api.PyCapsule_New.restype = api.PyCFunction_NewEx.restype = ctypes.py_object
    api.PyCFunction_NewEx.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    capsule = api.PyCapsule_New(ctypes.byref(METHOD), b"a record", None)
    return api.PyCFunction_NewEx(ctypes.byref(METHOD), capsule, "foreign")


class Method(ctypes.Structure):
    """What C calls a PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("call", ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.py_object)),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


METHOD = Method(b"score", Method._fields_[1][1](lambda capsule, args: args), 1, None)


def test_a_function_of_an_extension_module_is_to_be_wrapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function = foreign_function()
    assert function(1, 2) == (1, 2)
    culprit, advice = explain(function, "the task", can_pickle)
    assert culprit == "the task (of type builtin_function_or_method)"
    assert advice == "\n  It is a function that is not written in Python: wrap it in one."
    module = types.ModuleType("foreign")
    module.score = function  # type: ignore[attr-defined]  # as an extension module would
    monkeypatch.setitem(sys.modules, "foreign", module)
    advice = explain(script("def task(): return F", F=function)["task"], "x", can_pickle)[1]
    assert advice.splitlines()[1:] == [
        "  It is the global 'F' of __main__, which the function task uses.",
        "  It is a function that is not written in Python: wrap it in one, such as lambda *args: "
        "foreign.score(*args).",
    ]
    libm = ctypes.CDLL(None)
    assert "wrap it in one." in explain(libm.abs, "x", can_pickle)[1]


def test_what_has_failed_travels_when_it_is_mended(runner: Runner) -> None:
    namespace = script(
        """
        class Task:
            lock = LOCK
            def __call__(self): return helper(), self.lock
        def helper(): return LOCK
        """,
        LOCK=threading.Lock(),
    )
    for _ in range(2):
        with pytest.raises(TypeError, match="lock"):
            runner.book.pickle(namespace["Task"]())
    namespace["LOCK"] = namespace["Task"].lock = 7
    assert runner.run(namespace["Task"]()) == (7, 7)


def test_a_change_to_what_can_not_travel_leaves_the_old_tasks_alone(runner: Runner) -> None:
    namespace = script("N = 1\ndef task(): return N\ndef other(): return 2")
    early = runner.book.pickle(namespace["task"])
    namespace["N"] = threading.Lock()
    with pytest.raises(TypeError, match="lock"):
        runner.book.pickle(namespace["task"])
    assert runner.run(namespace["other"]) == 2
    assert runner.receive(early)() == 1
    namespace["N"] = 3
    assert runner.run(namespace["task"]) == 3


def test_too_deep_a_recursion_is_an_error_and_no_crash(runner: Runner) -> None:
    deep: list[Any] = []
    for _ in range(sys.getrecursionlimit() * 200):
        deep = [deep]
    with pytest.raises(RecursionError):
        runner.book.pickle(deep)
    assert find_culprit(deep, "x", can_pickle).startswith("x[0][0]")
    assert runner.run(script("def task(): return 1")["task"]) == 1
    while deep:  # or its destruction would be deep
        deep = deep[0]


def test_state_is_taken_once(runner: Runner) -> None:
    namespace = script("""
        class Counting:
            taken = []
            def __getstate__(self):
                self.taken.append(1)
                return {}
    """)
    runner.book.pickle(namespace["Counting"]())
    assert len(namespace["Counting"].taken) == 1
    arrived = runner.receive(runner.book.pickle(namespace["Counting"]()))
    before = len(arrived.taken)
    pickle_value(arrived, runner.loaded)
    assert len(arrived.taken) == before + 1


def test_an_interrupted_pickle_does_no_harm(runner: Runner) -> None:
    class Interrupts:
        def __reduce__(self) -> Any:
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            runner.book.pickle(("begun", Interrupts()))
    assert runner.receive(runner.book.pickle("fine")) == "fine"


def test_a_bundle_that_can_not_be_loaded_fails_again_until_it_can(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(sys)("vanishing")
    exec("class A: n = 3", module.__dict__)
    monkeypatch.setitem(sys.modules, "vanishing", module)
    namespace = script("from vanishing import A\ndef task(): return A.n")
    (segments, number) = runner.book.pickle(namespace["task"])
    monkeypatch.delitem(sys.modules, "vanishing")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            runner.loaded.load(number, opened(runner.book.bundles[number - 1]))
    monkeypatch.setitem(sys.modules, "vanishing", module)
    assert runner.receive((segments, number))() == 3


def test_an_unpicklable_value_is_named() -> None:
    value = {"model": [1, threading.Lock()]}
    with pytest.raises(pickle.PicklingError, match=r"the value\['model'\]\[1\] \(of type lock\)"):
        pickle_value(value, LoadedDefinitions())


def test_an_exception_of_the_script_comes_home_as_its_own_class(runner: Runner) -> None:
    namespace = script("""
        class Problem(Exception): pass
        def task(): raise Problem(3, [4])
    """)
    with pytest.raises(Exception, match="3") as raised:
        runner.run(namespace["task"])
    assert type(raised.value) is not namespace["Problem"]
    text, line, _, *pickled = describe_exception(raised.value, runner.loaded)
    home = unpickle(runner.book, pickled)
    assert type(home) is namespace["Problem"]
    assert home.args == (3, [4])
    assert line == b"Problem: (3, [4])"
    assert b"raise Problem" in text or b"in task" in text


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit

    def __reduce__(self) -> Any:
        raise SystemExit


def test_whatever_an_exception_does_it_is_described() -> None:
    text, line, facts, pickled = describe_exception(Hostile(), LoadedDefinitions())
    assert read_facts(facts).problem == "the exception can't be pickled: its code raised SystemExit"
    assert line == b"Hostile (its text can't be shown)"
    assert b"Hostile" in text
    assert pickled == b""
