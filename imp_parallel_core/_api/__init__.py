"""What the user holds: a Manager, its contexts, and the iterators over their results.

Everything here runs in the user's threads: tasks are pickled here, and results unpickled. What has
to be done goes to the engine (:mod:`.._engine`) as opaque bytes.

Read :mod:`.manager` first, which has the picture of the whole package, then :mod:`.context` and
:mod:`.map`; :mod:`.opening` and :mod:`.failed_tasks` turn what has arrived into values and errors.
"""
