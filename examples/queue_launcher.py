"""A whole plugin for a batch system, whose commands are called put, list and drop.

``put`` prints "job 7". ``list`` prints a line for each task: the job's number and name, the task's
number, its state, and why it waits; its last line is "end". ``drop`` takes a job's number, and
ranges of its tasks.
"""

import re

from imp_parallel_batch import (
    BatchSlaveArray,
    BatchSystem,
    BatchTask,
    Command,
    launch_array,
    output_of,
    understood,
)

from imp_parallel_core import LaunchPhase, hookimpl

PHASES = {
    "waits": LaunchPhase.QUEUED,
    "runs": LaunchPhase.RUNNING,
    "stopped": LaunchPhase.SUSPENDED,
    "failed": LaunchPhase.ENDED,
}


class Queue(BatchSystem):
    name = "the queue"
    key = "queue"
    programs = ("put", "list", "drop")
    advice = "Run the script where the queue's commands are in the PATH."
    task_variable = "TASK_NUMBER"
    task_pattern = "%t"
    reserved_options = {"--tasks": "the array's size is its first argument"}

    def submission(self, array):
        argv = ["put", "--name", array.name, "--output", array.early_output, *array.options]
        return Command([*argv, "--tasks", str(array.size)], input=array.script)

    def submitted(self, done, array):
        jobs = re.findall(r"^job (\d+)$", done.stdout, re.MULTILINE)
        return understood(done, jobs, program="put", advice="Compare the options with put --help.")

    def question(self):
        return Command(["list"])

    def tasks_in(self, done):
        *lines, last = output_of(done).splitlines() or [""]
        if last != "end":
            raise ValueError("the list is cut off")
        jobs = {}
        for line in lines:
            job, name, number, state, *reason = line.split(maxsplit=4)
            if state not in PHASES:
                raise ValueError(f"what is the state {state!r}?")
            task = BatchTask(PHASES[state], state, reason="".join(reason), mark=name)
            jobs.setdefault(job, {})[int(number)] = task
        return jobs

    def deletion(self, job, ranges):
        return [Command(["drop", job, *(f"{each[0]}-{each[-1]}" for each in ranges)])]


class QueueSlaveArray(BatchSlaveArray):
    system = Queue()


@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    if isinstance(slaves, QueueSlaveArray):
        return launch_array(slaves, bootstraps)
    return None
