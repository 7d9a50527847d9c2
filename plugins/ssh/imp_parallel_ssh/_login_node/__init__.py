"""A login node: commands that are run there, files that are written, and a relay to the master.

Batch plugins use :mod:`.ssh_host` as their ``via=``.

Read :mod:`.ssh_host` first, then :mod:`.commands` with :mod:`.scripts` and :mod:`.file_scripts`.
:mod:`.relay` has a program run there, by its :mod:`.keeper`, and :mod:`.forwarding` joins what
connects to it to sockets of this machine.
"""
