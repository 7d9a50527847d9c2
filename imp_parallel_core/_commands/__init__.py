"""The command ``imp-parallel``, which is also ``python -m imp_parallel_core``.

Nothing else imports this room: it uses Managers as scripts do. Read :mod:`.main` first, which finds
the subcommands, those of the core and those of plugins, and runs the one that is chosen. Each other
module is a subcommand of the core: :mod:`.rerun`.
"""
