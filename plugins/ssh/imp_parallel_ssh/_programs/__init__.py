"""Programs that are sent to hosts and run there by whatever Python there is.

Each is a package of modules, the first of which is ``main``; :mod:`.joiner` makes one text of them.
The modules need the standard library alone, and the core's ``private_folders``, which is joined
with them.

Read :mod:`.bridge` first, which runs beside each slave of a host (:mod:`.._slaves` sends it), then
:mod:`.relay`, which runs on a login node (:mod:`.._login_node` sends it).
"""
