"""Tests that hold for each real batch system: the test files of plugins import them.

Each test gets a ``batch``, a fixture of the plugin's (:mod:`.cluster` says what it has), and most
make slaves and tasks by :mod:`.slaves`. In :mod:`.stories`, scripts work; in :mod:`.troubles`, what
can't start or waits is told; in :mod:`.silence` and :mod:`.forgetting`, the batch
system or a command of it hangs, or does not list what is there; in :mod:`.deaths`, nothing is lost
or left, whatever ends; in :mod:`.privacy`, nobody else reads a secret.
"""
