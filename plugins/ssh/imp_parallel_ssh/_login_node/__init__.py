"""A login node: commands that are run there, files that are written, and a relay to the master.

Batch plugins use :mod:`.ssh_host` as their ``via=``.

Read :mod:`.ssh_host` first, then :mod:`.commands` with :mod:`.scripts`; :mod:`.relay` and
:mod:`.forwarding` join what connects to the login node to sockets of this machine.
"""
