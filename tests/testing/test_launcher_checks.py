"""Each check of a launcher finds a launcher that has that one thing wrong, and says so."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import testing
from imp_parallel_core.testing import _ending, _processes, _starting
from tests.support.harness import Processes, processes
from tests.testing import launchers
from tests.testing.launchers import Here, HereArray, Right

__all__ = ["processes"]  # a fixture


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("home", "temporary", "out"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def check_named(name: str, **options: Any) -> testing.LauncherCheck:
    return next(each for each in testing.launcher_checks(**options) if each.name == name)


@pytest.mark.parametrize("check", testing.launcher_checks())
def test_a_launcher_with_nothing_wrong_passes(tmp_path: Path, check: testing.LauncherCheck) -> None:
    check(Here, output_folder=tmp_path, plugins=[Right()])


ARRAY = "each_slave_of_an_array_is_itself"
NAMES = "folder_arguments_and_output_may_have_any_name"
ENVIRONMENT = "the_environment_of_the_bootstrap_is_added"
SECRET = "the_secret_is_nowhere_to_be_seen"
AT_ONCE = "a_slave_that_fails_at_once_is_explained"
CANCEL = "cancel_waits_no_longer_than_the_slaves_need_and_may_be_called_twice"

WRONG = [
    (ARRAY, launchers.MixesUpStreams, "slave [01] ran a task, but what the task printed is not in"),
    (ARRAY, launchers.MixesUpOutput, "slave 1 ran a task, but what the task printed is not in"),
    (NAMES, launchers.DoesNotQuote, "can't start|Syntax error"),
    (NAMES, launchers.LosesTheFolder, "the slave works in '/', not in "),
    (NAMES, launchers.LosesThePath, "the slave's sys.path lacks "),
    (NAMES, launchers.LosesArguments, "the slave's sys.argv is .* not "),
    (NAMES, launchers.WritesElsewhere, "what the task printed is in no output file in "),
    (ENVIRONMENT, launchers.LosesTheEnvironment, "the bootstrap's environment is not added: None"),
    (ENVIRONMENT, launchers.GivesNothingElse, "nothing but what its bootstrap adds"),
    (SECRET, launchers.ShowsSecretsInCommands, "slave 0's secret is in a launch's command line"),
    (SECRET, launchers.ShowsSecretsInEnvironments, "slave 0's secret is in the environ of a proc"),
    (SECRET, launchers.ShowsSecretsInLogs, "slave 0's secret is in the log of imp_parallel.stran"),
    (SECRET, launchers.ShowsSecretsInFiles, "is in a file that other users may read: .*/document"),
    (SECRET, launchers.ShowsItsDocumentInEnvironments, "slave 0's secret is in the environ of a "),
    (SECRET, launchers.ShowsSecretsInTheTemporaryFolder, "may read: .*/temporary/slave0.json"),
    (SECRET, launchers.ShowsSecretsInTheHomeFolder, "may read: .*/home/public/slave0.json"),
    (AT_ONCE, launchers.LeavesSomething, "slaves had failed, and the Manager was .*sleep 600"),
    (AT_ONCE, launchers.TellsNoOutput, r"log_tail\(\) was not quoted"),
    (AT_ONCE, launchers.TellsNoExitCode, r"poll\(\) did not tell the exit code, which was 97"),
    (
        "a_slave_that_reads_nothing_is_explained",
        launchers.BreaksWhereNobodyReads,
        r"log_tail\(\) was not quoted, or .*Broken pipe",
    ),
    (
        "a_slave_that_fails_after_a_second_is_explained",
        launchers.LooksOnce,
        r"poll\(\) did not tell the exit code",
    ),
    (
        "a_slave_that_fails_without_a_word_is_explained",
        launchers.TellsNoExitCode,
        r"poll\(\) did not tell the exit code",
    ),
    (
        "a_slave_that_has_ended_stays_ended",
        launchers.Forgets,
        r"poll\(\) does not stay with what it has said of slave 0: .*exit_code=97.* later None",
    ),
    ("a_killed_slave_loses_nothing", launchers.EndsAllWithOne, "NoMoreSlavesError: "),
    (CANCEL, launchers.UsesItsGraceUp, r"cancel\(3\) took \d+ s for slaves that left at once"),
    (CANCEL, launchers.CanNotBeCancelledTwice, r"cancel\(\) raised AttributeError.*called again"),
    ("a_closed_manager_leaves_nothing", launchers.LeavesSomething, "was closed.*sleep 600"),
    ("a_killed_master_leaves_nothing", launchers.LeavesSomething, "was killed.*sleep 600"),
]


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG)
def test_a_launcher_with_one_thing_wrong_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrong: type[Right], words: str
) -> None:
    if wrong is launchers.UsesItsGraceUp:
        monkeypatch.setattr(_ending, "_GRACE_S", 3.0)
        monkeypatch.setattr(_ending, "_LEFT_S", 2.0)
    monkeypatch.setattr(_processes, "_GONE_S", 3.0)
    monkeypatch.setattr(_starting, "_OUTPUT_S", 2.0)
    make = Here if name != ARRAY and wrong is not launchers.EndsAllWithOne else lambda: HereArray(2)
    with pytest.raises(AssertionError, match=f"(?s){words}"):
        check_named(name)(make, output_folder=tmp_path / "out", plugins=[wrong()])


def test_a_secret_is_found_in_a_file_that_was_there_already(tmp_path: Path) -> None:
    plugins = [launchers.ShowsSecretsInTheSameFileAgain()]
    check_named("results_come")(Here, output_folder=tmp_path / "out", plugins=plugins)
    with pytest.raises(AssertionError, match=r"that other users may read: .*/script/slave0\.json"):
        check_named(SECRET)(Here, output_folder=tmp_path / "out", plugins=plugins)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            launchers.SaysWhyNothingStarts,
            "(?s)nothing came within 2 s; slave 0: .*The last words of slave 1: the stable is cl",
        ),
        (launchers.StartsSomethingElse, "nothing came within 2 s; slave 0: launching"),
        (launchers.StartsTheFirstAlone, "nothing came within 2 s; .*slave 1: launching"),
    ],
)
def test_slaves_that_never_come_are_not_waited_for_in_silence(
    tmp_path: Path, wrong: type[Right], words: str
) -> None:
    check = check_named(ARRAY, limit_s=2.0)
    with pytest.raises(AssertionError, match=words):
        check(lambda: HereArray(2), output_folder=tmp_path, plugins=[wrong()])


def test_each_check_is_shown_to_find_something() -> None:
    found = {name for name, *_ in WRONG} | {"results_come"}  # (nothing comes: the tests above)
    assert found == {check.name for check in testing.launcher_checks()}


@pytest.fixture
def _unshare() -> None:
    done = subprocess.run(["unshare", "-Urpf", "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED in another PID namespace: {done.stderr.decode()}")


@pytest.mark.usefixtures("_unshare")
def test_slaves_in_another_pid_namespace_pass_all_checks_but_the_one_that_kills_by_pid(
    tmp_path: Path,
) -> None:
    plugins = [launchers.InAnotherPidNamespace()]
    left_out = testing.check_launcher(
        Here, output_folder=tmp_path, plugins=plugins, shares_pids=False
    )
    assert left_out.keys() == {"a_killed_slave_loses_nothing"}
    assert "PID namespace" in left_out["a_killed_slave_loses_nothing"]


@pytest.mark.usefixtures("_unshare")
@pytest.mark.parametrize(
    "launcher",
    [launchers.InAnotherPidNamespace, launchers.InAnotherPidNamespaceWithTheSameProc],
)
@pytest.mark.parametrize(
    "name", ["a_closed_manager_leaves_nothing", "a_killed_slave_loses_nothing"]
)
def test_pids_that_are_not_shared_have_to_be_declared(
    tmp_path: Path, name: str, launcher: type[Right]
) -> None:
    with pytest.raises(AssertionError, match="check this launcher with shares_pids=False"):
        check_named(name)(Here, output_folder=tmp_path, plugins=[launcher()])


def test_a_check_that_can_not_be_made_is_skipped_under_its_name(tmp_path: Path) -> None:
    check = check_named("a_killed_slave_loses_nothing", shares_pids=False)
    with pytest.raises(unittest.SkipTest, match="a_killed_slave_loses_nothing: the slaves are in"):
        check(Here, output_folder=tmp_path, plugins=[Right()])


def test_what_can_not_be_pickled_is_skipped_where_a_script_of_its_own_is_needed(
    tmp_path: Path,
) -> None:
    plugin = Right()
    vars(plugin)["lock"] = threading.Lock()
    with pytest.raises(unittest.SkipTest, match=r"can't be pickled.*lock"):
        check_named("a_killed_master_leaves_nothing")(
            Here, output_folder=tmp_path, plugins=[plugin]
        )
