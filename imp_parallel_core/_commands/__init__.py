"""The command ``imp-parallel``, which is also ``python -m imp_parallel_core``.

Nothing else imports this room: it uses Managers as scripts do. Read :mod:`.main` first, which
runs the subcommand that is chosen; :mod:`.brought` finds those of plugins. The core's own are
:mod:`.rerun`, and :mod:`.plugins`, which prints what :mod:`.inventory` has found.
"""
