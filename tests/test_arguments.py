"""Arguments of a wrong type are refused where they are given, by an error that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from imp_parallel_batch import BatchSlaveArray
from imp_parallel_dask import DaskSlaveArray
from imp_parallel_local import LocalSlave, LocalSlaves
from imp_parallel_sge import SGEPESlaveArray, SGEQsubSlaveArray
from imp_parallel_slurm import SlurmSlaveArray, SlurmStepSlaveArray
from imp_parallel_ssh import SSHHost, SSHSlave, SSHSlaveArray

from imp_parallel_core import LocalHost, Manager, SlaveArray, find_gpus
from imp_parallel_core._commands.main import main

# as users call them, who have no type checker
users: Any = SimpleNamespace(
    LocalSlave=LocalSlave,
    LocalSlaves=LocalSlaves,
    SGEQsubSlaveArray=SGEQsubSlaveArray,
    SSHHost=SSHHost,
    SSHSlave=SSHSlave,
    SSHSlaveArray=SSHSlaveArray,
    SlurmSlaveArray=SlurmSlaveArray,
    find_gpus=find_gpus,
)

ARRAYS: list[type[BatchSlaveArray]] = [SlurmSlaveArray, SGEQsubSlaveArray]
KINDS: list[Callable[..., object]] = [
    LocalSlave,
    LocalSlaves,
    SGEPESlaveArray,
    SlurmStepSlaveArray,
    lambda **more: users.SlurmSlaveArray(1, **more),
    lambda **more: users.SGEQsubSlaveArray(1, **more),
    lambda **more: users.SSHSlave("a", **more),
    lambda **more: users.SSHSlaveArray(["a"], **more),
    lambda **more: DaskSlaveArray("tls://a:1", 1, **more),
]


def refused(make: Callable[[], object]) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize(
    "via", ["login", 3, SSHHost, object(), Path("login")], ids=lambda given: type(given).__name__
)
def test_a_via_that_is_no_host_is_refused_by_an_error_that_names_one(
    kind: type[BatchSlaveArray], via: Any
) -> None:
    said = refused(lambda: kind(1, via=via))
    assert said.startswith(f"{kind.__name__}: via=")
    assert "it must be a host, such as SSHHost(" in said


def test_the_name_of_a_host_is_shown_as_the_host_that_was_meant() -> None:
    said = refused(lambda: users.SlurmSlaveArray(1, via="login"))
    assert said == ("SlurmSlaveArray: via='login': it must be a host, such as SSHHost('login')")


def test_a_host_that_lacks_a_method_is_refused_with_the_name_of_that() -> None:
    class Half(LocalHost):
        write_files = None  # type: ignore[assignment]  # that is the mistake

    said = refused(lambda: users.SlurmSlaveArray(1, via=Half()))
    assert said.endswith("; it has no write_files()")


def test_a_via_that_a_class_sets_by_itself_is_checked_when_it_is_added() -> None:
    class Own(SlaveArray):
        via = "login"  # type: ignore[assignment]  # that is the mistake

    with Manager() as manager:
        assert "Own: via='login'" in refused(lambda: manager.add_slave(Own(1)))


def test_check_says_it_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", 'SlurmSlaveArray(1, via="login")']) != 0
    said = capsys.readouterr()
    assert "via='login': it must be a host" in said.out + said.err
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [["A=1"], "A=1", 3])
def test_an_environment_that_is_no_dictionary_is_refused(
    kind: Callable[..., object], given: Any
) -> None:
    said = refused(lambda: kind(environment=given))
    assert f": environment={given!r}: it must be a dictionary" in said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: users.SSHSlave("a", python=3), "SSHSlave: python=3: it must be a path or a line"),
        (
            lambda: users.SSHSlaveArray(["a"], python=["p"]),
            "SSHSlaveArray: python=['p']: it must be",
        ),
        (lambda: users.SSHSlaveArray("a"), "hosts='a': it must be a list of hosts"),
        (lambda: users.SSHSlaveArray(3), "hosts=3: it must be a list of hosts"),
        (lambda: users.SSHSlaveArray([3]), "the host 3 must be a text"),
        (lambda: users.SSHSlaveArray(["a"], "2"), "slaves_per_host='2': it must be a whole number"),
        (lambda: users.SSHSlaveArray(["a"], 1.5), "slaves_per_host=1.5: it must be a whole number"),
        (
            lambda: users.SSHSlaveArray(["a"], True),
            "slaves_per_host=True: it must be a whole number",
        ),
        (lambda: users.SSHSlaveArray(["a"], 0), "slaves_per_host=0: it must be at least 1"),
        (lambda: users.SSHSlaveArray.from_file("x", "2"), "slaves_per_host='2'"),
        (lambda: users.SSHSlaveArray.one_per_gpu(["a"]), "gpus=['a']: it must be a dictionary"),
        (
            lambda: users.SSHSlaveArray.one_per_gpu({"a": "01"}),
            "gpus='01': it must be a dictionary",
        ),
        (lambda: users.SSHSlave("a", ship_modules="m"), "ship_modules='m': it must be a list"),
        (lambda: users.SSHSlave("a", ship_modules=[3]), "ship_modules=[3]: it must be a list"),
        (lambda: users.SSHSlave("a", client=["openssh"]), "client=['openssh']: it must be"),
        (
            lambda: users.SSHHost("a", timeout_s="30"),
            "timeout_s='30': it must be a number of seconds",
        ),
        (lambda: users.SSHHost("a", timeout_s=0), "timeout_s=0: it must be more than 0 s"),
        (lambda: users.SSHHost("a", folder=3), "SSHHost: folder=3: it must be a path there"),
        (lambda: users.SSHHost("a", relay_host=3), "relay_host=3: it must be an address"),
        (lambda: users.SSHHost("a", ship_modules=3), "SSHHost: ship_modules=3: it must be a list"),
        (lambda: users.LocalSlaves("4"), "the number of slaves must be an int, not '4'"),
        (lambda: users.LocalSlaves(1, pin="no"), "LocalSlaves: pin='no': it must be True or False"),
        (
            lambda: users.LocalSlaves.one_per_gpu("0,1"),
            "LocalSlaves: gpus='0,1': it must be a list",
        ),
        (lambda: users.LocalSlaves.one_per_gpu([None]), "None is no graphics card"),
        (lambda: users.SGEQsubSlaveArray("4"), "the number of slaves must be an int, not '4'"),
        (lambda: users.SlurmSlaveArray(1, ["-q"]), "the options must be one text"),
        (lambda: users.find_gpus("login"), "find_gpus: host='login': it must be a host"),
    ],
)
def test_values_of_a_wrong_type_are_refused_with_the_name_of_the_argument(
    make: Callable[[], object], words: str
) -> None:
    assert words in refused(make)


def test_what_was_given_is_shown_whatever_it_is() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "environment=an instance of Odd" in refused(lambda: users.LocalSlave(environment=Odd()))
    long = refused(lambda: users.LocalSlave(environment=["x" * 1000]))
    assert len(long) < 200
    assert "\x1b" not in refused(lambda: users.LocalSlave(environment="\x1b[2J"))
