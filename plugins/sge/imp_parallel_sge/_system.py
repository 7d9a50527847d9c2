"""Grid Engine: what to run, and what the answers mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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

from imp_parallel_core import CommandResult, explained

from ._qsub_words import refuse_plain_words
from ._queue_list import (
    parse_accounting,
    parse_descriptions,
    parse_queue,
    parse_submission,
    parse_verification,
    says_that_it_is_gone,
    says_that_it_is_not_set_up,
    says_that_it_verifies,
    says_that_qmaster_is_out_of_reach,
)

_ONLY_VERIFIED = (
    "nothing was submitted: your default options for qsub only verify (-verify, -w v or -w p). "
    "They are in ~/.sge_request, in .sge_request of the script's folder, or in "
    "$SGE_ROOT/$SGE_CELL/common/sge_request: take the option out."
)

_ADVICE_ON_QMASTER = (
    "This says nothing about the options. Try again when qstat answers, or ask the administrators "
    "of the cluster."
)

_ADVICE_ON_SETTINGS = (
    "Nothing was submitted. Run the script on a submit host of the cluster, with Grid Engine's "
    "settings loaded (often: source $SGE_ROOT/default/common/settings.sh, or module load sge)."
)

# How long after a warning the job is stopped or ended, in s; 0 if it is not warned.
_NOTICE = """\
[[ -r $SGE_JOB_SPOOL_DIR/config ]] && mapfile -t lines <"$SGE_JOB_SPOOL_DIR/config"
[[ " ${lines[*]-} " =~ ' 'notify=([0-9]+)' ' ]]
notify=${BASH_REMATCH[1]:-0}"""


class GridEngine(BatchSystem):
    """Grid Engine's commands."""

    name = "Grid Engine"
    key = "sge"
    programs = ("qsub", "qstat", "qdel")
    advice = (
        "Run the script on a submit host of the cluster, with Grid Engine's environment set up "
        "(often: source $SGE_ROOT/default/common/settings.sh)."
    )
    task_variable = "SGE_TASK_ID"
    task_pattern = "$TASK_ID"
    # This plugin sets these itself: another value would break the array, or qsub's answer.
    reserved_options = {  # noqa: RUF012 - as the base class has it
        "-t": "the array's size is its first argument",
        "-b": "the job is a script, not a program",
        "-C": "the job's script holds no options",
        "-@": "its file could hold anything",
        "-sync": "qsub would wait for the slaves to end",
        "-now": "qsub would wait for the slaves to start",
        "-terse": "qsub is always called with it",
        "-verify": "nothing would be submitted",
        "-w v": "nothing would be submitted",
        "-w p": "nothing would be submitted",
        "-help": "nothing would be submitted",
    }
    reserved_exit_codes = (99, 100)  # to be run again, to be in error
    restarted = "${RESTARTED:-0} == 1"
    cluster_variables = ("SGE_ROOT", "SGE_CELL")

    def notice(self, options: Sequence[str]) -> str:
        """Read the configuration that the job finds on its host."""
        return _NOTICE

    def can_use(self, path: str) -> bool:
        """Return whether Grid Engine takes a path as it is: it expands ``$``, and reads lines."""
        return "$" not in path and path.isprintable()

    def check_options(self, words: Sequence[str]) -> None:
        """Raise ValueError for options that the plugin sets itself, and for a script's name."""
        super().check_options(words)
        refuse_plain_words(words)

    def job_name(self, array: Array) -> str:
        """Return the last name that is given."""
        words = ["-N", array.name, *array.options]
        return words[max(at for at, word in enumerate(words[:-1]) if word == "-N") + 1]

    def submission(self, array: Array) -> Command:
        """Return a qsub; a job array is told by its name, or by its context."""
        place = ["-cwd"] if array.cwd else []
        argv = [
            *("qsub", "-terse", "-C", "", "-S", "/bin/bash", "-N", array.name, *place),
            *("-r", "n", "-j", "y", "-o", array.early_output),
            *array.options,
            *("-b", "n", "-sync", "n", "-now", "n"),  # whatever a site or ~/.sge_request sets
            *("-ac", f"imp_parallel={array.name}"),  # what qstat -j tells the job by
            *("-t", f"1-{array.size}"),
        ]
        return Command(argv, input=array.script)

    def submitted(self, done: CommandResult, array: Array) -> Submitted:
        """Find the job's number among the words of a site."""
        answered = parse_submission(done.stdout, array.size)
        arrays = answered | parse_submission(done.stderr, array.size)
        if not arrays and says_that_it_verifies(f"{done.stdout}\n{done.stderr}"):
            return Submitted(refusal=_ONLY_VERIFIED)
        if done.exit_code == 0 and len(arrays) == 1:
            arrays = answered  # standard error alone may speak of another array
        advice = (
            "Compare the options with what works for qsub by hand (qconf -sql lists the queues, "
            "qconf -sc what -l may ask for)."
        )
        told = understood(done, arrays, program="qsub", advice=advice)
        if told.refusal and says_that_it_is_not_set_up(f"{done.stdout}\n{done.stderr}"):
            how = f"Grid Engine is not set up where qsub was run: exit code {done.exit_code}"
            refusal = explained(how, "sge-not-set-up")
            return Submitted(refusal=refusal, advice=_ADVICE_ON_SETTINGS, is_untold=True)
        if told.refusal and self.is_temporary(done):
            how = f"qsub could not reach sge_qmaster: exit code {done.exit_code}"
            refusal = explained(how, "qmaster-unreachable")
            told = Submitted(refusal=refusal, advice=_ADVICE_ON_QMASTER)
        return told

    def is_temporary(self, done: CommandResult) -> bool:
        """Return whether qsub could not reach qmaster, or got no answer of it."""
        return says_that_qmaster_is_out_of_reach(f"{done.stdout}\n{done.stderr}")

    def may_have_been_taken(self, done: CommandResult) -> bool:
        """Return whether qsub got no answer of a qmaster that it could contact."""
        pattern = "unable to (contact|send message to) qmaster"
        return re.search(pattern, f"{done.stdout}\n{done.stderr}") is None

    def deletion(self, job: str, ranges: Sequence[range]) -> Sequence[Command]:
        """Return a qdel, or one for each range."""
        if not ranges:
            return [Command(["qdel", job])]
        return [Command(["qdel", job, "-t", f"{tasks[0]}-{tasks[-1]}"]) for tasks in ranges]

    def is_gone(self, done: CommandResult, job: str) -> bool:
        """Return whether qdel says that there is no such job."""
        return says_that_it_is_gone(f"{done.stdout}\n{done.stderr}", job)

    def question(self) -> Command:
        """Return a qstat of all states: ``~/.sge_qstat`` may restrict the list to some."""
        return Command(["qstat", "-xml", "-u", "$user", "-s", "prs"])

    def tasks_in(self, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        """Read its XML."""
        return parse_queue(output_of(done))

    def description(self, job: str, name: str) -> Command:
        """Return a qstat of one job, or of the jobs of a name."""
        return Command(["qstat", "-j", job or name])

    def descriptions_in(self, done: CommandResult, asked: str) -> Sequence[Description]:
        """Read what it prints of each job."""
        found = parse_descriptions(done.stdout)
        if not found and says_that_it_is_gone(f"{done.stdout}\n{done.stderr}", asked):
            return ()
        if not found or done.exit_code != 0:
            raise ValueError(f"exit code {done.exit_code}: {done.words}")
        return found

    def rehearsal(self, job: str) -> Command:
        """Return a qalter that only verifies: qstat may give no reason (schedd_job_info)."""
        return Command(["qalter", "-w", "v", job])

    def obstacles_in(self, done: CommandResult) -> str:
        """Read what it says: of the queues as they would be without any job."""
        return parse_verification(done.stdout)

    def accounting(self, job: str) -> Command:
        """Return a qacct of one job, and of older jobs that had its number."""
        return Command(["qacct", "-j", job])

    def ends_in(self, done: CommandResult) -> Sequence[BatchEnd]:
        """Read its records."""
        return parse_accounting(done.stdout)


GRID_ENGINE = GridEngine()
