"""The slave program: a supervisor, which talks to the master, and a runner, which runs tasks.

It imports nothing of this package but this room, :mod:`.._code`, :mod:`.._wire` and a few modules
at the top; so an archive of these is all that a bare machine needs.

Read :mod:`.program` first, then :mod:`.supervisor` with :mod:`.master_link` (its session, over one
stream or several in turn), :mod:`.redial`, :mod:`.listening_stdin` and :mod:`.signals`; then
:mod:`.runner_start`, :mod:`.runner_process` (the supervisor's hold on the runner) and
:mod:`.runner`. Both processes ask the operating system through :mod:`.process`.
"""
