"""Slurm as a batch system of the kit, by what Slurm 22.05.8 has printed."""

from __future__ import annotations

from imp_parallel_batch import Array
from imp_parallel_batch.testing import Samples, check_batch_system
from imp_parallel_slurm._slurm import Slurm

from imp_parallel_core import CommandResult, LaunchPhase

NAME = "imp_parallel-0a1b2c3d"
HEAD = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|REASON|NODELIST|COMMENT|NAME\n"
ROWS = f"""\
17|3|PENDING|Resources||{NAME}|{NAME}
17|4|PENDING|Resources||{NAME}|{NAME}
17|1|RUNNING|None|node1|{NAME}|{NAME}
17|2|COMPLETING|None|node2|{NAME}|{NAME}
"""
END = "(the end of the list)\n"
OTHERS = """\
18|7|SUSPENDED|None|node1|(null)|other
19|N/A|RUNNING|None|node2|(null)|interactive
"""
ENDS = """\
2           CANCELLED               9               None
1           FAILED                  768             NonZeroExitCode
3           TIMEOUT                 15              TimeLimit
4           RUNNING                 0               None
"""
UNKNOWN = CommandResult(1, "", "slurm_load_jobs error: Invalid job id specified\n")
SAMPLES = Samples(
    array=Array(NAME, 4, ["--mem=1G"], "sleep 20\n", "/a/f/%a.early", "/a/f", "/a"),
    submitted=[
        (CommandResult(0, "17\n", ""), "17"),
        (CommandResult(0, "17;cluster\n", "sbatch: lua: welcome\n"), "17"),
    ],
    refused=[
        CommandResult(
            255, "", "sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more\n"
        ),
        CommandResult(
            1, "", "sbatch: error: Batch job submission failed: Invalid job array specification\n"
        ),
    ],
    unreachable=[
        CommandResult(
            1,
            "",
            "sbatch: error: Batch job submission failed: "
            "Unable to contact slurm controller (connect failure)\n",
        ),
        CommandResult(
            1,
            "",
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
        ),
    ],
    listed=[
        (
            CommandResult(0, HEAD + ROWS + OTHERS + END, ""),
            {
                "17": {
                    **dict.fromkeys((1, 2), LaunchPhase.RUNNING),
                    **dict.fromkeys((3, 4), LaunchPhase.QUEUED),
                },
                "18": {7: LaunchPhase.SUSPENDED},
                "19": {},
            },
        ),
        (CommandResult(0, HEAD + END, ""), {}),
    ],
    described=[
        (CommandResult(0, HEAD + ROWS + END, ""), "17"),
        (CommandResult(0, HEAD + ROWS + END, ""), NAME),
    ],
    gone=[
        (UNKNOWN, "17"),
        (CommandResult(0, HEAD + f"17|1|COMPLETED|None|node1|{NAME}|{NAME}\n" + END, ""), "17"),
        (CommandResult(0, HEAD + END, ""), NAME),
    ],
    accounted=[(CommandResult(0, ENDS, ""), {1: 3, 2: 137, 3: 143}), (UNKNOWN, {})],
)


def test_slurm_is_a_batch_system_of_the_kit() -> None:
    check_batch_system(Slurm(), SAMPLES)
