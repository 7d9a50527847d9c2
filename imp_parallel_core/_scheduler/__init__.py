"""Which slave gets which task: a pure state machine. Events go in, actions come out.

There is no clock, no socket, no thread and no plugin in this room; times come in with the events.
The engine (:mod:`.._engine`) calls it, and performs its actions.

Read :mod:`.scheduler` first, which has all events, then :mod:`.actions` and :mod:`.tasks`. The
state is in :mod:`.slaves`, :mod:`.contexts` and :mod:`.policy`, and all parts share it through
:mod:`.board`. The parts are the :mod:`.assignment` of tasks to slaves, the :mod:`.outcomes` of
attempts, the :mod:`.cancelling` of tasks, the :mod:`.losses` of slaves and runners, the
:mod:`.health` of slaves, :mod:`.patience` with slaves that do nothing, and the
:mod:`.kept_parts` of large tasks.
"""
