"""For slaves on the slots of a job that the script itself runs in (``qsub -pe``, ``salloc``).

Such a launcher starts its slaves by ``start_processes`` and a command such as ``qrsh`` or ``srun``,
and needs of the kit what is the same for all: documents that hold secrets, a start that nobody else
can steer, warnings.
"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Mapping, Sequence

from imp_parallel_core import Bootstrap, LocalHost

from ._array import check_programs
from ._cluster import Cluster
from ._documents import Documents
from ._job_script import parts_of, render
from ._leftovers import note_name, note_number, sweep
from ._quoting import quote
from ._reach import warn_if_only_here
from ._safe_start import masters_files, safe_start
from ._system import BatchSystem, Starter

__all__ = [
    "Documents",
    "Starter",
    "check_programs",
    "documents_of_job",
    "slave_line",
    "slave_script",
    "warn_if_only_here",
]


def documents_of_job(
    system: BatchSystem, cwd: str, bootstraps: Mapping[int, Bootstrap], *, job: str, name: str
) -> Documents:
    """Write the slaves' documents; remove those of earlier jobs in the same place, in a thread.

    Args:
        system: the batch system.
        cwd: the script's folder.
        bootstraps: of each slave that needs a document, by the number of its task or slot.
        job: the number of the job that the script runs in; "" if it is not known.
        name: the job's name.

    Raises LaunchError if there is no place for them.
    """
    cluster = Cluster(system, LocalHost())
    documents = Documents(system, cluster.host, cwd, bootstraps, writes=False)
    if job:
        note_name(cluster, documents.folder, name or job)
        note_number(cluster, documents.folder, job)
    try:
        documents.write()
    except BaseException:
        documents.remove()
        raise
    if job:
        sweep(cluster, documents.folder)
    return documents


def slave_line(system: Starter, bootstrap: Bootstrap, document: str) -> str:
    """Return a line for any shell on a slave's host, which starts the slave.

    Args:
        system: what starts the slave, and may warn it.
        bootstrap: of the slave.
        document: the path of its document.
    """
    output = quote(bootstrap.output_path or os.devnull)
    exports = "".join(f"export {k}={quote(v)}; " for k, v in bootstrap.environment.items())
    words = bootstrap.command("file", document, "warned", in_login_shell=True)
    command = " ".join(map(quote, words))
    script = (
        f"output={output} folder={quote(posixpath.dirname(document))}\n"
        f"{safe_start(masters_files(bootstrap))}"
        f"exec </dev/null; trap '' USR1 USR2 XCPU; "
        f"cd {quote(bootstrap.cwd)} 2>/dev/null; {exports}{system.notice(())}\n"
        f'exec {command} "$notify"'
    )
    # one more pair of quotes: the shell that it is handed to may be any
    return shlex.join(["/bin/bash", "-c", script])


def slave_script(system: BatchSystem, bootstraps: Sequence[Bootstrap], folder: str) -> str:
    """Return a script that starts one of several slaves: the one of ``system.task_variable``.

    Args:
        system: the batch system; its variable tells the slots of the allocation apart.
        bootstraps: of the slaves, the first for ``system.first_task``.
        folder: where the documents are.
    """
    return render(system, parts_of(bootstraps, folder))
