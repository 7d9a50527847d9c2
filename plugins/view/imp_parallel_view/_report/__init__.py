"""The report of a run: one HTML file, made from a record.

:mod:`.command` is ``imp-parallel report``. It has :mod:`.history` take in the events, which holds
of each task what a report needs, in columns; :mod:`.idleness` finds out why slaves were idle.
:mod:`.timeline` makes of that what the page draws, of bounded size however many tasks there were,
and :mod:`.statistics` what it says in numbers. :mod:`.charts` draws the charts that never change,
as SVG, and :mod:`.tables` writes the tables. :mod:`.page` puts all into one file, with ``page.css``
and ``page.js``. :mod:`.perfetto` writes a trace instead, whose slices :mod:`.rows` keeps apart. All
of them but the command are pure.
"""
