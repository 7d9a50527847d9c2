"""Programs that are sent to hosts and run there by whatever Python there is.

Nothing of the plugin imports them: they are read as text, and need the standard library alone.

Read :mod:`.bridge` first, which runs beside each slave of a host (:mod:`.._slaves` sends it), then
:mod:`.relay`, which runs on a login node (:mod:`.._login_node` sends it).
"""
