"""What the user holds: a Manager, its contexts, and the iterators over their results.

Everything here runs in the user's threads. Tasks are pickled here, and results are unpickled here.
What has to be done goes to the engine (:mod:`.._engine`) as opaque bytes.

Read :mod:`.manager` first, which has the picture of the whole package, with :mod:`.slave_records`
(what slaves are started with). Then read :mod:`.context` and :mod:`.map`, which users call,
:mod:`.readings` (the iterators over results), and :mod:`.open_context`, which does the work of all
(:mod:`.names` is what contexts are called, :mod:`.context_options` checks what is asked of them,
and :mod:`.unpicklable` tells what can't travel). :mod:`.results` takes outcomes from the engine;
:mod:`.opening` and :mod:`.failed_tasks` turn them into values and errors;
:mod:`.failed_call` makes a call that has failed again, also for the command ``imp-parallel``, with
:mod:`.saving`.
:mod:`.live_output` shows what slaves print, as :mod:`.output_lines`, by way of a
:mod:`.live_folder`, and :mod:`.calls` takes apart what travels in the place of a task.
:mod:`.executor` is the interface of ``concurrent.futures``, with :mod:`.pending_futures` and
:mod:`.interrupts`.
:mod:`.nesting` refuses a Manager that a slave would make by importing the user's script, or that
would have to work without the interpreter lock.
"""
