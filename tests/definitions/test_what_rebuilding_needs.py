"""What is rebuilt on a slave may call the script's code at once: it finds the globals that it uses.

Each script below defines ``task``. It runs here, in a process of its own as this library sends it,
and in another as plain cloudpickle does: ours runs whatever cloudpickle's runs.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from imp_parallel_core._definitions.book import DefinitionBook
from imp_parallel_core._wire.shared_memory import opened

from .slave import Runner, more, script

SCRIPTS = {
    "__init_subclass__ that fills a registry": """
        REGISTRY = {}
        class Base:
            def __init_subclass__(cls, **options):
                super().__init_subclass__(**options)
                REGISTRY[cls.__name__] = cls
        class Model(Base):
            def score(self): return 3
        def task(): return sorted(REGISTRY), REGISTRY["Model"]().score()
    """,
    "__init_subclass__ that calls a helper": """
        PREFIX = "kind of "
        def label(cls): return PREFIX + cls.__name__
        class Base:
            def __init_subclass__(cls): cls.label = label(cls)
        class Model(Base): pass
        class Task(Model):
            def __call__(self): return self.label, Model.label
        task = Task()
    """,
    "a metaclass that keeps count of its classes": """
        KINDS = []
        def note(name): KINDS.append(name)
        class Meta(type):
            def __new__(meta, name, bases, body):
                note(name)
                return super().__new__(meta, name, bases, body)
        class Model(metaclass=Meta): n = 3
        def task(): return Model.n, "Model" in KINDS
    """,
    "a metaclass with __init__, __call__ and __setattr__": """
        import collections
        SET, ORDER = collections.Counter(), {"n": 1}
        class Meta(type):
            def __init__(cls, name, bases, body):
                super().__init__(name, bases, body)
                cls.order = dict(ORDER)
            def __setattr__(cls, name, value):
                SET[name] += 0
                super().__setattr__(name, value)
            def __call__(cls, *args): return super().__call__(*(check(a) for a in args))
        def check(n): return n + ORDER["n"]
        class Model(metaclass=Meta):
            def __init__(self, n): self.n = n
        def task(): return Model(4).n, Model.order
    """,
    "__prepare__ of a metaclass": """
        class Body(dict): pass
        def make_body(): return Body(extra=EXTRA)
        EXTRA = [1]
        class Meta(type):
            @classmethod
            def __prepare__(meta, name, bases): return make_body()
        class Model(metaclass=Meta): pass
        def task(): return Model.extra
    """,
    "__setstate__": """
        DEFAULTS = {"step": 0.5}
        def fill(options): return {**DEFAULTS, **options}
        class Options:
            def __init__(self): self.options = {"n": 1}
            def __setstate__(self, state): self.options = fill(state["options"])
        OPTIONS = Options()
        def task(): return fill(OPTIONS.options)
    """,
    "__setstate__ of the task itself": """
        VERSION = 3
        class Task:
            def __init__(self): self.version = VERSION
            def __setstate__(self, state): self.version = state["version"] + VERSION - 3
            def __call__(self): return self.version
        task = Task()
    """,
    "__reduce__ with a function that makes it": """
        CACHE = {}
        def make(n):
            if n not in CACHE:
                CACHE[n] = Model(n)
            return CACHE[n]
        class Model:
            def __init__(self, n): self.n = n
            def __reduce__(self): return make, (self.n,)
        MODELS = [Model(1), Model(2)]
        def task(): return [model.n for model in MODELS], make(3) is make(3)
    """,
    "copyreg-like __reduce_ex__ with state": """
        SCALE = 2
        def rebuild(kind, n): return scaled(kind.__new__(kind), n)
        def scaled(made, n):
            made.n = n * SCALE
            return made
        class Model:
            n = 5
            def __reduce_ex__(self, protocol): return rebuild, (Model, 5)
        MODEL = Model()
        MODEL.n = 10
        def task(): return MODEL.n
    """,
    "__new__ that checks its arguments": """
        LIMIT = 10
        def check(n): return min(n, LIMIT)
        class Number(int):
            def __new__(cls, n): return super().__new__(cls, check(n))
            def __getnewargs__(self): return (int(self),)
        NUMBER = Number(20)
        def task(): return int(NUMBER), Number(3) + 1
    """,
    "__new__ of a singleton": """
        LOCKED = []
        class Single:
            instance = None
            def __new__(cls):
                LOCKED.append(1)
                if cls.instance is None:
                    cls.instance = super().__new__(cls)
                return cls.instance
        SINGLE = Single()
        def task(): return SINGLE is Single(), SINGLE is Single.instance
    """,
    "a singleton that is kept in a global": """
        INSTANCE = None
        class Single:
            def __new__(cls):
                global INSTANCE
                if INSTANCE is None:
                    INSTANCE = super().__new__(cls)
                return INSTANCE
        Single()
        ALIASES = [INSTANCE]
        def task(): return Single() is INSTANCE
    """,
    "__hash__ and __eq__ of keys": """
        SALT = "salt"
        def mixed(name): return hash((SALT, name))
        class Key:
            def __init__(self, name): self.name = name
            def __hash__(self): return mixed(self.name)
            def __eq__(self, other): return same(self, other)
        def same(a, b): return a.name == b.name
        TABLE = {Key("a"): 1, Key("b"): 2}
        def task(): return TABLE[Key("b")]
    """,
    "keys of a set": """
        FIELDS = ("x", "y")
        class Point:
            def __init__(self, x, y): self.x, self.y = x, y
            def __hash__(self): return hash(values(self))
            def __eq__(self, other): return values(self) == values(other)
        def values(point): return tuple(getattr(point, name) for name in FIELDS)
        POINTS = frozenset({Point(1, 2), Point(3, 4)})
        SEEN = {Point(5, 6)}
        def task(): return Point(3, 4) in POINTS, Point(5, 6) in SEEN, len(POINTS)
    """,
    "__setitem__ of a dict and append of a list": """
        LOWER = str.lower
        def normal(key): return LOWER(key)
        class Table(dict):
            def __setitem__(self, key, value): super().__setitem__(normal(key), value)
        class Log(list):
            def append(self, line): super().append(normal(line))
            def extend(self, lines): [self.append(line) for line in lines]
        TABLE, LOG = Table(), Log()
        TABLE["A"] = 1
        LOG.append("B")
        def task(): return TABLE, LOG
    """,
    "__set_name__": """
        NAMES = []
        def note(owner, name): NAMES.append(f"{owner.__name__}.{name}")
        class Field:
            def __set_name__(self, owner, name):
                note(owner, name)
                self.name = name
            def __get__(self, instance, owner): return self.name
        class Model: n = Field()
        def task(): return Model.n, Model().n, "Model.n" in NAMES
    """,
    "__set__ and __setattr__ while state is set": """
        ALLOWED = {"x", "y"}
        def allowed(name): return name in ALLOWED
        class Point:
            __slots__ = ("x", "y")
            def __setattr__(self, name, value):
                if not allowed(name): raise AttributeError(name)
                object.__setattr__(self, name, value)
        POINT = Point()
        POINT.x, POINT.y = 1, 2
        def task(): return POINT.x + POINT.y
    """,
    "attrs.define": """
        import attrs
        def positive(instance, attribute, value): return check(value)
        def check(value):
            if value < LEAST: raise ValueError(value)
        LEAST = 0
        def upper(text): return text.upper()
        @attrs.define
        class Point:
            x: int = attrs.field(validator=positive)
            name: str = attrs.field(default="a", converter=upper)
        @attrs.frozen
        class Key:
            name: str
        POINT, TABLE = Point(3), {Key("a"): 1}
        def task(): return POINT, TABLE[Key("a")], Point(4, "b"), attrs.asdict(POINT)
    """,
    "attrs.define with slots, inheritance and a cached hash": """
        import attrs
        @attrs.define(hash=True, cache_hash=True, frozen=True)
        class Base:
            x: int
            def twice(self): return double(self.x)
        @attrs.define(hash=True, frozen=True)
        class Derived(Base):
            y: list = attrs.field(factory=list, hash=False)
            def twice(self): return super().twice() + 1
        def double(n): return n * FACTOR
        FACTOR = 2
        ALL = {Base(1): Derived(2)}
        def task(): return ALL[Base(1)].twice(), Derived(3)
    """,
    "a registry that a decorator fills": """
        REGISTRY = {}
        def register(name):
            def decorate(function):
                REGISTRY[name] = function
                return function
            return decorate
        @register("double")
        def double(n): return n * FACTOR
        @register("model")
        class Model:
            def __call__(self, n): return REGISTRY["double"](n) + 1
        FACTOR = 2
        def task(): return REGISTRY["model"]()(4), sorted(REGISTRY)
    """,
    "a registry of classes with hashable keys of its own": """
        class Kind:
            def __init__(self, name): self.name = name
            def __hash__(self): return hash(canonical(self.name))
            def __eq__(self, other): return canonical(self.name) == canonical(other.name)
        ALIASES = {"mc": "monte carlo"}
        def canonical(name): return ALIASES.get(name, name)
        SAMPLERS = {}
        def sampler(kind):
            def decorate(cls):
                SAMPLERS[kind] = cls
                return cls
            return decorate
        @sampler(Kind("mc"))
        class MonteCarlo:
            def run(self): return canonical("mc")
        def task(): return SAMPLERS[Kind("monte carlo")]().run()
    """,
    "an enumeration whose members look things up": """
        import enum
        MASSES = {"C": 12.0, "H": 1.0}
        def mass_of(symbol): return MASSES[symbol]
        class Element(enum.Enum):
            CARBON = "C"
            HYDROGEN = "H"
            def __init__(self, symbol): self.mass = mass_of(symbol)
            @classmethod
            def _missing_(cls, value): return cls[NAMES[value]]
        NAMES = {6: "CARBON"}
        ALL = {Element.CARBON: 1}
        def task(): return Element(6).mass, ALL[Element.CARBON], Element("H").mass
    """,
    "a data class with __post_init__ that is made again": """
        import dataclasses
        UNITS = {"nm": 10.0}
        def to_angstrom(value, unit): return value * UNITS[unit]
        @dataclasses.dataclass(frozen=True)
        class Length:
            value: float
            unit: str
            def __post_init__(self):
                object.__setattr__(self, "angstrom", to_angstrom(self.value, self.unit))
            def __reduce__(self): return Length, (self.value, self.unit)
        LENGTHS = [Length(1.5, "nm")]
        def task(): return LENGTHS[0].angstrom
    """,
    "a default that is rebuilt by a function": """
        def make(n): return Model(n + START)
        START = 1
        class Model:
            def __init__(self, n): self.n = n
            def __reduce__(self): return make, (self.n - START,)
        def task(model=Model(3)): return model.n
    """,
    "a closure over what is rebuilt by a function": """
        def make(n): return Model(n + START)
        START = 1
        class Model:
            def __init__(self, n): self.n = n
            def __reduce__(self): return make, (self.n - START,)
        def outer():
            model = Model(3)
            def task(): return model.n
            return task
        task = outer()
    """,
    "an instance in a class attribute": """
        FACTORS = [2]
        def times(n): return n * FACTORS[0]
        class Scale:
            def __init__(self, n): self.n = n
            def __getstate__(self): return self.n
            def __setstate__(self, n): self.n = times(n) // 2
        class Model:
            scale = Scale(6)
            def __call__(self): return self.scale.n
        task = Model()
    """,
    "classes as keys, whose metaclass compares them": """
        class Meta(type):
            def __hash__(cls): return hash(key_of(cls))
            def __eq__(cls, other): return key_of(cls) == key_of(other)
        def key_of(cls): return cls.__name__, PREFIX
        PREFIX = "p"
        class Model(metaclass=Meta): pass
        TABLE = {Model: "model"}
        def task(): return TABLE[Model], len(TABLE)
    """,
    "an abstract class that registers what a helper finds": """
        import abc
        def is_like(cls): return any(name in vars(cls) for name in NAMES)
        NAMES = ("area",)
        class Shape(abc.ABC):
            @classmethod
            def __subclasshook__(cls, other): return is_like(other) or NotImplemented
        class Square:
            def area(self): return 4
        @Shape.register
        class Other: pass
        SHAPES = [Square(), Other()]
        def task(): return [isinstance(shape, Shape) for shape in SHAPES]
    """,
    "two objects that need one another's code": """
        class A:
            def __setstate__(self, state): self.n = of_a(state["n"])
        class B:
            def __setstate__(self, state): self.n, self.a = of_b(state["n"]), state["a"]
        def of_a(n): return n + len(BASE)
        def of_b(n): return of_a(n) + 1
        BASE = [0]
        a, b = A(), B()
        a.n = 1
        b.n, b.a = 1, a
        def task(): return b.a is a, of_b(1)
    """,
    "an object that holds a function that uses the object": """
        class Callbacks:
            def __init__(self): self.found = {}
            def add(self, function):
                self.found[function.__name__] = function
                return function
            def __setstate__(self, state): self.found = copied(state["found"])
        def copied(found): return dict(found, **EXTRA)
        EXTRA = {"extra": 1}
        CALLBACKS = Callbacks()
        @CALLBACKS.add
        def double(n): return n * 2 if "double" in CALLBACKS.found else None
        def task(): return CALLBACKS.found["double"](4), double(3)
    """,
    "a class decorator that wraps with a global's method": """
        import functools
        class Tracer:
            def __init__(self): self.calls = []
            def __reduce__(self): return make_tracer, ()
            def wrap(self, function):
                @functools.wraps(function)
                def wrapper(*args):
                    self.calls.append(function.__name__)
                    return function(*args)
                return wrapper
        def make_tracer(): return configured(Tracer())
        def configured(tracer):
            tracer.level = LEVEL
            return tracer
        LEVEL = 3
        TRACER = Tracer()
        class Model:
            @TRACER.wrap
            def score(self): return TRACER.level, TRACER.calls
        TRACER.level = 3
        def task(): return Model().score()
    """,
    "a global tuple that holds the class whose method uses it": """
        class Model:
            def __hash__(self): return len(KINDS)
            def __eq__(self, other): return type(other) in KINDS
        KINDS = (Model, int)
        SEEN = {1: Model()}
        def task(): return hash(SEEN[1]), SEEN[1] == Model()
    """,
    "module attributes that code looks at while it is rebuilt": """
        import sys
        class Named:
            def __setstate__(self, state): self.where = where()
        def where(): return sys._getframe().f_globals["__name__"]
        NAMED = Named()
        NAMED.where = "__main__"
        def task(): return NAMED.where
    """,
    "a submodule that is used while something is rebuilt": """
        import xml.dom.minidom
        def parse(text): return xml.dom.minidom.parseString(text).documentElement.tagName
        class Document:
            def __getstate__(self): return "<a/>"
            def __setstate__(self, text): self.tag = parse(text)
        DOCUMENT = Document()
        DOCUMENT.tag = "a"
        def task(): return DOCUMENT.tag
    """,
}

SLAVE = """
import pickle, sys
from imp_parallel_core._code.loaded import LoadedDefinitions
from imp_parallel_core._code.references import resolving

