"""The slave program: a supervisor, which talks to the master, and a runner, which runs tasks.

This room imports only :mod:`.._code`, :mod:`.._wire` and a few modules at the top of the package,
so that an archive of these is all that a bare machine needs.

Read :mod:`.program` first, with :mod:`.surroundings` (where tasks work, and import from).

The supervisor's process is :mod:`.supervisor` with :mod:`.master_link` (the session with the
master), :mod:`.redial` and :mod:`.listening_stdin` (other streams for that session),
:mod:`.signals`, :mod:`.batch_warnings` (some of these) and :mod:`.availability` (whether the slave
takes tasks). :mod:`.runner_start` starts the runner's process, and :mod:`.runner_process` is the
supervisor's end of it, with :mod:`.go_ahead` (which items the runner may begin) and
:mod:`.value_pipe` (small values). The supervisor sees to limits of memory with :mod:`.memory`, and
writes lines for people with :mod:`.output`.

The runner is :mod:`.runner` with :mod:`.supervisor_link` (the session with the supervisor),
:mod:`.assignments` (its items and contexts), :mod:`.current_task` (what a task can learn of
itself), :mod:`.seeds` (random numbers), :mod:`.flushing` (with :mod:`.c_library`) and
:mod:`.task_signals`.

:mod:`.outlet` says how the output of a failed item is found: with :mod:`.item_output` in the
runner, and :mod:`.runner_output` and :mod:`.output_pipe` in the supervisor. :mod:`.announced` marks
where a task's output begins, for scripts that ask for that. Both processes use :mod:`.process` (the
operating system).
"""
