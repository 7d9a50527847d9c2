"""The job script of an array, as a pure function of what its slaves need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imp_parallel_core import Bootstrap

from ._plugin_calls import call
from ._quoting import quote
from ._safe_start import masters_files, safe_start
from ._system import BatchSystem

_TEMPLATE = """\
#!/bin/bash
# Slaves of imp_parallel: each task of this job array is one.
{traps}
folder={folder}
trap '{{ echo "${{code-$?}}" >"$folder/${task}.exit"; }} 2>/dev/null' EXIT
outputs=(
{outputs}
)
{precondition}output=${{outputs[{task} - {first}]}}
{safe_start}{preparations}{notify}
document=$folder/${task}
{wait}{run}
shown=$code
{kept_from}exit "$shown"
"""

_TRAPS = """\
trap '' USR1 USR2 XCPU  # warnings: the slave heeds them, a wrapper around it might die
trap : TERM        # likewise; this script waits for the slave"""
# When a signal has ended a process, bash says so and quotes its whole command: that is left out, so
# that the slave's own last words come last. (Standard output and standard error are one file.)
_RUN = """\
{{ {command} file "$document" warned "$notify" </dev/null 2>&1; }} 2>/dev/null
code=$?"""

# Where a warning reaches this script alone, the script passes it on to all processes of the job: to
# its own process group, if it leads one.
_FORWARDING = """\
pass_on() {
    is_warned=1
    trap '' "$1"
    { kill -s "$1" -- "-$$" || kill -s "$1" "$slave"; } 2>/dev/null
    trap "pass_on $1" "$1"
}
for name in USR1 USR2 XCPU TERM; do trap "pass_on $name" "$name"; done"""
_RUN_BEHIND = """\
(
    trap '' USR1 USR2 XCPU
    trap - TERM
    exec {command} file "$document" warned "$notify" </dev/null
) &
slave=$!
while :; do  # a warning ends the wait, too
    is_warned=
    {{ wait "$slave"; }} 2>/dev/null
    code=$?
    [[ $is_warned ]] || break
done"""

# A task that the batch system starts anew gets a document when the master knows that the last slave
# has gone. That is at once if its connection has ended, and else when it has been silent for too
# long. The last character of a complete document is a line's end.
_WAIT = """\
(({restarted})) && rm -f "$folder/${task}.exit"
for ((tries = 0; tries < 90 && ({restarted}); tries++)); do
    [[ -d $folder ]] || break
    [[ -s $document && -z $(tail -c 1 "$document" 2>/dev/null) ]] && break
    sleep 1
done
"""


class ScriptParts(NamedTuple):
    """What a job script is rendered from."""

    command: Sequence[str]
    """The command line of the slave program, without arguments."""
    folder: str
    """The private folder in which the slaves' documents are, named by task number."""
    output_paths: Sequence[str | None]
    """Where each slave's output goes, in the order of the tasks."""
    environment: Mapping[str, str] = {}
    masters_files: Mapping[str, str] = {}
    """Files that must be the master's own, or that nobody else can have made."""
    code_path: str = ""
    """A path that has gone if the run is over when the job starts; "" if there is none."""
    cwd: str = ""
    """Where to go first, if that can be done; "" to stay where the batch system starts the job."""
    options: Sequence[str] = ()
    """The words of the user's options."""


def render(system: BatchSystem, parts: ScriptParts) -> str:
    """Return the text of a job script: printable ASCII, whatever folders are called."""
    preparations = [f"export {name}={quote(value)}" for name, value in parts.environment.items()]
    if parts.cwd:
        preparations.append(f"cd {quote(parts.cwd)} 2>/dev/null")  # the slave says if it can't
    over = "imp_parallel: the run is over, this slave leaves"
    code_path = quote(parts.code_path)
    task = system.task_variable
    precondition = ""
    if parts.code_path:
        precondition = f"[[ -e {code_path} ]] || {{ echo '{over}'; exit 0; }}\n"
    if len(parts.output_paths) < system.least_tasks:
        last = system.first_task + len(parts.output_paths) - 1
        precondition += f"(({task} > {last})) && exit 0  # it only makes the array large enough\n"
    run = _RUN if system.warns_children else _RUN_BEHIND
    return _TEMPLATE.format(
        task=task,
        first=system.first_task,
        traps=_TRAPS if system.warns_children else _FORWARDING,
        precondition=precondition,
        safe_start=safe_start(parts.masters_files),
        outputs="\n".join("    " + quote(path or "/dev/null") for path in parts.output_paths),
        preparations="".join(line + "\n" for line in preparations),
        run=run.format(command=" ".join(map(quote, parts.command))),
        folder=quote(parts.folder),
        notify=call(system.notice, parts.options),
        wait=_WAIT.format(restarted=system.restarted, task=task),
        kept_from=_kept_from(system),
    )


def _kept_from(system: BatchSystem) -> str:
    """Return the line that keeps an exit code from a system to which it would mean something."""
    if not system.reserved_exit_codes:
        return ""
    is_one = " || ".join(f"code == {code}" for code in sorted(system.reserved_exit_codes))
    return f"(({is_one})) && shown=1  # {system.name} would take it for a request\n"


def parts_of(
    bootstraps: Sequence[Bootstrap], folder: str, options: Sequence[str] = ()
) -> ScriptParts:
    """Return the parts of the script for these slaves.

    Args:
        bootstraps: of the slaves.
        folder: where their documents are.
        options: the words of the user's options.
    """
    return ScriptParts(
        command=bootstraps[0].command(in_login_shell=True),
        folder=folder,
        output_paths=[bootstrap.output_path for bootstrap in bootstraps],
        environment=bootstraps[0].environment,
        masters_files=masters_files(bootstraps[0]),
        code_path=bootstraps[0].code_path,
        cwd=bootstraps[0].cwd,  # even if the job starts there: a login shell's profile may leave it
        options=options,
    )
