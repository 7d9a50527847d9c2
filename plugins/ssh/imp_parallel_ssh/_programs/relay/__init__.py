"""The relay on a login node: what connects to it there reaches the master through SSH.

``python relay.py serve PATIENCE_S HOST FOLDER`` listens at the addresses of its machine (or at HOST
alone) and joins each connection to one of its own to a port of the loopback, which sshd forwards to
the master. It says where it listens, in a line of JSON, and goes to the background; what stays in
the foreground, as the command that SSH has started, is a keeper: it passes on what the master says,
such as that port. ``python relay.py attach SOCKET`` is another keeper, after SSH was lost.

Connections that come while no master is there are held, not refused: a slave takes a refusal
for the master's end. When the master says so, or is away for too long, the relay removes FOLDER
and ends.

It carries what it can't read, from whoever can reach it. Those who dial the master speak first; a
connection in which nobody speaks takes a descriptor here, for as long as there are enough, and
never reaches the master; nor does one whose first TLS record never ends. Those who have spoken take
turns by the addresses that they come from. The number of connections is limited such that
descriptors are always left for the rest. The relay runs on any Python from 3.6, with nothing else
installed.

Read :mod:`.main` first, then :mod:`.server`, which uses :mod:`.master_link` and :mod:`.pairs`, both
on :mod:`.sockets`; :mod:`.first_record` and :mod:`.turns` say who may go on. :mod:`.addresses` and
:mod:`.limits` are used once; :mod:`.keeper` is the other program.
"""
