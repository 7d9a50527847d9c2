"""Code travels once, and again when the identity of something that it captured has changed."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imp_parallel_core._definitions.book import DefinitionBook

from .slave import Runner, more, script

CHANGES = {
    "a global": (
        "N = 1\ndef task(): return N",
        "N = 2",
    ),
    "a global of a helper": (
        "N = 1\ndef helper(): return N\ndef task(): return helper()",
        "N = 2",
    ),
    "a global that a method of an instance's class uses": (
        "N = 1\nclass Task:\n  def __call__(self): return N\ntask = Task()",
        "N = 2",
    ),
    "a helper": (
        "def helper(): return 1\ndef task(): return helper()",
        "def helper(): return 2",
    ),
    "a global that was not there": (
        "def task():\n  try: return N\n  except NameError: return None",
        "N = 2",
    ),
    "a global that is gone": (
        "N = 1\ndef task():\n  try: return N\n  except NameError: return None",
        "del N",
    ),
    "a builtin that the module now hides": (
        "def task(): return len([])",
        "def len(x): return 'mine'",
    ),
    "a class attribute": (
        "class A:\n  n = 1\ndef task(): return A.n, A().n",
        "A.n = 2",
    ),
    "a new class attribute": (
        "class A:\n  n = 1\ndef task(): return getattr(A, 'm', None)",
        "A.m = 2",
    ),
    "a deleted class attribute": (
        "class A:\n  n = 1\ndef task(): return getattr(A, 'n', None)",
        "del A.n",
    ),
    "a renamed class attribute": (
        "class A: pass\nA.n = None\ndef task(): return sorted(vars(A))[-1]",
        "del A.n\nA.z = None",
    ),
    "a class attribute of an instance's class": (
        "class A:\n  n = 1\n  def __call__(self): return self.n\ntask = A()",
        "A.n = 2",
    ),
    "a method": (
        "class A:\n  def f(self): return 1\ndef task(): return A().f()",
        "A.f = lambda self: 2",
    ),
    "an attribute of a base class": (
        "class A:\n  n = 1\nclass B(A): pass\ndef task(): return B.n",
        "A.n = 2",
    ),
    "the bases of a class": (
        "class A:\n  n = 1\nclass A2:\n  n = 2\nclass B(A): pass\ndef task(): return B.n",
        "B.__bases__ = (A2,)",
    ),
    "an attribute of a metaclass": (
        "class M(type):\n  n = 1\nclass A(metaclass=M): pass\ndef task(): return A.n",
        "M.n = 2",
    ),
    "a class whose instance is a global": (
        "class A:\n  n = 1\na = A()\ndef task(): return a.n",
        "A.n = 2",
    ),
    "a class whose instance is in a default": (
        "class A:\n  n = 1\ndef task(a=A()): return a.n",
        "A.n = 2",
    ),
    "a class that a global and a container share": (
        "class A:\n  n = 1\nTABLE = {'a': A}\ndef task(): return TABLE['a'].n, TABLE['a'] is A",
        "A.n = 2",
    ),
    "a class that is defined again": (
        "class A:\n  n = 1\ndef task(): return A.n",
        "class A:\n  n = 2",
    ),
    "a function's code": (
        "def helper(): return 1\ndef task(): return helper()",
        "helper.__code__ = (lambda: 2).__code__",
    ),
    "the task's own code": (
        "def task(): return 1",
        "task.__code__ = (lambda: 2).__code__",
    ),
    "a function's defaults": (
        "def task(n=1): return n",
        "task.__defaults__ = (2,)",
    ),
    "a function's keyword defaults": (
        "def task(*, n=1): return n",
        "task.__kwdefaults__ = {'n': 2}",
    ),
    "a function's first attribute": (
        "def task(): return getattr(task, 'n', 1)",
        "task.n = 2",
    ),
    "a function's attribute": (
        "def task(): return task.n\ntask.n = 1",
        "task.n = 2",
    ),
    "a closure's variable": (
        """
        def make():
            n = 1
            def task(): return n
            def change():
                nonlocal n
                n = 2
            return task, change
        task, change = make()
        """,
        "change()",
    ),
    "a closure's variable that had no value": (
        """
        def make():
            def task():
                try: return n
                except NameError: return None
            def change():
                nonlocal n
                n = 2
            if False: n = 1
            return task, change
        task, change = make()
        """,
        "change()",
    ),
    "a global of a function in a closure": (
        """
        N = 1
        def make(helper): return lambda: helper()
        task = make(lambda: N)
        """,
        "N = 2",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_later_task_sees_the_change_and_an_earlier_one_does_not(
    runner: Runner, name: str
) -> None:
    source, change = CHANGES[name]
    namespace = script(source)
    task = namespace["task"]
    for _ in range(2):
        early = runner.book.pickle(task)
    before = task()
    more(namespace, change)
    late = runner.book.pickle(task)
    assert task() != before
    assert runner.receive(late)() == task()
    assert runner.receive(early)() == before  # it is tried again, after a newer one
    assert runner.receive(late)() == task()

    replaced = Runner(runner.book)  # a runner that replaces a dead one is sent all bundles at once
    assert replaced.receive(late)() == task()
    assert replaced.receive(early)() == before
    bundles = len(runner.book.bundles)
    assert runner.receive(runner.book.pickle(task))() == task()
    assert len(runner.book.bundles) == bundles


def test_a_task_that_ran_before_the_change_arrived_is_tried_again_with_the_old_value(
    runner: Runner,
) -> None:
    namespace = script("N = 1\ndef task(): return N")
    early = runner.book.pickle(namespace["task"])
    assert runner.receive(early)() == 1
    namespace["N"] = 2
    assert runner.run(namespace["task"]) == 2
    assert runner.receive(early)() == 1


def test_a_change_that_is_taken_back_is_seen(runner: Runner) -> None:
    namespace = script("class A:\n  n = 1\ndef task(): return A.n\ndef other(): return A.n")
    task, other, kind = namespace["task"], namespace["other"], namespace["A"]
    one = kind.n
    assert (runner.run(task), runner.run(other)) == (1, 1)
    kind.n = 2
    assert runner.run(other) == 2
    kind.n = one
    assert (runner.run(task), runner.run(other)) == (1, 1)


def test_what_holds_an_older_version_is_sent_again_with_the_latest(runner: Runner) -> None:
    namespace = script("""
        class A: n = 1
        def holds(a=A()): return isinstance(a, A)
        def other(): return A.n
    """)
    kind = namespace["A"]
    one = kind.n
    assert runner.run(namespace["holds"])
    for value in (2, one):
        kind.n = value
        assert runner.run(namespace["other"]) == value
    assert runner.run(namespace["holds"])


def test_fresh_lambdas_see_a_rebound_global(runner: Runner) -> None:
    namespace = script("N = 1\ndef make(): return lambda: N")
    assert runner.run(namespace["make"]()) == 1
    namespace["N"] = 2
    assert runner.run(namespace["make"]()) == 2


def test_what_a_setup_creates_stays_when_the_master_binds_it_first(runner: Runner) -> None:
    namespace = script("""
        MODEL = None
        def setup(): globals()["MODEL"] = "loaded"
        def task(): return MODEL
    """)
    runner.run(namespace["setup"])
    assert runner.run(namespace["task"]) == "loaded"


def test_classes_that_did_not_change_keep_their_identity(runner: Runner) -> None:
    namespace = script("""
        class Model: pass
        class Counted:
            count = 0
        def setup(): return Model()
        def task(model): return isinstance(model, Model), Counted.count
    """)
    setup, task = runner.receive(runner.book.pickle((namespace["setup"], namespace["task"])))
    model = setup()
    assert task(model) == (True, 0)
    namespace["Counted"].count = 1
    assert runner.run(namespace["task"], model) == (True, 1)


def test_data_that_did_not_change_is_not_sent_again(book: DefinitionBook) -> None:
    namespace = script("""
        DATA = bytes(100_000)
        N = 1
        class Counted:
            count = 0
        def task(): return DATA, N, Counted.count
    """)
    book.pickle(namespace["task"])
    namespace["N"] = 2
    book.pickle(namespace["task"])
    namespace["Counted"].count = 1
    book.pickle(namespace["task"])
    sizes = [sum(map(len, bundle)) for bundle in book.bundles]
    assert len(sizes) == 3
    assert sizes[0] > 100_000
    assert max(sizes[1:]) < 2_000


def test_a_rebound_global_that_a_task_does_not_use_is_not_sent(book: DefinitionBook) -> None:
    namespace = script("N = 1\ndef uses(): return N\ndef task(): return 0")
    _, bundle = book.pickle((namespace["uses"], namespace["task"]))
    namespace["N"] = threading.Lock()  # it could not be
    assert book.pickle(namespace["task"])[1] == bundle
    with pytest.raises(TypeError, match="lock"):
        book.pickle(namespace["uses"])


def test_a_change_inside_a_captured_object_is_not_seen(runner: Runner) -> None:
    namespace = script("LIST = [1]\ndef task(): return LIST")
    runner.book.pickle(namespace["task"])
    namespace["LIST"].append(2)
    assert runner.run(namespace["task"]) == [1]


def test_what_a_setup_sets_is_seen_by_the_tasks_of_its_context_alone() -> None:
    namespace = script("""
        MODEL = None
        def setup(n):
            global MODEL
            MODEL = n
        def task(): return MODEL, Task.model(), (lambda: MODEL)()
        class Task:
            @staticmethod
            def model(): return MODEL
        anonymous = lambda: MODEL
    """)
    runners = [Runner(DefinitionBook()) for _ in range(2)]
    for number, runner in enumerate(runners):
        runner.run(namespace["setup"], number)
    for number, runner in enumerate(runners):
        assert runner.run(namespace["task"]) == (number,) * 3
        assert runner.run(namespace["anonymous"]) == number
        assert runner.run(namespace["Task"].model) == number
    assert namespace["MODEL"] is None


def test_what_a_setup_set_survives_a_change_of_another_global(runner: Runner) -> None:
    namespace = script("""
        MODEL, N = None, 1
        def setup():
            global MODEL
            MODEL = "loaded"
        def task(): return MODEL, N
    """)
    runner.run(namespace["setup"])
    assert runner.run(namespace["task"]) == ("loaded", 1)
    namespace["N"] = 2
    assert runner.run(namespace["task"]) == ("loaded", 2)


def test_an_earlier_task_sees_what_the_setup_set_after_the_master_bound_it_anew(
    runner: Runner,
) -> None:
    namespace = script("""
        MODEL = None
        def setup():
            global MODEL
            MODEL = "loaded"
        def task(): return MODEL
    """)
    runner.run(namespace["setup"])
    early = runner.book.pickle(namespace["task"])
    namespace["MODEL"] = "mine"
    assert runner.run(namespace["task"]) == "mine"
    assert runner.receive(early)() == "loaded"


def test_all_functions_of_a_module_share_one_dict(runner: Runner) -> None:
    namespace = script("def f(): return globals()\nclass A:\n  def g(self): return globals()")
    assert runner.run(namespace["f"]) is runner.run(namespace["A"]().g)
    assert runner.run(eval("lambda: globals()", namespace)) is runner.run(namespace["f"])


def test_a_second_task_is_small(book: DefinitionBook) -> None:
    namespace = script("""
        def helper(): return "a long string that is not sent twice" * 2
        class Task:
            def __init__(self, n): self.n = n
            def __call__(self): return helper()
    """)
    book.pickle((namespace["Task"](1), ()))
    (segment,), bundle = book.pickle((namespace["Task"](2), ()))
    assert bundle == len(book.bundles) == 1
    assert len(segment) < 120


def test_a_thousand_fresh_lambdas_are_not_a_thousand_definitions(book: DefinitionBook) -> None:
    namespace = script("""
        SCALE = 2
        def make(n):
            def inner(): return n * SCALE
            return (lambda: inner()), inner
    """)
    fresh = []
    for number in range(1000):
        first, second = namespace["make"](number)
        segments, _ = book.pickle((first, second))
        fresh.append(weakref.ref(first))
        assert len(segments[0]) < 600
    del first, second
    gc.collect()
    assert len(book.bundles) < 5
    assert not any(function() for function in fresh)


def test_a_lambda_that_is_added_many_times_travels_once(runner: Runner) -> None:
    task = script("task = lambda x='" + "long " * 100 + "': x")["task"]
    sizes = [len(runner.book.pickle(task)[0][0]) for _ in range(3)]
    assert sizes[0] > 500
    assert max(sizes[1:]) < 100
    assert runner.run(task) == task()


def test_a_book_can_be_collected_with_all_that_it_holds() -> None:
    namespace = script("class Big: pass\nbig = Big()\ndef task(): return big")
    book = DefinitionBook()
    book.pickle(namespace["task"])
    big = weakref.ref(namespace.pop("big"))
    found = weakref.ref(book)
    assert big() is not None
    gc.collect()
    gc.disable()
    try:
        del book
        assert found() is None  # at once, without the garbage collector
    finally:
        gc.enable()


def test_a_book_can_be_collected_after_something_could_not_be_pickled() -> None:
    namespace = script("import threading\nlock = threading.Lock()\ndef task(): return lock")
    book = DefinitionBook()
    with pytest.raises(Exception, match="lock"):
        book.pickle(namespace["task"])
    found = weakref.ref(book)
    gc.collect()
    gc.disable()
    try:
        del book
        assert found() is None
    finally:
        gc.enable()


def test_a_function_s_id_may_be_used_again(runner: Runner) -> None:
    namespace = script("def make(n): return lambda: n")
    for number in range(2000):
        assert runner.run(namespace["make"](number)) == number


def test_a_submodule_is_imported_for_a_function_that_comes_later(book: DefinitionBook) -> None:
    namespace = script("""
        import xml.dom.minidom, xml.etree.ElementTree
        def first(): return xml.dom.minidom
        def second(): return xml.etree.ElementTree
    """)
    book.pickle(namespace["first"])
    assert book.sent.imported >= {"xml.dom.minidom"}
    assert "xml.etree.ElementTree" not in book.sent.imported
    book.pickle(namespace["second"])
    assert "xml.etree.ElementTree" in book.sent.imported


def test_threads_may_share_a_book() -> None:
    book = DefinitionBook()
    namespace = script("""
        N = 0
        class Task:
            def __init__(self, n): self.n = n
            def __call__(self): return self.n, N, helper(self.n)
        def helper(n): return n + 1
        def make(n): return lambda: (n, N, helper(n))
    """)
    sent: list[tuple[int, Any]] = []

    def add(start: int) -> None:
        for number in range(start, start + 100):
            sent.append((number, book.pickle(namespace["Task"](number))))
            sent.append((number, book.pickle(namespace["make"](number))))
            namespace["N"] = number

    threads = [threading.Thread(target=add, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runner = Runner(book)
    assert len(sent) == 800
    for number, one in sent:
        n, _, more_by_one = runner.receive(one)()
        assert (n, more_by_one) == (number, number + 1)


def test_pickling_may_itself_pickle(runner: Runner) -> None:
    namespace = script("def helper(): return N\nN = 3\nclass Plain: pass")
    inner: list[Any] = []

    class Adds:
        def __reduce__(self) -> Any:
            inner.append(runner.book.pickle(namespace["helper"]))
            return namespace["Plain"], ()

    namespace["ADDS"] = Adds()
    more(namespace, "def task(): return type(ADDS).__name__, helper()")
    sent = runner.book.pickle((namespace["task"], Adds(), namespace["helper"]))
    assert len(inner) == 2
    for one in inner:
        assert runner.receive(one)() == 3
    task, plain, helper = runner.receive(sent)
    assert (task(), type(plain).__name__, helper()) == (("Plain", 3), "Plain", 3)


STEP = st.sampled_from(
    [
        *(f"{name} = {value}" for name in ("x", "y") for value in (1, 2, 3)),
        *(f"A.n = {value}" for value in (1, 2)),
        *(f"B.m = {value}" for value in (1, 2)),
        "A.other = B",
        "A.other = None",
        "f.__defaults__ = (g,)",
        "f.__defaults__ = (h,)",
        "f.__defaults__ = (A(),)",
        "def g(): return show(x), A.n, A.other and A.other.m",
        "def g(): return show(y), B().m",
        "def h(): return 'h', A().n",
        "class A:\n  n = 5\n  other = None\n  def __call__(self): return self.n, show(x)",
        "x = [A, B]",
        "x = B",
        "y = h",
        "send",
        "send",
    ]
)
WORLD = """
    x, y = 1, 2
    class A:
        n, other = 1, None
        def __call__(self): return self.n, show(x)
    class B(A):
        m = 1
    def g(): return show(x), A.n
    def h(): return show(y), B.n, B.m
    def f(callable=g): return callable(), g(), h(), A()(), isinstance(B(), A), show(x), show(y)
    def show(thing):
        if isinstance(thing, list): return [show(part) for part in thing]
        if isinstance(thing, type): return thing.__name__, thing.n, thing is A or thing is B
        return thing if isinstance(thing, int) else thing.__name__
"""


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_each_task_sees_the_world_as_it_was_when_it_was_added(steps: list[str]) -> None:
    book = DefinitionBook()
    namespace = script(WORLD)
    sent = []

    def send() -> None:
        pickled, expected = book.pickle(namespace["f"]), namespace["f"]()
        sent.append((pickled, expected))

    send()
    for step in steps:
        if step == "send":
            send()
        else:
            more(namespace, step)
    send()
    at_once, late = Runner(book), Runner(book)
    for pickled, expected in sent:
        assert at_once.receive(pickled)() == expected
    for pickled, expected in reversed(sent):
        assert late.receive(pickled)() == expected
