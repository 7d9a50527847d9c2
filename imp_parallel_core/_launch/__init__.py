"""One launch: the thread that calls a launcher plugin, which may wait, so that nobody else does.

The fleet (:mod:`.._fleet`) makes a watch for each launch, and gets its reports.

Read :mod:`.watch` first, with :mod:`.reports` (what it tells), then :mod:`.answers` (what the
plugin says when asked) and :mod:`.calls` (which question it is at), :mod:`.late` (slaves that run
and do not connect) and :mod:`.queued` (slaves that are not started).
:mod:`.gateway_launch` launches slaves behind a login node.
"""