bundles, segments = pickle.load(sys.stdin.buffer)
if bundles is None:
    task = pickle.loads(segments)
else:
    loaded = LoadedDefinitions()
    for number, bundle in enumerate(bundles, 1):
        loaded.load(number, bundle)
    loaded.activate(len(bundles))
    with resolving(loaded):
        task = pickle.loads(segments[0], buffers=segments[1:])
print(repr(task()))
"""


def run_elsewhere(bundles: Any, segments: Any) -> subprocess.CompletedProcess[bytes]:
    """Call a task in a new process."""
    return subprocess.run(
        [sys.executable, "-c", SLAVE],
        input=pickle.dumps((bundles, segments)),
        capture_output=True,
        timeout=50,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def plain(segments: Any) -> list[bytes]:
    """Return segments as bytes, which can be piped."""
    return [bytes(segment) for segment in opened(segments)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_whatever_plain_cloudpickle_rebuilds_is_rebuilt(name: str) -> None:
    task = script(SCRIPTS[name])["task"]
    here = repr(task())
    book = DefinitionBook()
    segments, _ = book.pickle(script(SCRIPTS[name])["task"])
    ours = run_elsewhere([plain(bundle) for bundle in book.bundles], plain(segments))
    assert (ours.stdout.decode().strip(), ours.stderr.decode()) == (here, "")

    theirs = run_elsewhere(None, cloudpickle.dumps(script(SCRIPTS[name])["task"], 5))
    if theirs.returncode == 0:
        assert theirs.stdout == ours.stdout


# ---- what was sent before

MODELS = """
    class Model:
        def __init__(self, n): self.n = n
        def __setstate__(self, state): self.n = scaled(state["n"])
        def me(self): return type(self) is Model
    def scaled(n): return n * SCALE
    SCALE, MODEL = 1, None
    def task(): return MODEL.n, MODEL.me()
