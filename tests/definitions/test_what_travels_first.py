"""Whatever part of a class travels first, a runner has one class, and its methods know it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imp_parallel_core._definitions.book import DefinitionBook

from .slave import Runner, more, script

CLASSES = """
    import functools
    class Base:
        count = 0
        def score(self, x): return x
    class Model(Base):
        def score(self, x): return super().score(x) + 1
        def me(self): return __class__ is type(self) is Model
        def inc(self):
            __class__.count += 1
            return type(self).count
        @functools.cache
        def cached(self): return super().score(3), __class__ is type(self)
        @property
        def size(self): return super().score(4)
        def sized(self): return self.size, other(self)
        key = lambda self: isinstance(self, Model)
        def inner(self): return (lambda: isinstance(self, __class__))()
    class Derived(Model):
        def score(self, x): return super().score(x) * 10
    def logged(function):
        def wrapper(*args): return "logged", function(*args)
        return wrapper
    class Logged(Base):
        @logged
        def score(self, x): return super().score(x), type(self) is Logged
    class Left(Base):
        def meet(self): return type(self) is __class__, Right.meets(Right())
        @staticmethod
        def back(): return __class__ is Left, isinstance(Left(), __class__)
    class Right(Base):
        def meets(self): return type(self) is __class__, Left.back()
    def make():
        class Local(Base):
            def score(self, x): return super().score(x) + 2, type(self) is __class__ is Local
        return Local
    Local = make()
    def other(model): return isinstance(model, Model), type(model) is Model
"""


@pytest.mark.parametrize(
    ("expression", "arguments"),
    [
        ("Model().score", "(1,)"),
        ("Model().me", "()"),
        ("Model().inc", "()"),
        ("Model().cached", "()"),
        ("Model().sized", "()"),
        ("Model().key", "()"),
        ("Model().inner", "()"),
        ("Derived().score", "(1,)"),
        ("Logged().score", "(1,)"),
        ("Left().meet", "()"),
        ("Right().meets", "()"),
        ("Local().score", "(1,)"),
        ("Model.score", "(Model(), 1)"),
        ("Model.me", "(Model(),)"),
        ("Model.cached", "(Model(),)"),
        ("Model.size.fget", "(Model(),)"),
        ("Model.key", "(Model(),)"),
        ("Derived.score", "(Derived(), 1)"),
        ("other", "(Model(),)"),
        ("functools.partial(Model.score, Model())", "(1,)"),
    ],
)
def test_a_method_that_travels_first_knows_its_class(
    runner: Runner, expression: str, arguments: str
) -> None:
    namespace = script(CLASSES)
    method, args = eval(f"{expression}, {arguments}", namespace)
    arrived, arrived_args = runner.receive(runner.book.pickle((method, args)))
    assert arrived(*arrived_args) == script_result(expression, arguments)
    assert len(runner.book.bundles) <= len(args) + 2


def script_result(expression: str, arguments: str) -> Any:
    """Return what it gives on the master, where nothing was called before."""
    return eval(f"({expression})(*{arguments})", script(CLASSES))


def test_a_method_travels_when_only_the_base_of_its_class_is_known(runner: Runner) -> None:
    namespace = script(CLASSES)
    assert runner.run(namespace["Base"].score, None, 5) == 5
    assert runner.run(namespace["Model"]().score, 1) == 2


def test_an_instance_is_one_of_the_class_that_a_method_brought(runner: Runner) -> None:
    namespace = script(CLASSES)
    score = runner.receive(runner.book.pickle(namespace["Model"].score))
    assert score(runner.receive(runner.book.pickle(namespace["Model"]())), 1) == 2


@pytest.mark.parametrize("look", [copy.copy, lambda model: model.__reduce_ex__(2)])
def test_a_class_is_not_sent_again_because_an_instance_was_pickled_or_copied(
    book: DefinitionBook, look: Any
) -> None:
    namespace = script(CLASSES)
    book.pickle(namespace["Model"])
    bundles = len(book.bundles)
    look(namespace["Model"]())
    book.pickle(namespace["Model"])
    book.pickle(namespace["Model"]())
    assert len(book.bundles) == bundles


# ---- pickling that changes what is pickled

COUNTED = """
    class Counted:
        pickled = 0
        def __getstate__(self):
            __class__.pickled += 1
            return {}
        def me(self): return __class__ is type(self) is Counted
    def me(counted): return type(counted) is Counted
