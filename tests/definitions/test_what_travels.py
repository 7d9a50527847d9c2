"""Each script below defines ``task``; it gives the same on the slave as on the master."""

from __future__ import annotations

import copy
import functools
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from imp_parallel_core._definitions.book import DefinitionBook
from imp_parallel_core._wire.shared_memory import opened

from .slave import Runner, script

SCRIPTS = {
    "a function": """
        def task(): return 42
    """,
    "a lambda": """
        task = lambda: 42
    """,
    "a closure": """
        def make(n):
            def task(): return n + 1
            return task
        task = make(4)
    """,
    "nested functions": """
        def task():
            def inner(n):
                def innermost(): return n * FACTOR
                return innermost()
            return inner(3)
        FACTOR = 5
    """,
    "recursion through a global": """
        def task(n=10): return 1 if n < 2 else n * task(n - 1)
    """,
    "recursion through a closure": """
        def make():
            def task(n=10): return 1 if n < 2 else n * task(n - 1)
            return task
        task = make()
    """,
    "mutual recursion through globals": """
        def task(n=10): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and task(n - 1)
    """,
    "mutual recursion through closures": """
        def make():
            def even(n=10): return n == 0 or odd(n - 1)
            def odd(n): return n != 0 and even(n - 1)
            return even
        task = make()
    """,
    "a variable that two closures share": """
        def make():
            count = 0
            def add():
                nonlocal count
                count += 1
            return add, lambda: count
        add, get = make()
        def task():
            before = get()
            add()
            return get() - before
    """,
    "a closure over a variable without a value": """
        def make():
            def task(): return hasattr(task, "x") or later
            if False:
                later = 1
            return task
        made = make()
        def task():
            try:
                return made()
            except NameError as error:
                return str(error)
    """,
    "functools.wraps": """
        import functools, math
        def logged(f):
            @functools.wraps(f)
            def wrapper(*args): return ("called", f(*args))
            return wrapper
        sqrt = logged(math.sqrt)
        dumps = logged(__import__("json").dumps)
        def task(): return sqrt(4), dumps([1]), dumps.__name__, dumps.__module__
    """,
    "functools.lru_cache": """
        import functools
        @functools.lru_cache(maxsize=7)
        def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
        def task(): return fibonacci(80), fibonacci.cache_parameters(), fibonacci.__name__
    """,
    "functools.lru_cache in a closure": """
        import functools
        def make():
            @functools.cache
            def fibonacci(n=80): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
            return fibonacci
        task = make()
    """,
    "functools.cached_property": """
        import functools
        class Model:
            @functools.cached_property
            def size(self): return 3
        def task():
            model = Model()
            return model.size, model.__dict__
    """,
    "functools.singledispatch": """
        import functools
        @functools.singledispatch
        def show(thing): return "thing"
        @show.register
        def _(thing: int): return "int"
        def task(): return show(3), show("3")
    """,
    "functools.partial": """
        import functools
        def add(a, b, c=0): return a + b + c
        task = functools.partial(add, 1, b=2, c=3)
    """,
    "a bound method": """
        class Model:
            def __init__(self, n): self.n = n
            def score(self): return self.n * 2
        task = Model(4).score
    """,
    "static and class methods": """
        class Model:
            factor = 3
            @staticmethod
            def double(n): return n * 2
            @classmethod
            def triple(cls, n): return n * cls.factor
        def task(): return Model.double(4), Model.triple(4), Model().triple(1)
    """,
    "a class method as the task": """
        class Model:
            @classmethod
            def task(cls): return cls.__name__
        task = Model.task
    """,
    "an instance with __call__": """
        class Task:
            def __init__(self, n): self.n = n
            def __call__(self): return self.n
        task = Task(5)
    """,
    "generators": """
        def numbers(n):
            for i in range(n):
                yield i
        def task(): return list(numbers(3)), sum(i * 2 for i in numbers(3))
    """,
    "async functions": """
        import asyncio
        async def number():
            await asyncio.sleep(0)
            return 3
        async def numbers():
            yield await number()
        async def gather(): return [n async for n in numbers()]
        def task(): return asyncio.run(gather())
    """,
    "super and __class__": """
        class Base:
            def name(self): return "base"
        class Derived(Base):
            def name(self): return super().name() + " " + __class__.__name__
        def task(): return Derived().name()
    """,
    "inheritance between classes of the script": """
        class A:
            def f(self): return "A"
        class B(A):
            def f(self): return "B" + super().f()
        class C(A):
            def f(self): return "C" + super().f()
        class D(B, C): pass
        def task(): return D().f(), [c.__name__ for c in D.__mro__]
    """,
    "an attribute that a class and its base both have": """
        def score(self): return "same"
        class Root: n, score = 0, score
        class A(Root):
            n = 4
            def score(self): return "another"
        class B(Root): n, score = 0, score
        class C(B, A): pass
        def task():
            Root.n = 5
            found = C.n, C().score(), B.n
            Root.n = 0
            return found
    """,
    "inheritance from an importable class": """
        from collections import OrderedDict
        class Table(OrderedDict):
            def first(self): return next(iter(self))
        def task(): return Table(a=1, b=2).first()
    """,
    "class attributes": """
        class Model:
            sizes = [1, 2]
            def total(self): return sum(self.sizes)
        def task(): return Model().total(), Model.sizes
    """,
    "nested classes": """
        class Outer:
            class Inner:
                value = 3
        def task(): return Outer.Inner.value, Outer.Inner.__qualname__
    """,
    "a class that refers to itself": """
        class Node:
            children = []
            def clone(self): return Node()
        Node.root = Node
        Node.first = Node()
        def task(): return type(Node().clone()) is Node is Node.root is type(Node.first)
    """,
    "properties": """
        class Model:
            _n = 3
            @property
            def n(self): return self._n
            @n.setter
            def n(self, value): self._n = value
        def task():
            model = Model()
            model.n = model.n + 1
            return model.n
    """,
    "descriptors": """
        class Positive:
            def __set_name__(self, owner, name): self.name = "_" + name
            def __get__(self, instance, owner): return getattr(instance, self.name, 0)
            def __set__(self, instance, value): setattr(instance, self.name, abs(value))
        class Model:
            n = Positive()
        def task():
            model = Model()
            model.n = -3
            return model.n
    """,
    "__slots__": """
        class Point:
            __slots__ = ("x", "__y")
            def __init__(self): self.x, self.__y = 1, 2
            def both(self): return self.x, self.__y
        class Derived(Point):
            __slots__ = "z"
        point = Derived()
        point.z = 9
        def task(): return point.both(), point.z, hasattr(point, "__dict__"), Point().both()
    """,
    "dataclasses": """
        from dataclasses import dataclass, field, fields, replace
        @dataclass(order=True)
        class Point:
            x: int
            y: int = 2
            tags: list = field(default_factory=list, compare=False)
        @dataclass(frozen=True, slots=True)
        class Frozen:
            x: int = 3
        def task():
            @dataclass
            class Point3(Point):
                z: int = 4
            return (repr(Point(1)), Point(1) < Point(2), replace(Frozen(), x=4).x, hash(Frozen()),
                    [f.name for f in fields(Point)], repr(Point3(1)), hasattr(Frozen(), "__dict__"))
    """,
    "enums": """
        import enum
        class Color(enum.Enum):
            RED = 1
            GREEN = 2
            ROUGE = 1
            @property
            def lower(self): return self.name.lower()
        class Size(enum.IntEnum):
            SMALL = enum.auto()
        class Access(enum.Flag):
            R = 1
            W = 2
            ALL = 3
        class Word(str, enum.Enum):
            HI = "hi"
        def task(): return (Color.RED.lower, Color(2).name, Color.ROUGE is Color.RED, len(Color),
                            Size.SMALL + 1, (Access.R | Access.W) is Access.ALL, Word.HI.upper(),
                            list(Color.__members__))
    """,
    "enums whose members are initialised": """
        import enum
        class Planet(enum.Enum):
            EARTH = (5.9, 6.3)
            MARS = (0.6, 3.3)
            def __init__(self, mass, radius): self.mass, self.radius = mass, radius
            def density(self): return self.mass / self.radius
        class Coded(enum.Enum):
            A = ("a", 1)
            B = ("b", 2)
            def __new__(cls, code, number):
                made = object.__new__(cls)
                made._value_, made.number = code, number
                return made
        def task(): return (Planet.MARS.density(), Planet((0.6, 3.3)) is Planet.MARS,
                            Coded("b").number, Coded.A.value)
    """,
    "named tuples": """
        from collections import namedtuple
        from typing import NamedTuple
        class Point(NamedTuple):
            x: int
            y: int = 2
            def norm(self): return self.x + self.y
        Pair = namedtuple("Pair", "a b")
        def task(): return Point(1).norm(), Point(1)._replace(x=5), Pair(1, b=2), Pair._fields
    """,
    "abstract classes": """
        import abc
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
        class Square(Shape):
            def area(self): return 4
        @Shape.register
        class Other: pass
        def task():
            try:
                Shape()
            except TypeError:
                return Square().area(), isinstance(Square(), Shape), isinstance(Other(), Shape)
    """,
    "metaclasses": """
        class Meta(type):
            def __new__(meta, name, bases, body):
                made = super().__new__(meta, name, bases, body)
                made.made_by = meta.__name__
                return made
            def __call__(cls): return ("instance", super().__call__().n)
        class Model(metaclass=Meta):
            n = 3
        def task(): return Model(), Model.made_by, type(Model) is Meta
    """,
    "typing generics": """
        from typing import Generic, Protocol, TypeVar
        T = TypeVar("T")
        class Box(Generic[T]):
            def __init__(self, content: T) -> None: self.content = content
        class IntBox(Box[int]): pass
        class Sized(Protocol):
            def size(self) -> int: ...
        class Thing(Sized):
            def size(self): return 3
        Alias = dict[str, Box[int]]
        def task(): return (Box[int](3).content, IntBox(4).content, Thing().size(), str(Box[int]),
                            Alias.__args__[1].__origin__ is Box)
    """,
    "new types in annotations": """
        from dataclasses import dataclass, fields
        from typing import NamedTuple, NewType
        UserId = NewType("UserId", int)
        Admin = NewType("Admin", UserId)
        @dataclass
        class User:
            id: UserId
        class Pair(NamedTuple):
            id: Admin
        def task(a: UserId = UserId(3)) -> Admin:
            return (UserId(a), User(a), Pair(Admin(a)), UserId, Admin.__supertype__ is UserId,
                    task.__annotations__["a"] is fields(User)[0].type is UserId,
                    Pair.__annotations__["id"] is Admin, UserId.__module__, UserId.__name__)
    """,
    "a new type of a class whose annotations use it": """
        from typing import NewType
        class Node:
            parent: "NodeOf"
        NodeOf = NewType("NodeOf", Node)
        Node.__annotations__["parent"] = NodeOf
        def task(): return NodeOf.__supertype__ is Node, Node.__annotations__["parent"] is NodeOf
    """,
    "parameters of types": """
        from typing import Callable, Generic, ParamSpec, TypeVar, TypeVarTuple, Unpack
        P = ParamSpec("P")
        T = TypeVar("T", bound=int, covariant=True)
        Ts = TypeVarTuple("Ts")
        class Calls(Generic[P, T]): pass
        class Row(Generic[Unpack[Ts]]): pass
        def task(f: Callable[P, T] = None, *args: P.args, **kwargs: P.kwargs) -> Row[Unpack[Ts]]:
            return (Calls.__parameters__ == (P, T), Row.__parameters__ == (Ts,), T.__bound__,
                    P, T, Ts, task.__annotations__["args"].__origin__ is P)
    """,
    "sentinels that are pickled by name": """
        class Missing:
            made = 0
            def __init__(self, word): self.word = word
            def __reduce__(self): return self.word
            def __repr__(self): return self.word
        MISSING, AUTO = Missing("MISSING"), Missing("AUTO")
        TABLE = {"a": MISSING}
        class Options:
            step = AUTO
        def task(a=MISSING, *, options=Options):
            return (a is MISSING is TABLE["a"], options.step is AUTO is not MISSING, MISSING, AUTO)
    """,
    "a sentinel of a class that wants arguments": """
        class Sentinel:
            def __new__(cls, name):
                made = super().__new__(cls)
                made.name = name
                return made
            def __reduce_ex__(self, protocol): return self.name
        UNSET = Sentinel("UNSET")
        def task(a=UNSET): return a is UNSET, UNSET.name
    """,
    "sentinels that are members, instances and classes": """
        import enum
        class Missing(enum.Enum):
            MISSING = enum.auto()
        MISSING, PLAIN = Missing.MISSING, object()
        class UNSET: pass
        def task(a=MISSING, b=PLAIN, c=UNSET): return a is MISSING, b is PLAIN, c is UNSET
    """,
    "typed dicts": """
        from typing import TypedDict
        class Options(TypedDict, total=False):
            depth: int
        def task(): return Options(depth=3), Options.__annotations__, Options.__total__
    """,
    "defaults, keyword defaults, annotations and attributes": """
        def default(): return 1
        def task(a=2, *, b=default, c: int = 4) -> str:
            "Doc."
            return (a, b(), c, task.__annotations__, task.__doc__, task.extra, task.__qualname__,
                    task.__name__, task.__module__, task.__kwdefaults__["c"])
        task.extra = [5]
        task.__name__ = "renamed"
    """,
    "a submodule that is used through its package": """
        import xml.dom.minidom
        def task(): return xml.dom.minidom.parseString("<a/>").documentElement.tagName
    """,
    "constants and modules": """
        import math, os.path as path
        from fractions import Fraction as F
        SCALE, TABLE = 2.5, {"a": [1, 2]}
        def task(): return SCALE * math.pi, TABLE["a"], path.join("a", "b"), F(1, 2)
    """,
    "data that two functions share": """
        SEEN = []
        ALIAS = SEEN
        class Log:
            lines = SEEN
        def add(): SEEN.append(1)
        def task():
            del SEEN[:]
            add()
            return ALIAS, Log.lines is SEEN is ALIAS
    """,
    "globals that are named like builtins": """
        def len(x): return "my len"
        list = [1]
        def task(): return len("abc"), list, max(1, 2), isinstance(3, int)
    """,
    "__builtins__ and module attributes": """
        def task(): return hasattr(__builtins__, "len") or "len" in __builtins__, __name__
    """,
    "global statements": """
        COUNT = 0
        def task():
            global COUNT, CREATED
            COUNT, CREATED = 5, 6
            result = COUNT + CREATED + get()
            COUNT = 0
            return result
        def get(): return COUNT
    """,
    "exceptions": """
        class Problem(Exception):
            def __init__(self, n):
                super().__init__(n)
                self.n = n
        def fail(): raise Problem(3)
        def task():
            try:
                fail()
            except Problem as problem:
                return problem.n
    """,
    "exceptions whose __init__ takes other arguments": """
        class Overlap(Exception):
            def __init__(self, first, second):
                super().__init__(first + second)
                self.first = first
        class Missing(OSError):
            def __init__(self, path):
                super().__init__(2, "is missing", path)
        FOUND = [Overlap("a", "b"), Missing("c")]
        def task(): return FOUND[0].args, FOUND[0].first, FOUND[1].args, FOUND[1].filename
    """,
    "contextlib.contextmanager": """
        import contextlib
        @contextlib.contextmanager
        def doubled(n): yield n * 2
        def task():
            with doubled(4) as n:
                return n
    """,
    "operator overloading and weird equality": """
        class Weird:
            __hash__ = None
            def __eq__(self, other): raise RuntimeError("no")
            def __bool__(self): raise RuntimeError("no")
            def __getattr__(self, name):
                if name.startswith("__"): raise AttributeError(name)
                return name
        WEIRD = Weird()
        def task(): return WEIRD.anything
    """,
    "an object that claims another class": """
        class Proxy:
            def __init__(self, target): self.__dict__["target"] = target
            @property
            def __class__(self): return type(self.__dict__["target"])
            def __reduce__(self): return Proxy, (self.__dict__["target"],)
            def __getattr__(self, name): return getattr(self.__dict__["target"], name)
        PROXIES = [Proxy(len), Proxy(int), Proxy(lambda: 3), Proxy([1])]
        def task(): return isinstance(PROXIES[3], list), type(PROXIES[2]).__name__
    """,
    "pattern matching": """
        class Point:
            __match_args__ = ("x", "y")
            def __init__(self, x, y): self.x, self.y = x, y
        def task():
            match Point(1, 2):
                case Point(1, y): return y
    """,
    "comprehensions and walrus": """
        N = 3
        def task(): return [(a, b) for a in range(N) if (b := a * N)]
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_task_gives_the_same_on_the_slave(runner: Runner, name: str) -> None:
    task = script(SCRIPTS[name])["task"]
    arrived = runner.receive(runner.book.pickle(task))
    assert arrived is not task
    assert repr(arrived()) == repr(task())


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_is_sent_again_for_a_second_task(book: DefinitionBook, name: str) -> None:
    task = script(SCRIPTS[name])["task"]
    for _ in range(2):  # a function without a name of its own is a definition the second time
        book.pickle(task)
    sent = len(book.bundles)
    (segment,), bundle = book.pickle(task)
    assert len(book.bundles) == bundle == sent
    assert len(segment) < 400


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_defines_comes_home_as_the_original(runner: Runner, name: str) -> None:
    namespace = script(SCRIPTS[name])
    for original in namespace.values():
        if type(original) is types.FunctionType or isinstance(original, type):
            runner.book.pickle(original)
            arrived = runner.receive(runner.book.pickle(original))
            assert runner.bring_home(arrived) is original


def test_code_of_importable_modules_is_only_named(book: DefinitionBook) -> None:
    segments, bundle = book.pickle((copy.deepcopy, (Path("a"), functools.reduce, len, int)))
    assert bundle == 0
    assert len(segments[0]) < 200


@functools.lru_cache
def cached() -> int:
    return 3


def test_a_cached_function_of_an_importable_module_is_only_named(runner: Runner) -> None:
    assert runner.book.pickle(cached)[1] == 0
    assert runner.receive(runner.book.pickle(cached)) is cached


def test_the_builtins_do_not_travel(book: DefinitionBook) -> None:
    book.pickle(script("def task(): return __builtins__")["task"])
    assert sum(len(segment) for bundle in book.bundles for segment in bundle) < 1000


def test_a_module_can_be_registered_to_travel_by_value(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("only_here")
    exec("N = 3\ndef task(): return N\nclass A:\n  def n(self): return N", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    assert runner.book.pickle((module.task, module.A))[1] == 0
    cloudpickle.register_pickle_by_value(module)
    try:
        task, kind = runner.receive(runner.book.pickle((module.task, module.A)))
        monkeypatch.delitem(sys.modules, "only_here")
        assert (task(), kind().n()) == (3, 3)
        assert task is not module.task
        assert task.__module__ == "only_here"
        monkeypatch.setitem(sys.modules, "only_here", module)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    assert runner.receive(runner.book.pickle(module.task)) is module.task


def test_a_function_of_a_module_that_was_loaded_again_still_travels(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("reloaded")
    monkeypatch.setitem(sys.modules, "reloaded", module)
    exec("def task(): return 1", module.__dict__)
    old = module.task
    assert runner.run(old) == 1
    exec("def task(): return 2", module.__dict__)
    assert runner.run(old) == 1
    assert runner.run(module.task) == 2


NAMED = """
    from typing import NewType
    UserId = NewType("UserId", int)
    class Missing:
        def __reduce__(self): return "MISSING"
    MISSING = Missing()
    def task(a): return a is MISSING, UserId, MISSING, Missing
    def make(): return NewType("Made", UserId)
"""


def test_what_is_pickled_by_name_is_one_object_on_the_slave_and_at_home(runner: Runner) -> None:
    namespace = script(NAMED)
    missing = namespace["MISSING"]
    for _ in range(2):
        arrived, argument = runner.receive(runner.book.pickle((namespace["task"], missing)))
        result = runner.bring_home(arrived(argument))
        assert result[0] is True
        assert [*result[1:]] == [namespace[name] for name in ("UserId", "MISSING", "Missing")]
        assert argument is not missing
    made = runner.bring_home(runner.run(namespace["make"]))
    assert made.__supertype__ is namespace["UserId"]
    assert made.__name__ == "Made"


def test_what_a_module_has_a_name_for_travels_by_it(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("with_names")
    monkeypatch.setitem(sys.modules, "with_names", module)
    exec(textwrap.dedent(NAMED), module.__dict__)
    arrived = runner.receive(runner.book.pickle((module.UserId, module.MISSING)))
    assert arrived[0] is module.UserId
    assert arrived[1] is module.MISSING
    assert runner.book.bundles == []


def test_code_that_is_made_on_the_slave_comes_home(runner: Runner) -> None:
    namespace = script("""
        SCALE = 2
        def task():
            import enum
            class Local:
                def scaled(self, n): return n * SCALE
            class Color(enum.Enum):
                RED = 1
            def closure(n): return n * SCALE + offset
            offset = 1
            return Local(), closure, lambda: task, Color.RED
    """)
    local, closure, function, red = runner.bring_home(runner.run(namespace["task"]))
    assert local.scaled(3) == 6
    assert closure(3) == 7
    assert function() is namespace["task"]
    assert red.value == 1
    namespace["SCALE"] = 10  # it is one of the functions of its module again
    assert closure(3) == 31


def test_arrays_and_buffers_are_copied_when_they_are_sent(runner: Runner) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000.0)
    namespace = script("def task(): return DATA.sum()", DATA=array)
    sent = runner.book.pickle((namespace["task"], array))
    array[:] = 0.0
    task, arrived = runner.receive(sent)
    assert task() == arrived.sum() == numpy.arange(100_000.0).sum()


def _layout(name: str) -> tuple[Any, ...]:
    kind = script(f"import enum\nclass A: pass\nclass E(enum.Enum):\n  A = 1\nkind = {name}")[
        "kind"
    ]
    build, arguments, *rest = cloudpickle.Pickler(__import__("io").BytesIO()).reducer_override(kind)
    tracker = cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS[kind]
    return build.__name__, arguments.index(tracker), len(arguments), len(rest)


@pytest.mark.parametrize("name", ["A", "E"])
def test_cloudpickle_keeps_a_class_s_tracker_where_we_take_it_away(name: str) -> None:
    build, position, length, others = _layout(name)
    assert build == ("_make_skeleton_class" if name == "A" else "_make_skeleton_enum")
    assert position == length - 2
    assert others == 4


def test_a_slave_needs_no_cloudpickle_for_a_module() -> None:
    book = DefinitionBook()
    source = "import os, os.path\nclass Task:\n  def __call__(self): return os.path.sep"
    book.pickle(script(source)["Task"]())
    assert book.bundles
    assert not any(b"cloudpickle" in part for bundle in book.bundles for part in opened(bundle))


def test_two_contexts_have_classes_of_their_own() -> None:
    namespace = script("class A: pass\nimport enum\nclass E(enum.Enum):\n  A = 1")
    for name in ("A", "E"):
        first, second = (Runner(book := DefinitionBook()).receive(book.pickle(namespace[name]))
                         for _ in range(2))  # fmt: skip
        assert first is not second
