"""What Slurm prints is read as it is meant, or not at all. The answers are those of 22.05."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_batch import Array, BatchEnd, BatchTask
from imp_parallel_slurm import SlurmSlaveArray
from imp_parallel_slurm._slots import slots_in
from imp_parallel_slurm._slurm import Slurm
from imp_parallel_slurm._squeue import END, ends_in, rows_in
from imp_parallel_slurm._srun_words import TaskEnd, lines_for, waits_in
from imp_parallel_slurm._srun_words import ends_in as srun_ends_in

from imp_parallel_core import CommandResult, LaunchPhase, Manager

SLURM = Slurm()
HEAD = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|REASON|NODELIST|COMMENT|NAME\n"
MARK = "imp_parallel-0a1b|imp_parallel-0a1b"


def array(*options: str, size: int = 3, cwd: str = "/data/my run") -> Array:
    early = ".imp_parallel-0a1b/%a.early"
    folder = f"{cwd}/.imp_parallel-0a1b"
    return Array("imp_parallel-0a1b", size, options, "#!/bin/bash\n", early, folder, cwd)


def answer(stdout: str = "", stderr: str = "", exit_code: int = 0) -> CommandResult:
    return CommandResult(exit_code, stdout, stderr)


def listed(*lines: str) -> CommandResult:
    return answer(HEAD + "".join(line + "\n" for line in lines) + f"{END}\n")


def test_the_tasks_of_all_arrays_are_found_by_job_and_number() -> None:
    done = listed(
        f"44|1|RUNNING|None|node1|{MARK}",
        f"44|2|PENDING|Resources||{MARK}",
        f"44|3|COMPLETING|None|node2|{MARK}",
        "45|7|PENDING|JobHeldUser||(null)|other",
        "46|N/A|RUNNING|None|node1|(null)|no array",
    )
    assert SLURM.tasks_in(done) == {
        "44": {
            1: BatchTask(LaunchPhase.RUNNING, "", "", MARK),
            2: BatchTask(LaunchPhase.QUEUED, "PENDING", "Resources", MARK),
            3: BatchTask(
                LaunchPhase.RUNNING, "COMPLETING (is ending) on node2", "", MARK, is_ending=True
            ),
        },
        "45": {
            7: BatchTask(LaunchPhase.QUEUED, "PENDING (is held)", "JobHeldUser", "(null)|other")
        },
        "46": {},
    }


@pytest.mark.parametrize(
    ("state", "reason", "phase"),
    [
        ("PENDING", "launch_failed_requeued_held", LaunchPhase.ENDED),
        ("SPECIAL_EXIT", "None", LaunchPhase.ENDED),
        ("CONFIGURING", "None", LaunchPhase.QUEUED),
        ("REQUEUE_HOLD", "None", LaunchPhase.QUEUED),
        ("SUSPENDED", "None", LaunchPhase.SUSPENDED),
        ("A_STATE_OF_A_LATER_SLURM", "None", LaunchPhase.RUNNING),
    ],
)
def test_a_state_is_read_as_what_it_means_for_a_slave(
    state: str, reason: str, phase: LaunchPhase
) -> None:
    ((task,),) = (SLURM.tasks_in(listed(f"4|1|{state}|{reason}|n1|a|b"))["4"].values(),)
    assert task.phase is phase
    assert state in task.detail


def test_a_task_that_has_ended_is_in_no_list() -> None:
    states = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"]
    done = listed(*(f"4|{at}|{state}|None|n1|a|b" for at, state in enumerate(states, 1)))
    assert SLURM.tasks_in(done) == {}
    assert list(SLURM.descriptions_in(done, "4")) == []


@pytest.mark.parametrize(
    "done",
    [
        answer("slurm_load_jobs error: Unable to contact slurm controller", "", 1),
        answer(""),
        answer("Welcome to the cluster\n"),
        answer(HEAD + f"44|1|RUNNING|None|node1|{MARK}\n44|2|RUN"),
        answer(HEAD),
    ],
)
def test_nothing_is_concluded_from_what_is_no_whole_list(done: CommandResult) -> None:
    with pytest.raises(ValueError):
        SLURM.tasks_in(done)
    with pytest.raises(ValueError):
        SLURM.descriptions_in(done, "44")


def test_a_sites_own_words_and_a_jobs_odd_name_hinder_no_other_job() -> None:
    odd = "4|1|RUNNING|None|n1|(null)|a name\nof two lines"
    text = f"Welcome\n{HEAD}{odd}\n5|2|PENDING|Priority||{MARK}\n{END}\n"
    assert [(row.job, row.task) for row in rows_in(text)] == [("4", 1), ("5", 2)]


def test_a_job_is_described_with_its_reasons_and_by_what_nobody_else_has() -> None:
    done = listed(
        f"44|1|RUNNING|None|node1|{MARK}",
        f"44|2|PENDING|Priority||{MARK}",
        f"44|3|PENDING|Resources||{MARK}",
        f"44|4|PENDING|launch_failed_requeued_held||{MARK}",
    )
    (described,) = SLURM.descriptions_in(done, "44")
    assert described.job == "44"
    assert "imp_parallel-0a1b" in described.text
    assert described.running == [1]
    assert described.reason == "Priority; Resources"
    assert described.errors == {4: "launch_failed_requeued_held"}


def test_a_job_that_slurm_does_not_know_is_not_there() -> None:
    done = answer("", "slurm_load_jobs error: Invalid job id specified\n", 1)
    assert SLURM.descriptions_in(done, "1234") == []


def test_the_ends_of_tasks_are_told_with_state_reason_and_code() -> None:
    text = (
        "1         FAILED              768       NonZeroExitCode                         \n"
        "2         CANCELLED           9         None                                    \n"
        "3         TIMEOUT             0:15      TimeLimit                               \n"
        "4         FAILED              4021      JobLaunchFailure                        \n"
        "5         RUNNING             0         None                                    \n"
        "6         COMPLETED           0         None                                    \n"
        "7         NODE_FAIL           what      None                                    \n"
        "slurm_load_jobs error: something\n"
    )
    assert list(ends_in(text)) == [
        BatchEnd(1, 3),
        BatchEnd(2, 137, "CANCELLED"),
        BatchEnd(3, 143, "TIMEOUT: TimeLimit"),
        BatchEnd(4, 128 + 53, "FAILED: JobLaunchFailure"),
        BatchEnd(6, 0),
    ]


@pytest.mark.parametrize(
    "text", ["44\n", "44;cluster\n", "Welcome\n44\n", "44 \r\n", "sbatch: lua: hello\n44\nbye\n"]
)
def test_sbatchs_answer_is_understood_whatever_is_around_it(text: str) -> None:
    assert SLURM.submitted(answer(text), array()).job == "44"


def test_sbatchs_refusal_is_certain_and_its_doubt_is_none() -> None:
    words = "sbatch: error: Batch job submission failed: Invalid job array specification\n"
    refused = SLURM.submitted(answer("", words, 1), array())
    assert "exit code 1" in refused.refusal
    assert "MaxArraySize" in refused.advice
    assert not refused.job
    words = "sbatch: error: Unable to contact slurm controller (connect failure)\n"
    not_reached = SLURM.submitted(answer("", words, 1), array())
    assert not_reached.refusal == (
        "sbatch could not reach slurmctld, the controller: exit code 1\n"
        "More: imp-parallel explain slurmctld-unreachable"
    )
    assert "scontrol ping" in not_reached.advice
    assert SLURM.submitted(answer("", "", 255), array()).refusal
    assert SLURM.submitted(answer("44\n", "", 1), array()).doubt
    assert SLURM.submitted(answer("what?\n"), array()).doubt


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: _establish_config_source: failed to fetch config\n"
        "sbatch: fatal: Could not establish a configuration source\n",
        "sbatch: error: ClusterName needs to be specified\n"
        "sbatch: fatal: Unable to process configuration file\n",
    ],
)
def test_an_sbatch_without_settings_is_not_taken_for_wrong_options(words: str) -> None:
    told = SLURM.submitted(answer("", words, 1), array())
    assert told.refusal == (
        "Slurm is not set up where sbatch was run: exit code 1\n"
        "More: imp-parallel explain slurm-not-set-up"
    )
    assert told.is_untold
    assert "module load slurm" in told.advice
    assert "options" not in told.advice


def words_of(*options: str, **more: object) -> list[str]:
    command = SLURM.submission(array(*options, **more))  # type: ignore[arg-type]  # passed through
    return list(command.argv)[list(command.argv).index("sbatch") :]


def test_an_array_is_submitted_with_all_that_it_depends_on() -> None:
    assert words_of("--mem=4G") == [
        "sbatch",
        "--parsable",
        "--array=1-3",
        "--job-name=imp_parallel-0a1b",
        "--chdir=/data/my run",
        "--output=/data/my run/.imp_parallel-0a1b/%a.early",
        "--mem=4G",
        "--comment=imp_parallel-0a1b",
    ]
    assert SLURM.submission(array()).input == "#!/bin/bash\n"
    assert SLURM.submission(array()).program == "sbatch"


@pytest.mark.parametrize(
    "options", [["--comment=mine"], ["--comment", "not this", "--comment", "mine"]]
)
def test_a_comment_of_the_users_keeps_the_array_known(options: list[str]) -> None:
    assert words_of(*options)[-1] == "--comment=mine imp_parallel-0a1b"


@pytest.mark.parametrize("options", [["-J", "mine"], ["--job-name=mine"], ["-Jmine"]])
def test_the_jobs_name_is_the_users_if_there_is_one(options: list[str]) -> None:
    assert SLURM.job_name(array(*options)) == "mine"
    assert SLURM.job_name(array()) == "imp_parallel-0a1b"


@pytest.mark.parametrize(
    ("given_one", "used"),
    [
        ("--signal=USR1@60", "B:USR1@60"),
        ("--signal=B:SIGTERM@30", "B:TERM@30"),
        ("--signal=R:15", "RB:15"),
    ],
)
def test_a_warning_before_the_limit_reaches_the_slaves_script(given_one: str, used: str) -> None:
    assert words_of(given_one)[-2] == f"--signal={used}"


@pytest.mark.parametrize(
    "option",
    [
        *("-a", "-a1-3", "--array=1-3", "--arr=1", "-W", "-HW", "--wait", "--wrap=true"),
        *("-D/", "--chdir", "--test-only", "--tes", "-o", "--output=x", ":", "-Q", "-hM"),
    ],
)
def test_an_option_that_would_break_the_array_is_refused_at_once(option: str) -> None:
    with pytest.raises(ValueError, match="can't be used here"):
        SLURM.check_options(["--mem=1G", option])


def test_no_other_option_is_refused() -> None:
    options = "-p main -n 2 --wait-all-nodes=1 -c4 -J aWo --export=ALL -t 10 --signal=XCPU --hold"
    SLURM.check_options([*options.split(), "--comment=a -W: b", "-H", "-O"])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        *(("job.sh", "job.sh"), ("-c4 job.sh", "job.sh"), ("-p main job.sh --mem=1", "job.sh")),
        *(("--mem=4G job.sh", "job.sh"), ("--exclusive user", "user"), ("-H job.sh", "job.sh")),
        *(("-k job.sh", "job.sh"), ("--new job.sh", "job.sh"), ("--nice 5", "5")),
        *(("--mem=1G -- job.sh", "--"), ("-", "-"), ("-vHc 2 job.sh", "job.sh")),
    ],
)
def test_a_word_that_sbatch_would_run_as_a_script_is_refused(options: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word!r} .* take it for a script"):
        SlurmSlaveArray(1, options)


@pytest.mark.parametrize("options", ["--array=3", "job.sh"])
def test_standard_options_are_refused_as_an_arrays_own_are(options: str) -> None:
    class LabArray(SlurmSlaveArray):
        standard_options = options

    with Manager() as manager, pytest.raises(ValueError, match=options):
        manager.add_slave(LabArray(1))


@pytest.mark.parametrize("options", ["--mem=1 --time", "-HJ"])
def test_an_option_that_would_take_one_of_ours_for_its_value_is_refused(options: str) -> None:
    with pytest.raises(ValueError, match=f"option {options.split()[-1]} needs a value"):
        SlurmSlaveArray(1, options)


def test_values_may_be_words_of_their_own_or_look_like_options() -> None:
    options = "--mem 4G -HJ 'my job' --part main --comment -x --gres gpu:1 -n 2 --new=job.sh -k"
    SlurmSlaveArray(1, options)


@pytest.mark.parametrize("value", ["INT@60", "9", "USR1@", "B:HUP"])
def test_a_warning_that_no_slave_heeds_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="USR1, USR2, XCPU and TERM"):
        SLURM.check_options(["--signal", value])


@given(st.sets(st.integers(1, 40), min_size=1))
def test_tasks_are_deleted_by_their_ranges_and_no_others(numbers: set[int]) -> None:
    ranges = []
    for _, group in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in group]
        ranges.append(range(members[0], members[-1] + 1))
    (command,) = SLURM.deletion("44", ranges)
    job, _, rest = command.argv[-1].partition("_")
    named: set[int] = set()
    for part in rest.strip("[]").split(","):
        first, _, last = part.partition("-")
        named.update(range(int(first), int(last or first) + 1))
    assert (job, named) == ("44", numbers)


def test_a_whole_array_is_deleted_and_known_to_be_gone() -> None:
    (command,) = SLURM.deletion("44", [])
    assert list(command.argv[-2:]) == ["--verbose", "44"]
    gone = "scancel: error: Kill job error on job id 44: Invalid job id specified\n"
    assert SLURM.is_gone(answer("", gone), "44")
    assert not SLURM.is_gone(answer("", gone), "4")
    ending = "scancel: error: Kill job error on job id 44: Job/step already completing or completed"
    assert not SLURM.is_gone(answer("", ending), "44"), "it may be started anew"


@pytest.mark.parametrize(("count", "is_restarted"), [(None, False), ("0", False), ("2", True)])
def test_a_task_knows_whether_it_was_started_anew(count: str | None, is_restarted: bool) -> None:
    environment = {} if count is None else {"SLURM_RESTART_COUNT": count}
    command = ["bash", "-c", f"(({SLURM.restarted}))"]
    done = subprocess.run(command, env=environment, check=False)
    assert (done.returncode == 0) is is_restarted


@pytest.mark.parametrize(
    ("path", "can"), [("/data/my run", True), ("/a%u", False), ("/a\\b", False), ("/a\nb", False)]
)
def test_a_folder_is_used_if_sbatch_expands_nothing_in_it(path: str, can: bool) -> None:
    assert SLURM.can_use(path) is can


@pytest.mark.parametrize(
    ("text", "count"), [("3", 3), ("4(x2)", 8), ("4,1", 5), ("2(x3),1,5(x2)", 17)]
)
def test_the_task_slots_of_an_allocation_are_counted(text: str, count: int) -> None:
    environment = {"SLURM_JOB_ID": "5", "SLURM_TASKS_PER_NODE": text}
    assert slots_in(environment) == count
    assert slots_in({**environment, "SLURM_STEP_ID": "4294967290"}) == count  # salloc's own step


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "salloc --ntasks=N"),
        ({"SLURM_JOB_ID": "5"}, "SLURM_TASKS_PER_NODE can't be read"),
        ({"SLURM_JOB_ID": "5", "SLURM_TASKS_PER_NODE": "0"}, "SLURM_TASKS_PER_NODE"),
        ({"SLURM_JOB_ID": "5", "SLURM_TASKS_PER_NODE": "1", "SLURM_STEP_ID": "0"}, "without srun"),
    ],
)
def test_what_is_no_allocation_for_slaves_is_said(environment: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", "\\(")):
        slots_in(environment)


SRUN = """\
2: words
 0: bash: /data/script: Permission denied
