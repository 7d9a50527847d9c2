"""What hangs, fails or vanishes, with a host that is made up."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from imp_parallel_batch import launch_array
from imp_parallel_batch._launch import BatchLaunch
from imp_parallel_sge import SGEQsubSlaveArray
from test_sge_queue_list import listing

from imp_parallel_core import (
    Bootstrap,
    CommandResult,
    LaunchError,
    LaunchPhase,
    LaunchState,
    LocalHost,
)
from tests.support.waiting import wait_until

LOGGER = logging.getLogger("imp_parallel.sge")


class MadeUpHost(LocalHost):
    """Real files; commands that answer what a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = listing((5, "r", "q@h", "1-2:1"))
        self.name = ""
        self.is_there = False  # although the queue does not list it
        self.asked: list[str] = []
        self.deleted: list[Sequence[str]] = []
        self.problem: OSError | None = None
        self.submitted: CommandResult | None = None
        self.accounting = ""
        self.described = CommandResult(1, "Following jobs do not exist: \n5\n", "")

    def run(
        self, argv: Sequence[str], *, timeout_s: float, input: bytes = b"", cwd: str | None = None
    ) -> CommandResult:
        self.asked.append(argv[0])
        if argv[0] == "qsub":
            self.name = argv[argv.index("-N") + 1]
            return self.submitted or CommandResult(0, f"5.{argv[argv.index('-t') + 1]}:1\n", "")
        if argv[0] == "qdel":
            self.deleted.append(list(argv[1:]))
        if self.problem is not None:
            raise self.problem
        if argv[0] == "qdel" and "<JB_job_number>5<" not in self.queue and not self.is_there:
            return CommandResult(1, 'denied: job "5" does not exist\n', "")
        if argv[:2] == ["qstat", "-j"]:
            return self.described
        if argv[0] == "qacct":
            return CommandResult(0, self.accounting, "")
        return CommandResult(0, self.queue if "-xml" in argv else "", "")

    def launch(self, count: int = 2, options: str = "") -> BatchLaunch:
        bootstraps = [
            Bootstrap(index, "python3", str(self.folder), f"{self.folder}/{index}.out", [])
            for index in range(3, 3 + count)
        ]
        launch = launch_array(SGEQsubSlaveArray(count, options, via=self), bootstraps)
        assert isinstance(launch, BatchLaunch)
        return launch


@pytest.fixture
def asked_at_each_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have qstat asked again whenever a launch is polled."""
    monkeypatch.setattr("imp_parallel_batch._queue_watch._FIRST_PAUSE_S", 0.0)


@pytest.fixture
def host(tmp_path: Path) -> MadeUpHost:
    return MadeUpHost(tmp_path)


def test_tasks_that_vanish_have_ended_with_the_code_that_they_left(
    host: MadeUpHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._task_ends._FORGOTTEN_S", 4.0)
    launch = host.launch()
    assert {state.phase for state in launch.poll().values()} == {LaunchPhase.RUNNING}
    (folder,) = tmp_path.glob(".imp_parallel-*")
    (folder / "1.exit").write_text("43\n")
    host.queue = listing()
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        states = launch.poll()
        if {state.phase for state in states.values()} == {LaunchPhase.ENDED}:
            break
        time.sleep(0.02)
    assert states[3].exit_code == 43
    assert "job 5 has gone from the queue" in states[4].detail
    launch.cancel(0.0)
    assert list(tmp_path.glob(".imp_parallel-*")) == []


KNOWN = """\
==============================================================
job_number:                 5
job_name:                   {name}
stdout_path_list:           NONE:NONE:.{name}/$TASK_ID.early
"""


def test_a_job_that_qstat_forgets_is_waited_for_and_deleted_at_the_end(
    host: MadeUpHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("imp_parallel_batch._task_ends._FORGOTTEN_S", 0.5)
    launch = host.launch()
    launch.poll()
    host.queue, host.is_there = listing(), True
    host.described = CommandResult(0, KNOWN.format(name=host.name), "")
    deadline = time.monotonic() + 20.0
    while "knows it" not in caplog.text and time.monotonic() < deadline:
        assert {state.phase for state in launch.poll().values()} == {LaunchPhase.RUNNING}
        time.sleep(0.02)
    assert "but qstat -j 5 knows it" in caplog.text
    launch.cancel(0.0)
    assert host.deleted == [["5"]]
    assert list(tmp_path.glob(".imp_parallel-*")) == []


def test_a_job_that_neither_qstat_nor_qstat_j_knows_counts_as_deleted_late(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = host.launch()
    launch.poll()
    host.queue = listing()
    for longer_than_it_takes, phase in ((False, LaunchPhase.RUNNING), (True, LaunchPhase.ENDED)):
        if longer_than_it_takes:
            monkeypatch.setattr("imp_parallel_batch._task_ends._FORGOTTEN_S", 0.0)
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline and host.asked.count("qacct") < 2 + longer_than_it_takes:
            states = launch.poll()
            time.sleep(0.02)
        assert {state.phase for state in states.values()} == {phase}
    assert "it may have been deleted" in states[3].detail
    launch.cancel(0.0)


ACCOUNT = """\
==============================================================
jobname      {name}
jobnumber    5
taskid       {task}
qsub_time    {time}
failed       {failed}
exit_status  0
"""


def states_after(launch: BatchLaunch, host: MadeUpHost, questions: int) -> dict[int, LaunchState]:
    """Return the states when the accounting has been asked so often, or after 10 s."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        states = dict(launch.poll())
        if host.asked.count("qacct") >= questions:
            break
        time.sleep(0.02)
    return states


