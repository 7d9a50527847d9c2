"""What a user may say of slaves on hosts, and what is wrong with what they say."""

from __future__ import annotations

import json
import logging
import os
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from imp_parallel_slurm import SlurmSlaveArray
from imp_parallel_ssh import SSHHost, SSHSlave, SSHSlaveArray
from imp_parallel_ssh import _shipped_modules as ship

from imp_parallel_core import GPU, LaunchError


def test_a_description_says_what_it_was_made_of() -> None:
    assert repr(SSHSlave("u@host:22")) == "SSHSlave('u@host:22')"
    made = SSHSlave("h", python="python3", ship_modules=[], client="openssh")
    assert repr(made) == "SSHSlave('h', python='python3', ship_modules=[], client='openssh')"
    assert repr(SSHSlaveArray(["a", "b"], 8)) == "SSHSlaveArray(['a', 'b'], slaves_per_host=8)"
    assert repr(SSHSlaveArray(["a"])) == "SSHSlaveArray(['a'])"
    made = SSHSlave("h", threads=None, environment={"A": "1"})
    assert repr(made) == "SSHSlave('h', threads=None, environment={'A': '1'})"


def test_an_array_whose_commands_run_on_a_login_node_says_so() -> None:
    made = SlurmSlaveArray(2, "-t 5", via=SSHHost("login"))
    assert repr(made) == "SlurmSlaveArray(2, '-t 5', via=SSHHost('login'))"


def test_an_array_has_as_many_slaves_as_its_hosts_have() -> None:
    array = SSHSlaveArray(["a", "b"], slaves_per_host=3)
    assert len(array) == 6
    assert array.hosts == ["a", "a", "a", "b", "b", "b"]


def test_an_array_has_a_slave_for_each_card_of_its_hosts() -> None:
    cards: dict[str, list[int | GPU]] = {
        "a": [0, 1],
        "none": [],
        "b": [GPU("ROCR_VISIBLE_DEVICES", "0")],
    }
    array = SSHSlaveArray.one_per_gpu(cards, environment={"OTHER": "yes"})
    assert array.hosts == ["a", "a", "b"]
    assert [array.environment_of(position) for position in range(3)] == [
        {"OTHER": "yes", "CUDA_VISIBLE_DEVICES": "0"},
        {"OTHER": "yes", "CUDA_VISIBLE_DEVICES": "1"},
        {"OTHER": "yes", "ROCR_VISIBLE_DEVICES": "0"},
    ]
    shown = "SSHSlaveArray.one_per_gpu({'a': ['0', '1'], 'b': ['0']}, environment={'OTHER': 'yes'})"
    assert repr(array) == shown
    with pytest.raises(ValueError, match="at least one"):
        SSHSlaveArray.one_per_gpu({"a": []})


def test_a_file_lists_hosts_and_how_many_slaves_each_has(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# ours\na\n\nu@b:22 4   # many cores\nc 1\n")
    array = SSHSlaveArray.from_file(path, slaves_per_host=2, client="openssh", threads=2)
    assert array.threads == 2
    assert array.hosts == ["a", "a", *["u@b:22"] * 4, "c"]
    assert array.options.client == "openssh"
    assert len(array) == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n-oProxyCommand=x\n", "line 2.*-oProxyCommand"),
        ("a 0\n", "line 1"),
        ("a many\n", "line 1"),
        ("a 1 2\n", "line 1.*'a 1 2'"),
        ("# nobody\n", "lists no hosts"),
    ],
)
def test_a_file_that_can_not_be_read_says_where(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        SSHSlaveArray.from_file(path)


def test_bad_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="host"):
        SSHSlave("a b")
    with pytest.raises(ValueError, match='"paramiko" or "openssh"'):
        SSHSlave("a", client="putty")
    with pytest.raises(TypeError, match="list of hosts"):
        SSHSlaveArray("a")
    with pytest.raises(TypeError, match="list of modules"):
        SSHSlave("a", ship_modules="tasks")  # (a string is a sequence of strings)
    with pytest.raises(ValueError, match="at least 1"):
        SSHSlaveArray(["a"], 0)
    with pytest.raises(ValueError, match="at least one"):
        SSHSlaveArray([])


@pytest.mark.parametrize("wanted", ["no_such_module", "sys", "./no/such/file.py"])
def test_a_module_that_can_not_be_sent_is_an_error_of_add_slave(wanted: str) -> None:
    with pytest.raises(LaunchError, match="ship_modules: "):
        SSHSlave("a", ship_modules=[wanted]).check()


