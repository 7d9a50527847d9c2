"""What Grid Engine prints is read as it is meant, or not at all."""

from __future__ import annotations

import time

import pytest
from imp_parallel_batch import BatchEnd, BatchTask
from imp_parallel_sge._hostfile import Grant, parse_hostfile
from imp_parallel_sge._queue_list import (
    parse_accounting,
    parse_error_reasons,
    parse_queue,
    parse_running_tasks,
    parse_scheduling,
    parse_submission,
    parse_verification,
    says_that_it_is_gone,
    task_of,
)

from imp_parallel_core import LaunchPhase

NAME = "imp & more"
ENTRY = """<job_list state="{kind}">
  <JB_job_number>{job}</JB_job_number><JB_name>imp &amp; more</JB_name><state>{state}</state>
  <queue_name>{queue}</queue_name><slots>1</slots><tasks>{tasks}</tasks>
</job_list>"""


def listing(*entries: tuple[int, str, str, str]) -> str:
    rows = [
        ENTRY.format(
            kind="running" if queue else "pending", job=job, state=state, queue=queue, tasks=tasks
        )
        for job, state, queue, tasks in entries
    ]
    text = "".join(rows)
    return f"<?xml version='1.0'?>\n<job_info><queue_info>{text}</queue_info><job_info/></job_info>"


def test_tasks_are_found_by_job_and_number() -> None:
    jobs = parse_queue(
        listing((13, "r", "all.q@h1", "1"), (13, "qw", "", "2,5-9:2"), (14, "Eqw", "", "1-2:1"))
    )
    assert jobs == {
        "13": {
            1: task_of("r", "all.q@h1", NAME),
            **dict.fromkeys((2, 5, 7, 9), task_of("qw", "", NAME)),
        },
        "14": dict.fromkeys((1, 2), task_of("Eqw", "", NAME)),
    }


@pytest.mark.parametrize(
    "text",
    [
        "4.1-2:1\r\n",
        "4.1-2:1  \t\n",
        'Your job-array 4.1-2:1 ("imp_parallel-0a1b") has been submitted\n',
        "Welcome to the cluster\n17\n4.1-2:1\nyour quota: 12\n",
        'Quota: 3.1-2\r\nYour job-array 4.1-2:1 ("my job") has been submitted\r\n',
        "job 4.1-2:1 is yours",
    ],
)
def test_qsubs_answer_is_understood_whatever_is_around_it(text: str) -> None:
    assert parse_submission(text, 2) == {"4"}


def test_all_arrays_of_the_size_that_qsub_speaks_of_are_told() -> None:
    text = '4.1-2:1\nreminder: your job-array 2.1-2:1 ("precious") is still running\n'
    assert parse_submission(text, 2) == {"2", "4"}


@pytest.mark.parametrize("text", ["17\n", "4.1-3:1", "4.1-2:10", "1.4.1-2:1", "", "thanks, 4"])
def test_a_number_that_is_not_the_arrays_is_not_taken_for_the_job(text: str) -> None:
    assert parse_submission(text, 2) == set()


def test_words_around_qstats_xml_are_passed_over() -> None:
    text = "Maintenance on <Monday>\n" + listing((5, "r", "q@h", "1")) + "\nhave a nice day\n"
    assert parse_queue(text) == {"5": {1: task_of("r", "q@h", NAME)}}


def test_an_empty_queue_is_no_jobs_and_anything_else_is_an_error() -> None:
    assert parse_queue(listing()) == {}
    for text in ("", "<job_info>", "error: commlib", "<other/>", listing((1, "r", "q", "x"))):
        with pytest.raises(ValueError):
            parse_queue(text)


@pytest.mark.parametrize(
    ("words", "is_gone"),
    [
        ('denied: job "5" does not exist\n', True),
        ("Following jobs do not exist: \n5\n", True),
        ("Following jobs do not exist or permissions are not sufficient: \n5\n", True),
        ('reminder: job "4" does not exist any more\nuser has registered the job 5', False),
        ("Following jobs do not exist: \n55\n", False),
    ],
)
def test_only_what_is_said_of_a_job_itself_tells_that_it_is_gone(words: str, is_gone: bool) -> None:
    assert says_that_it_is_gone(words, "5") == is_gone


@pytest.mark.parametrize(
    ("state", "phase", "said"),
    [
        ("qw", LaunchPhase.QUEUED, "qw"),
        ("hqw", LaunchPhase.QUEUED, "hqw (is held)"),
        ("Eqw", LaunchPhase.ENDED, "Eqw"),
        ("Ehqw", LaunchPhase.ENDED, "Ehqw (is held)"),
        ("r", LaunchPhase.RUNNING, ""),
        ("t", LaunchPhase.RUNNING, "t (is being transferred) in q@h"),
        ("dr", LaunchPhase.RUNNING, "dr (is being deleted) in q@h"),
        ("Rr", LaunchPhase.RUNNING, "Rr (is restarted) in q@h"),
        ("s", LaunchPhase.SUSPENDED, "s (is suspended) in q@h"),
        ("T", LaunchPhase.SUSPENDED, "T (is suspended by a threshold) in q@h"),
        ("S", LaunchPhase.SUSPENDED, "S (is suspended with its queue) in q@h"),
    ],
)
def test_each_state_of_a_task_is_told(state: str, phase: LaunchPhase, said: str) -> None:
    expected = BatchTask(phase, said, mark="imp", is_ending="d" in state)
    assert task_of(state, "q@h", "imp") == expected


