"""Slurm for the kit: what to run, and what the answers mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from imp_parallel_batch import (
    Array,
    BatchEnd,
    BatchSystem,
    BatchTask,
    Command,
    Description,
    Submitted,
    output_of,
    understood,
)

from imp_parallel_core import CommandResult, LaunchPhase, explained

from ._sbatch_options import check_options, options_for_scripts, values_of
from ._squeue import END, ENDS, LIST, ends_in, rows_in, task_of

# Variables of the user's environment that would change what a command does, and that no option
# undoes.
_UNSET = {
    "sbatch": ("SBATCH_CLUSTERS", "SBATCH_WAIT"),
    "squeue": (
        "SQUEUE_ACCOUNT",
        "SQUEUE_FORMAT2",
        "SQUEUE_LICENSES",
        "SQUEUE_NAMES",
        "SQUEUE_PARTITION",
        "SQUEUE_QOS",
        "SQUEUE_STATES",
        "SQUEUE_USERS",
    ),
    "scancel": (
        "SCANCEL_ACCOUNT",
        "SCANCEL_BATCH",
        "SCANCEL_INTERACTIVE",
        "SCANCEL_NAME",
        "SCANCEL_PARTITION",
        "SCANCEL_QOS",
        "SCANCEL_STATE",
        "SCANCEL_USER",
        "SCANCEL_WCKEY",
    ),
}
_NOT_IN_PATHS = frozenset("%\\")  # sbatch expands one, and is stopped from that by the other
_NO_SUCH_JOB = "Invalid job id specified"
_TOO_LARGE = "Invalid job array specification"
_NOT_ANSWERED = (  # slurmctld, when it goes on, does what it was asked to do
    "Socket timed out on send/recv operation",
    "Zero Bytes were transmitted or received",
)
_NOT_REACHED = (
    *_NOT_ANSWERED,
    "Unable to contact slurm controller",
    "Slurm temporarily unable to accept job",
    "Slurm backup controller in standby mode",
)
_NOT_SET_UP = (  # sbatch finds no slurm.conf, or none that it can read
    "Could not establish a configuration source",
    "Unable to process configuration file",
)
_ADVICE_ON_SETTINGS = (
    "Nothing was submitted. Run the script on a machine that submits to the cluster, such as its "
    "login node, with Slurm's settings loaded (often: module load slurm; SLURM_CONF names the "
    "file)."
)
_ADVICE_ON_CONTROLLER = (
    "This says nothing about the options. Try again when scontrol ping says that the controller is "
    "UP, or ask the administrators of the cluster."
)
_ADVICE = (
    "Compare the options with what works for sbatch by hand (sinfo lists the partitions, scontrol "
    "show partition their limits)."
)
_ADVICE_ON_SIZE = (
    "The cluster allows no array of this size: its largest task number is one less than "
    "MaxArraySize (scontrol show config says it). Add several smaller arrays."
)


class Slurm(BatchSystem):
    """Slurm, by its commands sbatch, squeue and scancel."""

    name = "Slurm"
    key = "slurm"
    programs = ("sbatch", "squeue", "scancel")
    advice = "Run the script on a machine that submits to the cluster: one with Slurm's commands."
    task_variable = "SLURM_ARRAY_TASK_ID"
    task_pattern = "%a"
    restarted = "${SLURM_RESTART_COUNT:-0} > 0"
    warns_children = False  # --signal=B: reaches the script alone
    cluster_variables = ("SLURM_CONF", "SLURM_CLUSTERS")

    def can_use(self, path: str) -> bool:
        """Return whether a job can be started in this folder, and have its output there."""
        return path.isprintable() and _NOT_IN_PATHS.isdisjoint(path)

    def check_options(self, words: Sequence[str]) -> None:
        """Raise ValueError for options that the plugin sets itself."""
        check_options(words)

    def job_name(self, array: Array) -> str:
        """Return the job's name: that of the options, if they give one."""
        return [array.name, *values_of(array.options, "--job-name", "-J")][-1]

    def submission(self, array: Array) -> Command:
        """Return the sbatch that submits an array; the script is its standard input."""
        place = [f"--chdir={array.cwd}"] if array.cwd else []
        is_relative = array.cwd and not array.early_output.startswith("/")
        output = f"{array.cwd}/{array.early_output}" if is_relative else array.early_output
        comments = values_of(array.options, "--comment")[-1:]
        return _command(
            "sbatch",
            "--parsable",
            # first: if a user's word ends the options, the job has tasks all the same
            f"--array=1-{array.size}",
            f"--job-name={array.name}",
            *place,
            f"--output={output}",
            *options_for_scripts(array.options),
            # by the name in it, the job is known whatever it is called
            f"--comment={' '.join(' '.join([*comments, array.name]).split())}",
            input=array.script,
        )

    def submitted(self, done: CommandResult, array: Array) -> Submitted:
        """Read the answer to a submission: a whole line ``number``, or ``number;cluster``."""
        jobs = set(re.findall(r"^(\d+)(?:;\S+)?[ \t\r]*\n", done.stdout, re.MULTILINE))
        words = f"{done.stdout}\n{done.stderr}"
        advice = _ADVICE_ON_SIZE if _TOO_LARGE in words else _ADVICE
        told = understood(done, jobs, program="sbatch", advice=advice)
        if told.refusal and any(each in words for each in _NOT_SET_UP):
            how = f"Slurm is not set up where sbatch was run: exit code {done.exit_code}"
            refusal = explained(how, "slurm-not-set-up")
            return Submitted(refusal=refusal, advice=_ADVICE_ON_SETTINGS, is_untold=True)
        if told.refusal and self.is_temporary(done):
            how = f"sbatch could not reach slurmctld, the controller: exit code {done.exit_code}"
            refusal = explained(how, "slurmctld-unreachable")
            told = Submitted(refusal=refusal, advice=_ADVICE_ON_CONTROLLER)
        return told

    def is_temporary(self, done: CommandResult) -> bool:
        """Return whether sbatch could not reach the controller, or got no answer in time."""
        return any(words in f"{done.stdout}\n{done.stderr}" for words in _NOT_REACHED)

    def may_have_been_taken(self, done: CommandResult) -> bool:
        """Return whether sbatch got no answer in time, of a controller that may have heard it."""
        return any(words in f"{done.stdout}\n{done.stderr}" for words in _NOT_ANSWERED)

    def deletion(self, job: str, ranges: Sequence[range]) -> Sequence[Command]:
        """Return the scancel that ends a whole job, or some of its tasks."""
        texts = [f"{each[0]}-{each[-1]}" if len(each) > 1 else str(each[0]) for each in ranges]
        tasks = f"_[{','.join(texts)}]" if texts else ""
        return [_command("scancel", "--verbose", f"{job}{tasks}")]

    def is_gone(self, done: CommandResult, job: str) -> bool:
        """Return whether scancel says that there is no such job."""
        pattern = rf"on job id {re.escape(job)}: {_NO_SUCH_JOB}"
        return re.search(pattern, f"{done.stdout}\n{done.stderr}") is not None

    def question(self) -> Command:
        """Return the squeue that lists the tasks of all jobs of the user."""
        return _list("--me")

    def tasks_in(self, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        """Read that list. Raises ValueError."""
        jobs: dict[str, dict[int, BatchTask]] = {}
        for row in rows_in(output_of(done)):
            task = task_of(row)
            tasks = jobs.setdefault(row.job, {}) if task is not None else {}
            if task is not None and row.task:
                tasks[row.task] = task
        return jobs

    def description(self, job: str, name: str) -> Command:
        """Return the squeue that lists one job, or the jobs of a name, also those that ended."""
        chosen = ("--jobs", job) if job else ("--me", "--name", name)
        return _list(*chosen, "--states=all")

    def descriptions_in(self, done: CommandResult, asked: str) -> Sequence[Description]:
        """Read that list. Raises ValueError."""
        if done.exit_code != 0 and _NO_SUCH_JOB in done.stderr:
            return []
        return list(_descriptions(output_of(done)))

    def accounting(self, job: str) -> Command:
        """Return the squeue that lists how tasks ended, for some minutes after that."""
        return _command("squeue", "--jobs", job, "--all", "--states=all", *ENDS)

    def ends_in(self, done: CommandResult) -> Sequence[BatchEnd]:
        """Read that list; what can't be read is left out."""
        return list(ends_in(done.stdout))


def _command(program: str, *arguments: str, input: str = "") -> Command:
    unset = [word for name in _UNSET[program] for word in ("-u", name)]
    return Command(["env", *unset, program, *arguments], input=input, shown=program)


def _list(*arguments: str) -> Command:
    """Return the command that prints a list of squeue's, and then that the list is whole."""
    script = f'"$@" && echo "{END}"'
    command = _command("squeue", *arguments, "--all", *LIST)
    return command._replace(argv=["sh", "-c", script, "sh", *command.argv])


def _descriptions(text: str) -> Iterator[Description]:
    """Yield what a list says of each job that has tasks which have not ended."""
    rows = rows_in(text)
    for job in dict.fromkeys(row.job for row in rows):
        its_rows = [row for row in rows if row.job == job]
        tasks = {row.task: task for row in its_rows if (task := task_of(row)) is not None}
        if not tasks:
            continue
        reasons = [t.reason for t in tasks.values() if t.phase is LaunchPhase.QUEUED and t.reason]
        yield Description(
            job,
            text="\n".join(dict.fromkeys(row.mark for row in its_rows)),
            running=[
                number
                for number, task in tasks.items()
                if task.phase in (LaunchPhase.RUNNING, LaunchPhase.SUSPENDED)
            ],
            reason="; ".join(dict.fromkeys(reasons)),
            errors={n: t.reason for n, t in tasks.items() if t.phase is LaunchPhase.ENDED},
        )
