"""The command ``imp-parallel``, which is also ``python -m imp_parallel_core``.

Nothing else imports this room: it uses Managers as scripts do. Read :mod:`.main` first, which
runs the subcommand that is chosen; :mod:`.brought` finds those of plugins. The core's own are
:mod:`.rerun`; :mod:`.plugins`, which prints what :mod:`.inventory` has found; :mod:`.check`; and
:mod:`.explain`, which finds the :mod:`.explanations` that are :mod:`.matching`, and shows their
Markdown as :mod:`.plain_text`.

A check reads its :mod:`.expression` and makes a :mod:`.trial` by the user's :mod:`.wishes`, which
tells :mod:`.steps` that :mod:`.step_printer` prints. :mod:`.plugin_calls` sees to plugins that hang
or have a mistake, and :mod:`.interruptions` to signals. The trial goes through :mod:`.trial_links`
with :mod:`.trial_tasks`, sees :mod:`.trial_signs` of what happens, looks after :mod:`.trial_others`
and for :mod:`.trial_leftovers`, and puts what it has found into words in :mod:`.trial_report`.
"""