"""


def test_a_class_that_changes_while_its_instance_is_pickled_is_one_class(runner: Runner) -> None:
    namespace = script(COUNTED)
    counted = namespace["Counted"]()
    for _ in range(3):
        assert runner.run(counted.me)
        function, arrived, kind = runner.receive(
            runner.book.pickle((namespace["me"], counted, namespace["Counted"]))
        )
        assert function(arrived)
        assert type(arrived) is kind
        both = runner.receive(runner.book.pickle([counted, lambda: namespace["Counted"], counted]))
        assert type(both[0]) is type(both[2])


def test_the_next_task_sees_what_pickling_changed(runner: Runner) -> None:
    namespace = script(COUNTED)
    runner.book.pickle((namespace["me"], namespace["Counted"]()))
    assert runner.receive(runner.book.pickle(namespace["Counted"])).pickled == 1


nested: list[Any] = []  # a book, and then what it pickled while it was pickling


def pickle_nested(method: Any) -> None:
    """Pickle with the book that is pickling."""
    nested.append(nested[0].pickle(method))


def test_a_task_that_is_added_while_another_is_pickled_sees_the_same_versions(
    runner: Runner,
) -> None:
    namespace = script(
        """
        class Nested:
            n = 0
            def __reduce__(self):
                type(self).n += 1
                pickle_nested(count)
                return Nested, ()
            def me(self): return __class__ is type(self), Nested.n
        def count(): return Nested.n
        """,
        pickle_nested=pickle_nested,
    )
    nested[:] = [runner.book]
    assert runner.run(namespace["Nested"]().me) == (True, 0)
    assert runner.receive(nested[1])() == 0


# ---- classes that are made in functions


def test_a_method_of_a_local_class_shares_what_the_others_close_over(runner: Runner) -> None:
    namespace = script("""
        def make():
            count = 0
            class Counter:
                def add(self):
                    nonlocal count
                    count += 1
                def added(self):
                    self.add()
                    return __class__ is type(self), count
            return Counter()
        counter = make()
    """)
    assert runner.run(namespace["counter"].added) == (True, 1)


# ---- in any order

METHODS = [
    "def m(self): return __class__ is {name}, isinstance(self, __class__), super().m()",
    "def m(self): return isinstance(self, {name}), [isinstance(self, kind) for kind in kinds()]",
    "@functools.wraps(kinds)\n  def m(self): return type(self).__name__, super().m()",
    "@logged\n  def m(self): return super().m(), __class__ is {name}",
    "@functools.cache\n  def m(self): return super().m(), __class__ is {name}",
    "m = lambda self: (type(self).__name__, isinstance(self, {name}))",
    "def m(self): return (lambda: (isinstance(self, __class__), {other}.k()))()",
]
OTHERS = [
    "@classmethod\n  def k(cls): return issubclass(cls, __class__), __class__ is {name}",
    "@staticmethod\n  def k(): return __class__ is {name}, {other}().p",
]
PROPERTIES = [
    "@property\n  def p(self): return isinstance(self, __class__), __class__ is {name}",
    "@functools.cached_property\n  def p(self): return isinstance(self, __class__), super().p",
]
CREATIONS = [
    "def __reduce__(self): return type(self), ()",
    "def __getstate__(self): return {{}}",
    "def __init__(self): super().__init__()",
    "__slots__ = ('{name}_slot',)",
]
PRELUDE = """
import functools
def kinds(): return A, B, C
def logged(function):
  def wrapper(*args): return 'logged', function(*args)
  return wrapper
class Root:
  p = 'root'
  def m(self): return 'root'
  @classmethod
  def k(cls): return cls.__name__
"""
NAME = st.sampled_from("ABC")
BODY = st.tuples(*map(st.sampled_from, (METHODS, OTHERS, PROPERTIES, CREATIONS)), NAME)
SEND = st.builds(
    str.format,
    st.sampled_from(
        ["{0}.m", "{0}().m", "{0}", "{0}()", "{0}.k", "({0}.m, {0}())", "({0}().m, {1})", "kinds"]
    ),
    NAME,
    NAME,
)


def define(name: str, bases: str, body: tuple[str, ...], is_local: bool) -> str:
    """Return the source of a class."""
    *parts, other = body
    lines = [f"class {name}({bases}):", *parts]
    source = "\n  ".join(lines).format(name=name, other=other)
    if not is_local:
        return source
    indented = source.replace("\n", "\n  ")
    return f"def make():\n  {indented}\n  return {name}\n{name} = make()"


def use(thing: Any) -> list[Any]:
    """Return what the parts of something that was sent have to say, and their classes."""
    part: Any
    parts = thing if isinstance(thing, tuple) else (thing,)
    said = []
    for part in parts:
        if isinstance(part, type):
            made: Any = part()
            said.append([part.__name__, made.m(), made.k(), made.p])
        elif type(part).__name__ in ("A", "B", "C"):
            said.append([part.m(), part.p, *(one(part) for one in parts if is_plain(one))])
        elif hasattr(part, "__self__") or part.__name__ == "kinds":
            said.append([repr(part()) if part.__name__ != "kinds" else len(part())])
    return said


def is_plain(thing: Any) -> bool:
    """Whether it is a function that was taken from a class."""
    return not isinstance(thing, type) and callable(thing) and not hasattr(thing, "__self__")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(BODY, min_size=3, max_size=3),
    st.tuples(st.just("Root"), st.sampled_from(["Root", "A"]), st.sampled_from(["Root", "A", "B"])),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.lists(SEND, min_size=1, max_size=6),
)
def test_there_is_one_class_of_each_in_whatever_order_its_parts_travel(
    bodies: list[tuple[str, ...]],
    bases: tuple[str, ...],
    are_local: tuple[bool, ...],
    sends: list[str],
) -> None:
    namespace = script(PRELUDE)
    for definition in zip("ABC", bases, bodies, are_local, strict=True):
        more(namespace, define(*definition))
    book = DefinitionBook()
    runner = Runner(book)
    for send in sends:
        thing = eval(send, namespace)
        assert attempt(runner.receive(book.pickle(thing))) == attempt(thing)
    kinds = [namespace[name] for name in "ABC"]
    arrived = runner.receive(book.pickle([*kinds, *(kind() for kind in kinds)]))
    assert [type(instance) for instance in arrived[3:]] == arrived[:3]
    assert runner.receive(book.pickle(namespace["kinds"]))() == tuple(arrived[:3])
    assert [runner.bring_home(kind) for kind in arrived[:3]] == kinds


def attempt(thing: Any) -> Any:
    """Use it; classes that refer to one another at random may do so without an end."""
    try:
        return use(thing)
    except RecursionError:
        return "endless"
    except (TypeError, AttributeError) as error:
        return str(error)