def test_records_of_older_jobs_with_the_number_and_of_runs_before_the_last_are_no_ends(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = host.launch(2)
    launch.poll()
    host.queue = listing()
    now = time.ctime()
    old = ACCOUNT.format(name="older", task=1, time="Sun Nov 29 01:57:52 2020", failed=0)
    moved = ACCOUNT.format(name=host.name, task=2, time=now, failed="25  : rescheduling")
    host.accounting = old + moved
    states = states_after(launch, host, 2)
    assert {state.phase for state in states.values()} == {LaunchPhase.RUNNING}
    host.accounting += ACCOUNT.format(name=host.name, task=2, time=now, failed="100 : killed")
    states = states_after(launch, host, 3)
    assert states[3].phase is LaunchPhase.RUNNING
    assert "exit code 0; failed 100 : killed" in states[4].detail
    launch.cancel(0.0)


@pytest.mark.parametrize(("years", "phase"), [(0, LaunchPhase.ENDED), (-1, LaunchPhase.RUNNING)])
def test_of_jobs_with_the_name_that_the_user_gave_only_this_runs_record_counts(
    host: MadeUpHost, years: int, phase: LaunchPhase
) -> None:
    launch = host.launch(1, "-N mine")
    launch.poll()
    host.queue = listing()
    year = time.localtime().tm_year
    then = time.ctime().replace(str(year), str(year + years))
    host.accounting = ACCOUNT.format(name="mine", task=1, time=then, failed=0)
    assert states_after(launch, host, 1)[3].phase is phase
    launch.cancel(0.0)


def test_tasks_that_qstat_does_not_list_but_that_run_are_waited_for(host: MadeUpHost) -> None:
    host.queue = listing((5, "r", "q@h", "1-2:1"), (5, "qw", "", "3-4:1"))
    launch = host.launch(4)
    launch.poll()
    host.queue = listing((5, "qw", "", "3"))
    running = (
        "usage         1:            cpu=00:00:00, mem=0.00000 GB s\nbinding       2:   NONE\n"
    )
    host.described = CommandResult(0, KNOWN.format(name=host.name) + running, "")
    states = states_after(launch, host, 2)  # (for 3 s a task may be missing)
    phases = [states[index].phase for index in (3, 4, 5, 6)]
    assert phases == [
        LaunchPhase.RUNNING,
        LaunchPhase.RUNNING,
        LaunchPhase.QUEUED,
        LaunchPhase.ENDED,
    ]
    host.queue = listing()
    launch.cancel(0.0)


def test_an_answer_of_qsub_that_is_not_understood_is_no_refusal(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._submission._PAUSE_S", 0.0)
    host.submitted = CommandResult(0, "Thank you!\n17\n", "")
    with pytest.raises(LaunchError) as caught:
        host.launch()
    assert host.name in str(caught.value)
    assert "| Thank you!" in str(caught.value)
    assert "refused" not in str(caught.value)

    def described(argv: Sequence[str], **more: object) -> CommandResult:
        if argv[:2] == ["qstat", "-j"]:
            other = KNOWN.format(name="other").replace("5\n", "4\n")
            host.described = CommandResult(0, KNOWN.format(name=argv[2]) + other, "")
        return run(argv, **more)  # type: ignore[arg-type]  # passed through

    run = host.run
    monkeypatch.setattr(host, "run", described)
    launch = host.launch()
    assert launch.job == "5"
    assert "job 5 (imp_parallel-" in caplog.text
    assert "| Thank you!" in caplog.text
    host.queue = listing()
    launch.cancel(0.0)


def test_a_submission_that_hangs_is_reported_ever_more_seldom(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imp_parallel_batch._submission._FIRST_S", 0.2)
    run = host.run

    def said() -> list[logging.LogRecord]:
        return [record for record in caplog.records if "has not answered" in record.getMessage()]

    def slow(argv: Sequence[str], **more: object) -> CommandResult:
        if argv[0] == "qsub":
            wait_until(lambda: len(said()) == 3)
            raise TimeoutError("qsub did not end within 3 s")
        return run(argv, **more)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(host, "run", slow)
    monkeypatch.setattr("imp_parallel_batch._submission._PAUSE_S", 0.0)
    host.described = CommandResult(1, "", "")
    with pytest.raises(LaunchError, match="did not end within 3 s"):
        host.launch()
    waited_s = [float(str(record.args[1])) for record in said() if isinstance(record.args, tuple)]
    assert all(after >= 3 * before for before, after in itertools.pairwise(waited_s))
    assert len(waited_s) >= 3


def test_tasks_that_are_withdrawn_are_deleted_in_ranges_and_find_no_document(
    host: MadeUpHost, tmp_path: Path, asked_at_each_poll: None
) -> None:
    host.queue = listing((5, "qw", "", "1-9:1"))
    launch = host.launch(9)
    launch.poll()
    launch.withdraw([11, 10, 9, 6])  # tasks 9, 8, 7 and 4
    assert host.deleted == [["5", "-t", "4-4"], ["5", "-t", "7-9"]]
    left = {path.name for path in tmp_path.glob(".imp_parallel-*/[0-9]*")}
    assert left == {"1", "2", "3", "5", "6"}
    host.queue = listing((5, "qw", "", "1-3:1,5,6"))
    launch.poll()
    assert "qacct" not in host.asked, "nobody wants to know how they ended"
    host.queue = listing()
    launch.cancel(0.0)


def test_a_failing_qstat_ends_no_slave(host: MadeUpHost, asked_at_each_poll: None) -> None:
    launch = host.launch()
    launch.poll()
    host.problem = TimeoutError("qstat did not end within 15 s")
    host.queue = ""
    assert {state.phase for state in launch.poll().values()} == {LaunchPhase.RUNNING}
    host.problem, host.queue = None, listing()
    launch.cancel(0.0)


def test_a_host_that_can_not_be_reached_ends_no_slave_and_the_documents_come_back_with_it(
    host: MadeUpHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_at_each_poll: None
) -> None:
    launch = host.launch()
    launch.poll()
    launch.note_connections([3, 4], [])
    assert not list(tmp_path.glob(".imp_parallel-*/[0-9]"))
    launch.note_connections([], [3, 4])
    with monkeypatch.context() as broken:

        def fail(*arguments: object, **more: object) -> None:
            raise LaunchError("can't connect to login")

        for name in ("run", "remove_files", "write_files", "read_file"):
            broken.setattr(host, name, fail)
        assert {state.phase for state in launch.poll().values()} == {LaunchPhase.RUNNING}
        assert launch.log_tail(3) == ""
    launch.poll()
    assert len(list(tmp_path.glob(".imp_parallel-*/[0-9]"))) == 2
    host.queue = listing()
    launch.cancel(0.0)


def test_a_job_that_can_not_be_deleted_is_named_and_its_documents_are_not_left(
    host: MadeUpHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)
    launch = host.launch()
    with pytest.raises(LaunchError, match="qdel 5"):
        launch.cancel(0.1)
    assert [path.name for path in tmp_path.glob(".imp_parallel-*/[0-9]*")] == []
    assert host.asked.count("qdel") >= 1


def test_what_grid_engine_is_deleting_is_left_to_it(
    host: MadeUpHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)
    host.queue = listing((5, "dr", "q@h", "1-2:1"))
    launch = host.launch()
    with caplog.at_level(logging.WARNING, "imp_parallel.sge"):
        launch.cancel(0.0)
    assert "job 5 is deleted" in caplog.text
    assert list(tmp_path.glob(".imp_parallel-*")) == []


def test_a_job_that_qstat_j_describes_as_another_is_never_deleted(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    launch = host.launch()
    launch.poll()
    host.is_there = True
    host.described = CommandResult(0, KNOWN.format(name="precious"), "")
    launch.withdraw([3])
    launch.cancel(0.0)
    assert host.deleted == []
    assert "job 5 is not this run's, and is not deleted" in caplog.text


def test_no_job_is_deleted_while_it_is_not_known_whose_it_is(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)
    launch = host.launch()
    host.described = CommandResult(1, "", "error: commlib error: got read error")
    with pytest.raises(LaunchError, match="qstat -j 5 does not answer"):
        launch.cancel(0.0)
    assert host.deleted == []


def test_nothing_is_left_of_an_array_that_was_refused(host: MadeUpHost, tmp_path: Path) -> None:
    host.submitted = CommandResult(1, "", "Unable to run job: no.\nExiting.\n")
    with pytest.raises(LaunchError) as caught:
        host.launch()
    assert caught.value.exit_code == 1
    assert caught.value.output == "Unable to run job: no.\nExiting."
    assert caught.value.command[0] == "qsub"
    assert list(tmp_path.iterdir()) == []


def test_of_a_long_answer_of_qsub_the_beginning_and_the_end_are_quoted(host: MadeUpHost) -> None:
    lines = ["no", *["x" * 10_000] * 500, "Exiting."]
    host.submitted = CommandResult(1, "", "\n".join(lines))
    with pytest.raises(LaunchError) as caught:
        host.launch()
    for text in (str(caught.value), caught.value.output):
        assert "no\n" in text
        assert "Exiting." in text
        assert "482 more lines" in text
        assert len(text) < 10_000
