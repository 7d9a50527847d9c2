"""The job script of an array, as a pure function of what its slaves need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imp_parallel_core import Bootstrap

from ._quoting import quote
from ._safe_start import masters_files, safe_start

_TEMPLATE = """\
#!/bin/bash
# Slaves of imp_parallel: each task of this job array is one.
trap '' USR1 USR2 XCPU  # warnings: the slave heeds them, a wrapper around it might die
trap : TERM        # likewise; this script waits for the slave
folder={folder}
trap '{{ echo "${{code-$?}}" >"$folder/$SGE_TASK_ID.exit"; }} 2>/dev/null' EXIT
outputs=(
{outputs}
)
{precondition}output=${{outputs[SGE_TASK_ID - 1]}}
{safe_start}{preparations}{notify}
document=$folder/$SGE_TASK_ID
{wait}
{command} file "$document" warned "$notify" </dev/null
code=$?
shown=$code
((code == 99 || code == 100)) && shown=1  # these two would mean something to Grid Engine
exit "$shown"
"""

# How long after a warning the job is stopped or ended, in s; 0 if it is not warned.
NOTIFY = """\
[[ -r $SGE_JOB_SPOOL_DIR/config ]] && mapfile -t lines <"$SGE_JOB_SPOOL_DIR/config"
[[ " ${lines[*]-} " =~ ' 'notify=([0-9]+)' ' ]]
notify=${BASH_REMATCH[1]:-0}"""


# A task that Grid Engine starts anew gets a document when the master knows that the last slave has
# gone. That is at once if its connection has ended, and else when it has been silent for too long.
# The last character of a complete document is a line's end.
WAIT = """\
for ((tries = 0; tries < 90 && ${RESTARTED:-0} == 1; tries++)); do
    [[ -d $folder ]] || break
    [[ -s $document && -z $(tail -c 1 "$document" 2>/dev/null) ]] && break
    sleep 1
done"""


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


def render(parts: ScriptParts) -> str:
    """Return the text of a job script: printable ASCII, whatever folders are called."""
    preparations = [f"export {name}={quote(value)}" for name, value in parts.environment.items()]
    if parts.cwd:
        preparations.append(f"cd {quote(parts.cwd)} 2>/dev/null")  # the slave says if it can't
    over = "imp_parallel: the run is over, this slave leaves"
    code_path = quote(parts.code_path)
    return _TEMPLATE.format(
        precondition=f"[[ -e {code_path} ]] || {{ echo '{over}'; exit 0; }}\n"
        if parts.code_path
        else "",
        safe_start=safe_start(parts.masters_files),
        outputs="\n".join("    " + quote(path or "/dev/null") for path in parts.output_paths),
        preparations="".join(line + "\n" for line in preparations),
        command=" ".join(map(quote, parts.command)),
        folder=quote(parts.folder),
        notify=NOTIFY,
        wait=WAIT,
    )


def parts_of(bootstraps: Sequence[Bootstrap], folder: str) -> ScriptParts:
    """Return the parts of the script for these slaves."""
    return ScriptParts(
        command=bootstraps[0].command(in_login_shell=True),
        folder=folder,
        output_paths=[bootstrap.output_path for bootstrap in bootstraps],
        environment=bootstraps[0].environment,
        masters_files=masters_files(bootstraps[0]),
        code_path=bootstraps[0].code_path,
        cwd=bootstraps[0].cwd,  # even if the job starts there: a login shell's profile may leave it
    )