def test_a_client_that_is_not_installed_is_an_error_of_add_slave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="no ssh in the PATH"):
        SSHSlave("a", client="openssh").check()


# ---- modules


def names_in(packed: ship.Archive | None) -> set[str]:
    assert packed is not None
    return set(zipfile.ZipFile(BytesIO(packed.content)).namelist())


def test_modules_are_named_in_any_way(tmp_path: Path) -> None:
    (tmp_path / "own.py").touch()
    import xml.dom

    wanted: list[str | ModuleType | Path] = [json, "xml.dom", tmp_path / "own.py"]
    names = names_in(ship.pack_modules(wanted))
    assert {"json/decoder.py", "xml/dom/minidom.py", "own.py"} < names
    assert not [name for name in names if name.endswith(".pyc")]
    assert xml.dom


def test_the_same_modules_make_the_same_archive(tmp_path: Path) -> None:
    assert ship.pack_modules(["json"]) == ship.pack_modules([json])
    assert ship.pack_modules([]) is None


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a script in a folder of its own."""
    main = ModuleType("__main__")
    main.__file__ = str(tmp_path / "script.py")
    monkeypatch.setitem(sys.modules, "__main__", main)
    (tmp_path / "script.py").touch()
    return tmp_path


def test_beside_a_script_are_modules_and_packages_and_no_data(script: Path) -> None:
    for name in ("tasks.py", "fast.so", "data.csv", "package/__init__.py", "results/a.py"):
        (script / name).parent.mkdir(exist_ok=True)
        (script / name).touch()
    assert names_in(ship.pack_modules(None)) == {"tasks.py", "fast.so", "package/__init__.py"}


def test_what_is_too_large_is_left_out_with_a_warning(
    script: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (script / "small.py").touch()
    (script / "large").mkdir()
    (script / "large/__init__.py").touch()
    with (script / "large/data").open("wb") as file:
        file.truncate(20 << 20)
    with caplog.at_level(logging.WARNING, "imp_parallel.ssh"):
        assert names_in(ship.pack_modules(None)) == {"small.py"}
    assert "large" in caplog.text
    assert "ship_modules=" in caplog.text


def test_what_can_not_be_read_beside_a_script_is_left_out_with_a_warning(
    script: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (script / "tasks.py").touch()
    (script / ".#tasks.py").symlink_to("an.editor@this.machine:1")
    (script / "gone.py").symlink_to("nowhere")
    (script / "broken.py").symlink_to("/proc/self/mem")  # a file that not even root can read
    (script / "my-notes.py").touch()
    (script / os.fsdecode(b"caf\xe9.py")).touch()
    os.mkfifo(script / "pipe.py")
    (script / "package").mkdir()
    (script / "package/__init__.py").touch()
    (script / "package/data").symlink_to("nowhere")
    (script / "package" / os.fsdecode(b"caf\xe9")).touch()
    with caplog.at_level(logging.WARNING, "imp_parallel.ssh"):
        SSHSlave("a").check()
        assert names_in(ship.pack_modules(None)) == {"tasks.py", "package/__init__.py"}
    for name in ("gone.py", "broken.py", "pipe.py", "package/caf\\xe9"):
        assert caplog.text.count(name) == 1
    assert ".#tasks.py" not in caplog.text
    assert "my-notes" not in caplog.text


def test_a_named_module_that_can_not_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "broken.py").symlink_to("/proc/self/mem")
    with pytest.raises(LaunchError, match=r"ship_modules: .*broken.py can't be read: "):
        SSHSlave("a", ship_modules=[tmp_path / "broken.py"]).check()


@pytest.mark.parametrize("is_named", [False, True])
def test_what_is_hidden_in_a_package_stays_here(script: Path, is_named: bool) -> None:
    for name in ("__init__.py", "data.csv", ".env", ".git/config", "sub/.key", "__pycache__/a.pyc"):
        (script / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (script / "package" / name).touch()
    packed = ship.pack_modules([script / "package"] if is_named else None)
    assert names_in(packed) == {"package/__init__.py", "package/data.csv"}


def test_modules_are_compressed(script: Path) -> None:
    (script / "tasks.py").write_text("# much of the same\n" * 10_000)
    packed = ship.pack_modules(None)
    assert packed is not None
    assert len(packed.content) < 10_000