srun: error: node1: task 0: Exited with exit code 13
srun: error: node1: tasks 1,3-4: Killed
srun: error: node2: task 5: Segmentation fault (core dumped)
srun: Force Terminated StepId=41.0
"""


def test_srun_tells_how_tasks_have_ended() -> None:
    killed = TaskEnd("Killed", None)
    assert srun_ends_in(SRUN) == {
        0: TaskEnd("Exited with exit code 13", 13),
        1: killed,
        3: killed,
        4: killed,
        5: TaskEnd("Segmentation fault (core dumped)", None),
    }


def test_a_task_is_told_its_own_words_and_those_that_are_for_all() -> None:
    assert list(lines_for(0, SRUN)) == [
        "bash: /data/script: Permission denied",
        "srun: error: node1: task 0: Exited with exit code 13",
        "srun: Force Terminated StepId=41.0",
    ]


def test_an_srun_that_waits_says_why_until_it_goes_on() -> None:
    busy = "srun: Job 41 step creation temporarily disabled, retrying (Requested nodes are busy)"
    assert waits_in(f"{busy}\n") == busy
    assert waits_in(f"{busy}\nsrun: Step created for StepId=41.1\n") == ""
    assert waits_in("0: anything\n") == ""


def test_a_script_can_be_looked_at_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    script = SlurmSlaveArray(3, "--mem=4G").job_script()
    assert script.startswith("#!/bin/bash\n")
    assert "SLURM_ARRAY_TASK_ID" in script
    assert "slave2.output" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
