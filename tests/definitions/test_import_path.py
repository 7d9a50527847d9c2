"""How a runner's path follows the master's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from imp_parallel_core._code.references import change_path
from imp_parallel_core._code.same_files import facts_of
from imp_parallel_core._definitions.import_path import ImportPath, absolute_path


@pytest.mark.parametrize(
    ("here", "path", "new", "old", "then"),
    [
        ("a b", "x a b", "x", "", "x a b"),
        ("a b", "a b x", "x", "", "a b x"),
        ("a b", "a x y b", "x y", "", "a x y b"),
        ("own a b", "x a b", "x", "", "own x a b"),
        ("a b own", "a b x", "x", "", "a b own x"),
        ("x a b", "x a b", "x", "", "x a b"),
        ("a b x", "x a b", "x", "", "x a b"),
        ("a b c", "a c", "", "b", "a c b"),
        ("a b", "x b", "x", "a", "x b a"),
        ("x b a", "a b", "a", "x", "a b x"),
        ("b a", "a b", "", "", "b a"),
        ("other", "x a b", "x", "", "other x"),
        ("a b", "b", "", "a z", "b a"),
    ],
)
def test_a_path_is_changed(
    monkeypatch: pytest.MonkeyPatch, here: str, path: str, new: str, old: str, then: str
) -> None:
    here_, path_, new_, old_, then_ = (
        [f"/{name}" for name in names.split()] for names in (here, path, new, old, then)
    )
    monkeypatch.setattr(sys, "path", here_)
    change_path(path_, new_, old_, {}, "/")
    assert sys.path == then_
    change_path(path_, new_, old_, {}, "/")
    assert sys.path == then_, "a bundle may be loaded once more"


def test_a_path_that_the_master_adds_later_is_not_trusted_where_others_can_have_made_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everybodys = tmp_path / "everybodys"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    new, cwd = [str(everybodys)], str(tmp_path)
    facts = facts_of(new, cwd)
    monkeypatch.setattr(sys, "path", ["/lib"])
    change_path([*new, "/lib"], new, [], facts, cwd)
    assert sys.path == [*new, "/lib"], "on the master's machine, it is the master's"
    sys.path[:] = ["/lib"]
    elsewhere = {path: [0, 0, 0, 0] for path in facts}  # as on a machine with files of its own
    change_path([*new, "/lib"], new, [], elsewhere, cwd)
    assert sys.path == ["/lib"]
    assert f"imp_parallel: {everybodys} is not imported from" in capsys.readouterr().err


def test_a_path_that_is_what_slaves_have_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = ImportPath(absolute_path())
    assert followed.change() is None
    assert followed.is_unchanged()
    monkeypatch.setattr(sys, "path", sys.path.copy())
    assert followed.is_unchanged()


def first_three(followed: ImportPath) -> tuple[list[str], list[str], list[str]]:
    """Return the path after a change, the new entries and the old ones."""
    change = followed.change()
    assert change is not None
    return change.path, change.new, change.old


def test_another_current_folder_is_a_change_only_where_the_path_depends_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", ["/lib"])
    followed = ImportPath(absolute_path())
    assert followed.change() is None
    monkeypatch.chdir(tmp_path)
    assert followed.is_unchanged()
    sys.path.insert(0, "")
    assert not followed.is_unchanged()
    assert first_three(followed) == ([str(tmp_path), "/lib"], [str(tmp_path)], [])
    assert followed.is_unchanged()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir("below")
    assert not followed.is_unchanged()
    below = str(tmp_path / "below")
    assert first_three(followed) == ([below, "/lib"], [below], [str(tmp_path)])
    (tmp_path / "below").rmdir()
    assert not followed.is_unchanged()
    assert followed.change() is not None
    assert followed.is_unchanged()
    monkeypatch.chdir(os.sep)
