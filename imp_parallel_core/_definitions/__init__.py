"""Code that travels with tasks: the master's side.

A task may need functions, classes and globals that no module on the slave holds. They are written
into numbered bundles, each definition once in a context; the runner's side is
:mod:`.._code.loaded`. The user's threads call this room when a task is added.

Read :mod:`.book` first, then :mod:`.sent`, :mod:`.bundles`, :mod:`.bundle_file` and
:mod:`.function_needs`. :mod:`.snapshot` sees whether something has changed since it was sent,
:mod:`.import_path` whether ``sys.path`` has. :mod:`.plain_tasks` and :mod:`.large_parts` are for
tasks that need little, or much.
"""