DESCRIPTION = """\
job_type:                   NONE
error reason    1:          11/23/2026 04:52:08 [0:31223]: error: can't chdir to /a: No such file
error reason          2:      11/23/2026 04:52:08 [0:31223]: exit 100
scheduling info:            queue instance "all.q@vm" dropped because it is full
                            Job is in error state
"""


def test_reasons_are_found_in_a_jobs_description() -> None:
    assert parse_error_reasons(DESCRIPTION) == {
        1: "can't chdir to /a: No such file",
        2: "exit 100",
    }
    expected = 'queue instance "all.q@vm" dropped because it is full; Job is in error state'
    assert parse_scheduling(DESCRIPTION) == expected
    assert parse_scheduling("nothing") == ""
    many = "scheduling info: " + "\n".join(f"reason {number}" for number in range(9))
    assert parse_scheduling(many).endswith("reason 2; and 6 more reasons")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'Job 1 (-l arch=odd) cannot run at host "vm" because it offers only hl:arch=lx-amd64\n'
            "Job 1 cannot run in PE\nverification: no suitable queues\n",
            '(-l arch=odd) cannot run at host "vm" because it offers only hl:arch=lx-amd64; '
            "cannot run in PE",
        ),
        ("verification: no suitable queues\n", "qalter -w v finds no suitable queues"),
        ("verification: found suitable queue(s)\n", "finds suitable queues, so these are full"),
        ("verification: job is already running or is held\n", ""),
        ("", ""),
    ],
)
def test_why_a_job_can_not_start_is_found_in_a_verification(text: str, expected: str) -> None:
    found = parse_verification(text)
    assert expected in found
    assert bool(expected) == bool(found)


def test_ends_are_found_in_the_accounting() -> None:
    text = """\
==============================================================
qname        all.q
jobname      imp_parallel-0a1b
jobnumber    13
taskid       1
qsub_time    {time}
failed       100 : assumedly after job
exit_status  137                  (Killed)
==============================================================
taskid       undefined
failed       0
exit_status  0
==============================================================
taskid       2
failed       0    
exit_status  0
""".replace("{time}", time.ctime(1e9))  # noqa: W291 - as it is printed
    accounts = parse_accounting(text)
    assert accounts == [
        BatchEnd(1, 137, "failed 100 : assumedly after job", True, "imp_parallel-0a1b", 1e9),
        BatchEnd(2, 0, "", True, "", None),
    ]
    assert parse_accounting("error: job id 13 not found") == []


@pytest.mark.parametrize(
    ("failure", "is_end"),
    [
        ("", True),
        ("24 : migrating", False),
        ("25 : rescheduling", False),
        ("26 : opening output file", False),
        ("100 : assumedly after job", True),
        ("2 : before writing config", True),
    ],
)
def test_a_task_that_is_started_anew_has_not_ended(failure: str, is_end: bool) -> None:
    record = f"taskid 1\nexit_status 0\nfailed {failure or '0'}\n"
    assert [run.is_end for run in parse_accounting(record)] == [is_end]


def test_a_time_is_understood_as_either_version_of_qacct_writes_it() -> None:
    record = "taskid 1\nexit_status 0\nqsub_time {}\n"
    moment = time.localtime(1e9)
    for form in ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S.250", "%a %b %d %H:%M:%S %Y"):
        (account,) = parse_accounting(record.format(time.strftime(form, moment)))
        assert account.submitted_at == 1e9
    for form in ("", "-/-", "13/40/2020 00:00:00", "yesterday"):
        (account,) = parse_accounting(record.format(form))
        assert account.submitted_at is None


def test_the_tasks_that_run_are_found_in_a_jobs_description() -> None:
    text = "job-array tasks: 1-12:1\nusage         1:  cpu=00:00:00\nbinding       9:  NONE\n"
    assert parse_running_tasks(text) == {1, 9}


def test_a_host_file_gives_hosts_and_slots() -> None:
    text = "h1.lab.org 2 all.q@h1 UNDEFINED\nh2 1 all.q@h2 <NULL>\n\n"
    assert parse_hostfile(text) == [Grant("h1.lab.org", 2), Grant("h2", 1)]
    for bad in ("", "h1\n", "h1 none q\n", "h1 0 q\n"):
        with pytest.raises(ValueError, match=r"is empty|can't be read"):
            parse_hostfile(bad)
