"""Grid Engine as a batch system of the kit, by what Grid Engine 8.1.9 has printed."""

from __future__ import annotations

import pytest
from imp_parallel_batch import Array
from imp_parallel_batch.testing import Samples, check_batch_system
from imp_parallel_sge._system import GRID_ENGINE

from imp_parallel_core import CommandResult, LaunchPhase

NAME = "imp_parallel-0a1b2c3d"
RUNNING = """\
    <job_list state="running">
      <JB_job_number>17</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>imp_parallel-0a1b2c3d</JB_name>
      <JB_owner>somebody</JB_owner>
      <state>r</state>
      <JAT_start_time>2026-11-29T05:52:21</JAT_start_time>
      <queue_name>main.q@vm</queue_name>
      <slots>1</slots>
      <tasks>1</tasks>
    </job_list>
"""
LIST = f"""\
<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
{RUNNING}{RUNNING.replace("<tasks>1<", "<tasks>2<")}\
  </queue_info>
  <job_info>
    <job_list state="pending">
      <JB_job_number>17</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>imp_parallel-0a1b2c3d</JB_name>
      <JB_owner>somebody</JB_owner>
      <state>qw</state>
      <JB_submission_time>2026-11-29T05:52:21</JB_submission_time>
      <queue_name></queue_name>
      <slots>1</slots>
      <tasks>9-12:1</tasks>
    </job_list>
    <job_list state="pending">
      <JB_job_number>2</JB_job_number>
      <JAT_prio>0.00000</JAT_prio>
      <JB_name>another</JB_name>
      <JB_owner>somebody</JB_owner>
      <state>hqw</state>
      <JB_submission_time>2026-11-29T05:52:21</JB_submission_time>
      <queue_name></queue_name>
      <slots>1</slots>
    </job_list>
  </job_info>
</job_info>
"""
NO_JOBS = """\
<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
  </queue_info>
  <job_info>
  </job_info>
</job_info>
"""
DESCRIPTION = """\
==============================================================
job_number:                 17
exec_file:                  job_scripts/17
submission_time:            Sun Nov 29 05:52:21 2026
owner:                      somebody
cwd:                        /home/somebody
merge:                      y
hard resource_list:         h_rt=600
job_name:                   imp_parallel-0a1b2c3d
stdout_path_list:           NONE:NONE:out.$TASK_ID
script_file:                STDIN
job-array tasks:            1-12:1
context:                    imp_parallel=imp_parallel-0a1b2c3d
usage         1:            cpu=00:00:00, mem=0.00000 GB s, io=0.00003 GB, vmem=4.5M, maxvmem=4.5M
binding       1:            NONE
scheduling info:            queue instance "main.q@vm" dropped because it is full
                            All queues dropped because of overload or full
"""
ACCOUNT = """\
==============================================================
qname        main.q              
jobname      imp_parallel-0a1b2c3d
jobnumber    17                  
taskid       11                  
qsub_time    Sun Nov 29 05:52:21 2026
failed       100 : assumedly after job
exit_status  137                  (Killed)
ru_wallclock 4s
==============================================================
qname        main.q              
jobname      imp_parallel-0a1b2c3d
jobnumber    17                  
taskid       12                  
qsub_time    Sun Nov 29 05:52:21 2026
failed       25  : rescheduling
exit_status  0                   
ru_wallclock 4s
"""  # noqa: W291 - as Grid Engine prints it
SAMPLES = Samples(
    array=Array(NAME, 12, ["-l", "h_rt=600"], "sleep 20\n", "out.$TASK_ID", "/a/f", "/a"),
    submitted=[
        (CommandResult(0, "17.1-12:1\n", ""), "17"),
        (CommandResult(0, f'Your job-array 17.1-12:1 ("{NAME}") has been submitted\n', ""), "17"),
    ],
    refused=[
        CommandResult(2, "", 'qsub: invalid option argument "-bogus"\n'),
        CommandResult(1, "", 'Unable to run job: unknown resource "nothing"\nExiting.\n'),
        CommandResult(0, "job_number:      unassigned\nverify:          -verify\n", ""),
    ],
    unreachable=[
        CommandResult(
            1,
            "",
            "error: commlib error: got select error (Connection refused)\n"
            "Unable to run job: unable to send message to qmaster using port 6444 on host "
            '"head": got send error\nExiting.\n',
        ),
        CommandResult(
            1, "", 'error: unable to contact qmaster using port 6444 on host "head"\nExiting.\n'
        ),
        CommandResult(1, "", "Unable to run job: can't unpack gdi request\nExiting.\n"),
    ],
    listed=[
        (
            CommandResult(0, LIST, ""),
            {
                "17": {
                    **dict.fromkeys((1, 2), LaunchPhase.RUNNING),
                    **dict.fromkeys((9, 10, 11, 12), LaunchPhase.QUEUED),
                },
                "2": {},
            },
        ),
        (CommandResult(0, NO_JOBS, ""), {}),
    ],
    described=[
        (CommandResult(0, DESCRIPTION, ""), "17"),
        (CommandResult(0, DESCRIPTION, ""), NAME),
    ],
    gone=[
        (CommandResult(1, "", "Following jobs do not exist: \n17\n"), "17"),
        (CommandResult(1, "", f"Following jobs do not exist: \n{NAME}\n"), NAME),
    ],
    accounted=[
        (CommandResult(0, ACCOUNT, ""), {11: 137}),
        (CommandResult(1, "", "error: job id 17 not found\n"), {}),
    ],
)


def test_grid_engine_is_a_batch_system_of_the_kit() -> None:
    check_batch_system(GRID_ENGINE, SAMPLES)


ROOT = "/var/lib/gridengine"


@pytest.mark.parametrize(
    "words",
    [
        f'error: fopen("{ROOT}/default/common/act_qmaster") failed: No such file or directory\n\n'
        "Unable to initialize environment because of error: unable to read qmaster name: can't "
        f'open "{ROOT}/default/common/act_qmaster" for reading\nExiting.\n',
        "Unable to initialize environment because of error: SGE_ROOT directory "
        '"/nonexistent" doesn\'t exist\nExiting.\n',
        "Unable to initialize environment because of error: Please set the environment variable "
        "SGE_ROOT.\nExiting.\n",
    ],
)
def test_a_qsub_without_settings_is_not_taken_for_wrong_options(words: str) -> None:
    array = Array(NAME, 2, [], "#!/bin/bash\n", "$TASK_ID.early", "/data/folder", "/data")
    told = GRID_ENGINE.submitted(CommandResult(1, "", words), array)
    assert told.refusal == (
        "Grid Engine is not set up where qsub was run: exit code 1\n"
        "More: imp-parallel explain sge-not-set-up"
    )
    assert told.is_untold
    assert "settings.sh" in told.advice
    assert "options" not in told.advice


def test_a_qmaster_that_is_away_is_not_taken_for_missing_settings() -> None:
    words = (
        "error: commlib error: got select error (Connection refused)\nUnable to run job: unable to "
        'send message to qmaster using port 6444 on host "vm": got send error.\nExiting.\n'
    )
    array = Array(NAME, 2, [], "#!/bin/bash\n", "$TASK_ID.early", "/data/folder", "/data")
    told = GRID_ENGINE.submitted(CommandResult(1, "", words), array)
    assert "qmaster-unreachable" in told.refusal
    assert not told.is_untold
