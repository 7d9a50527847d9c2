"""The annotations of code that travels, also where Python evaluates them late or never."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from imp_parallel_core._definitions.book import DefinitionBook

from .slave import Runner, script

lazy = pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")

A_TREE = """
    from dataclasses import dataclass, fields
    from typing import TypedDict
    def leaf(name: str, parent: Tree | None = None) -> Tree:
        return Tree(name, parent)
    @dataclass
    class Tree:
        name: str
        parent: Tree | None = None
        def root(self) -> Tree:
            return self if self.parent is None else self.parent.root()
        def unseen(self, found: SeenByTypeCheckersAlone): pass
    class Options(TypedDict):
        tree: Tree
    class Unseen:
        x: SeenByTypeCheckersAlone
        y: int
"""


def test_a_class_whose_annotations_nobody_has_asked_for_keeps_them(runner: Runner) -> None:
    namespace = script("""
        class Point:
            x: int
        class Named(Point):
            name: str
        class Plain(Named): pass
        def task(): return Point, Named, Plain
    """)
    found = [kind.__annotations__ for kind in runner.run(namespace["task"])]
    assert found == [{"x": int}, {"name": str}, {}]


@lazy
def test_a_class_is_not_another_once_somebody_has_asked_for_its_annotations(
    book: DefinitionBook,
) -> None:
    namespace = script("""
        class Plain: pass
        class Point(Plain):
            x: int
        def task(): return Point
    """)
    book.pickle(namespace["task"])
    sent = len(book.bundles)
    for name in ("Point", "Plain"):
        assert isinstance(namespace[name].__annotations__, dict)
    book.pickle(namespace["task"])
    assert len(book.bundles) == sent


@lazy
def test_a_dataclass_that_names_itself_travels_and_comes_home(runner: Runner) -> None:
    namespace = script(A_TREE)
    leaf, tree = namespace["leaf"], namespace["Tree"]
    top = runner.run(leaf, "top")
    below = runner.run(leaf, "below", top)
    assert below.root() is top
    assert type(below).__annotations__ == {"name": str, "parent": type(top) | None}
    (parent,) = (
        found
        for found in vars(type(top))["__dataclass_fields__"].values()
        if found.name == "parent"
    )
    assert "Tree" in repr(parent.type)
    assert runner.bring_home(below) == tree("below", tree("top"))
    assert type(runner.bring_home(top)) is tree


@lazy
def test_annotations_that_can_not_be_evaluated_travel_as_texts(runner: Runner) -> None:
    namespace = script(A_TREE)
    unseen, tree = runner.receive(runner.book.pickle((namespace["Unseen"], namespace["Tree"])))
    assert unseen.__annotations__ == {"x": "SeenByTypeCheckersAlone", "y": "int"}
    assert tree.unseen.__annotations__ == {"found": "SeenByTypeCheckersAlone"}
    with pytest.raises(NameError):  # the original is what it was
        _ = namespace["Tree"].unseen.__annotations__


@lazy
def test_a_typed_dict_keeps_its_annotations(runner: Runner) -> None:
    namespace = script(A_TREE)
    tree, options = runner.receive(runner.book.pickle((namespace["Tree"], namespace["Options"])))
    assert options.__annotations__ == {"tree": tree}
    assert options.__required_keys__ == {"tree"}


@lazy
def test_code_that_is_made_on_the_slave_comes_home_with_its_annotations(runner: Runner) -> None:
    namespace = script("""
        from types import ModuleType
        def task():
            class Local:
                x: int
                y: Local | None = None
            module = ModuleType("made_there")
            source = "def made(a, *, b=2) -> Unseen:\\n 'Doc.'\\n return (a, b, word)"
            exec(source, module.__dict__)
            module.word = "there"
            module.made.extra = 5
            return Local, module.made
    """)
    local: Any
    made: types.FunctionType
    local, made = runner.bring_home(runner.run(namespace["task"]))
    assert local.__annotations__ == {"x": int, "y": local | None}
    assert made(1) == (1, 2, "there")
    assert made.__annotations__ == {"return": "Unseen"}
    assert (made.__doc__, made.__name__, made.extra) == ("Doc.", "made", 5)  # type: ignore[attr-defined]  # task has set it
