"""How an array comes into the queue: its documents, its job script, its submission."""

from __future__ import annotations

import atexit
from collections.abc import Sequence

from imp_parallel_core import Bootstrap

from ._array import BatchSlaveArray, options_of
from ._cluster import Cluster
from ._documents import Documents
from ._job_script import parts_of, render
from ._launch import BatchLaunch
from ._leftovers import note_name
from ._pending_launch import PendingLaunch
from ._plugin_calls import call
from ._queue_watch import watch_of
from ._reach import warn_if_only_here
from ._records import Array
from ._submission import OutOfReach, Submission


def begin(array: BatchSlaveArray, bootstraps: Sequence[Bootstrap]) -> BatchLaunch | PendingLaunch:
    """Submit an array, whose tasks are numbered in the order of the bootstraps.

    Raises LaunchError if it can't be submitted.
    """
    system = array.system
    cluster = Cluster(system, array.host)
    warn_if_only_here(system, bootstraps[0].addresses)
    numbered = dict(enumerate(bootstraps, system.first_task))
    documents = Documents(system, array.host, bootstraps[0].cwd, numbered, writes=False)

    remove = documents.remove  # one object, by which it can be unregistered
    atexit.register(remove)  # the script may end while the submission hangs

    try:
        submission = _submission(cluster, array, bootstraps, documents)
        documents.write()
    except BaseException:
        atexit.unregister(remove)
        remove()
        raise
    abandon = submission.abandon
    atexit.register(abandon)

    def launched(job: str) -> BatchLaunch:
        atexit.unregister(abandon)
        atexit.unregister(remove)
        return BatchLaunch(cluster, numbered, documents, submission, job)

    def give_up() -> None:
        atexit.unregister(abandon)
        atexit.unregister(remove)
        remove()

    try:
        job = submission.submit()
    except OutOfReach as problem:
        pending = watch_of(system, array.host).pending
        return PendingLaunch(cluster, submission, bootstraps, problem, pending, launched, give_up)
    except BaseException:
        give_up()
        raise
    return launched(job)


def _submission(
    cluster: Cluster,
    array: BatchSlaveArray,
    bootstraps: Sequence[Bootstrap],
    documents: Documents,
) -> Submission:
    """Return the submission of the array, and note its job's name beside the documents."""
    options, cwd = options_of(array), bootstraps[0].cwd
    parts = parts_of(bootstraps, documents.folder, options)
    described = Array(
        name=documents.token,
        size=max(len(bootstraps), array.system.least_tasks),
        options=options,
        script=render(array.system, parts),
        early_output=documents.early_output,
        folder=documents.folder,
        cwd=cwd if call(array.system.can_use, cwd) else "",
    )
    submission = Submission(cluster, described, cwd)
    note_name(cluster, documents.folder, submission.name)
    return submission
