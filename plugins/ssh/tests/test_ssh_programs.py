"""Programs of many modules are sent to hosts as one text, which needs nothing that is not there."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import imp_parallel_ssh._programs
import pytest
from imp_parallel_ssh._programs import joiner
from imp_parallel_ssh._programs.joiner import joined_program

from tests.support import another_python

PROGRAMS = Path(imp_parallel_ssh._programs.__file__).parent
CORE = "imp_parallel_core.private_folders"
OLDEST = {"bridge": (3, 11), "relay": (3, 6)}
"""The oldest Python that each program promises to run on: the bridge's is the master's own."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a program that knows its modules' names and how often each was loaded."""
    folder = tmp_path / "demo_program"
    folder.mkdir()
    (folder / "__init__.py").write_text("print('the package itself is not sent')\n")
    (folder / "base.py").write_text("print('base is loaded')\n\n\ndef fail():\n    return 1 / 0\n")
    (folder / "left.py").write_text("from .base import fail\n")
    (folder / "right.py").write_text("from .base import fail\n\nNAME = __name__\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("demo_program")]:
        del sys.modules[name]


def joined(package: Path, main: str) -> bytes:
    (package / "main.py").write_text(main)
    return joined_program("demo_program")


def run(program: bytes) -> subprocess.CompletedProcess[str]:
    """Run a program where nothing is installed, as a host does."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; exec(sys.stdin.buffer.read(), {})"],
        input=program.decode(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_joined_program_loads_each_module_once_and_runs(package: Path) -> None:
    main = "from .left import fail\nfrom .right import NAME\n\n\ndef main():\n    print(NAME)\n"
    program = joined(package, main)
    assert "demo_program.main" not in sys.modules, "joining imports nothing of the program"
    done = run(program)
    assert done.stderr == ""
    assert done.stdout == "base is loaded\ndemo_program.right\n"


def test_a_traceback_of_a_joined_program_shows_the_lines_of_its_modules(package: Path) -> None:
    main = (
        "import traceback\n"
        "from .base import fail\n\n\n"
        "def main():\n"
        "    try:\n"
        "        fail()  # in vain\n"
        "    except ZeroDivisionError:\n"
        "        traceback.print_exc()\n"
    )
    said = run(joined(package, main)).stderr
    assert 'File "demo_program/main.py", line 7, in main\n    fail()  # in vain\n' in said
    assert 'File "demo_program/base.py", line 5, in fail\n    return 1 / 0\n' in said


def test_the_names_of_a_joined_programs_modules_are_free_again_when_it_runs(package: Path) -> None:
    main = (
        "import sys\n"
        f"from {CORE} import make_private_folder\n"
        "from .base import fail\n\n\n"
        "def main():\n"
        "    print([name for name in sys.modules if name.startswith(('demo', 'imp_'))])\n"
        f"    print(make_private_folder.__module__, sys.modules['{CORE}'].__doc__)\n"
    )
    before = (
        "import sys\n"
        "installed = type(sys)('installed')\n"
        "installed.__doc__ = 'what is installed here'\n"
        f"sys.modules['{CORE}'] = installed\n"
    )
    done = run(before.encode() + joined(package, main))
    assert done.stdout.splitlines()[1:] == [f"['{CORE}']", f"{CORE} what is installed here"]


def test_a_module_that_is_not_there_is_an_error_that_names_it(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"demo_program\.missing"):
        joined(package, "from .missing import name\n")


MODULES = sorted(path for path in PROGRAMS.glob("*/*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_programs_module_imports_nothing_that_is_not_sent_or_in_every_python(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    at_the_top = {node for node in tree.body if isinstance(node, ast.ImportFrom)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node in at_the_top and is_ours(node):
            line = text.splitlines()[node.lineno - 1]
            assert joiner._IMPORT.match(line), f"the joiner does not see {line!r}"
            continue
        elif isinstance(node, ast.ImportFrom) and is_ours(node):
            assert is_for_types(tree, node), f"line {node.lineno}: it is too late for that import"
            continue
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        else:
            continue
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names | {
            "__future__"
        }


def is_ours(node: ast.ImportFrom) -> bool:
    return node.level > 0 or str(node.module).startswith("imp_parallel")


def is_for_types(tree: ast.Module, wanted: ast.AST) -> bool:
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    return any(
        ast.unparse(block.test) == "TYPE_CHECKING" and wanted in ast.walk(block) for block in blocks
    )


@pytest.mark.parametrize("name", OLDEST)
def test_a_program_is_written_for_the_oldest_python_that_it_promises(name: str) -> None:
    text = joined_program(f"imp_parallel_ssh._programs.{name}").decode("ascii")
    texts = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    modules = [each for each in texts if isinstance(each, str) and "\ndef " in each]
    assert len(modules) > 3
    for module in [text, *modules]:
        ast.parse(module, feature_version=OLDEST[name])
        if OLDEST[name] < (3, 7):
            assert "from __future__" not in module


@another_python.TIMEOUT
def test_the_relay_is_understood_by_a_newer_or_older_python(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    assert_that_the_relay_loads(str(another_python.another_python(tmp_path_factory).path))


@pytest.mark.parametrize("minor", range(OLDEST["relay"][1], 16))
def test_the_relay_is_understood_by_each_python_that_is_here(minor: int) -> None:
    python = shutil.which(f"python3.{minor}")
    # (pyenv has commands for Pythons that it does not have)
    if (
        python is None
        or subprocess.run([python, "-V"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"NOT TESTED with Python 3.{minor}: it is not here")
    assert_that_the_relay_loads(python)


def assert_that_the_relay_loads(python: str) -> None:
    check = "import sys; exec(sys.stdin.read()[: -len('.main()\\n')], {}); print('loaded')"
    program = joined_program("imp_parallel_ssh._programs.relay").decode()
    done = subprocess.run(
        [python, "-W", "error", "-I", "-c", check],
        input=program,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("loaded\n", "")