"""


def test_an_object_is_rebuilt_with_the_globals_of_its_time(runner: Runner) -> None:
    namespace = script(MODELS)
    more(namespace, "MODEL = Model(3)")
    first = runner.book.pickle(namespace["task"])
    more(namespace, "SCALE, MODEL = 2, Model(3)")
    second = runner.book.pickle(namespace["task"])
    more(namespace, "def scaled(n): return -n * SCALE\nMODEL = Model(3)")
    third = runner.book.pickle(namespace["task"])
    assert runner.receive(first)() == (3, True)
    assert runner.receive(second)() == (6, True)
    assert runner.receive(third)() == (-6, True)
    assert runner.receive(first)() == (3, True)


def test_a_helper_that_is_new_is_there_when_a_known_class_needs_it(runner: Runner) -> None:
    namespace = script(MODELS)
    del namespace["scaled"]
    assert runner.run(namespace["Model"], 3).n == 3
    more(namespace, "def scaled(n): return shifted(n)\ndef shifted(n): return n + SHIFT\nSHIFT = 1")
    more(namespace, "TABLE = {Model(4).n: [Model(4)]}\ndef task(): return TABLE[4][0].n")
    assert runner.run(namespace["task"]) == 5


def test_a_class_is_not_sent_again_because_what_its_methods_use_has_changed(
    runner: Runner,
) -> None:
    namespace = script("""
        class Helper: n = 1
        class Model:
            n = 0
            def __getstate__(self): return "some"
            def __setstate__(self, state): self.n = Helper.n
            def me(self): return type(self) is Model, self.n, Helper.n
    """)
    model = runner.receive(runner.book.pickle(namespace["Model"]()))
    namespace["Helper"].n = 2
    again = runner.receive(runner.book.pickle(namespace["Model"]()))
    assert type(again) is type(model)
    assert again.me() == (True, 2, 2)


def test_a_bundle_that_failed_in_the_middle_is_loaded_once_more(runner: Runner) -> None:
    namespace = script("""
        import imp_parallel_core
        N, FAILING = 0, None
        def task(): return N, bool(FAILING)
    """)
    assert runner.run(namespace["task"]) == (0, False)
    more(
        namespace,
        """
        class Failing:
            def __setstate__(self, state):
                imp_parallel_core.tried = tried = getattr(imp_parallel_core, "tried", 0) + 1
                if tried == 1: raise RuntimeError("the first time")
        N, FAILING = [1], Failing()
        FAILING.n = 3
        """,
    )
    sent = runner.book.pickle(namespace["task"])
    with pytest.raises(RuntimeError, match="the first time"):
        runner.loaded.load(2, opened(runner.book.bundles[1]))
    assert runner.receive(sent)() == ([1], True)


def test_a_long_chain_of_functions_that_use_one_another_travels(runner: Runner) -> None:
    length = sys.getrecursionlimit()
    lines = [f"def f{n}(): return f{n + 1}" for n in range(length)]
    namespace = script("\n".join([*lines, f"def f{length}(): return {length}"]))
    found = runner.receive(runner.book.pickle(namespace["f0"]))
    for _ in range(length):
        found = found()
    assert found() == length
