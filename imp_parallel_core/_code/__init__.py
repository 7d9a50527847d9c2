"""Code and values in pickles: what both the master and the runner know of them.

The master's definitions (:mod:`.._definitions`) and the runner (:mod:`.._slave.runner`) call it.

Read :mod:`.references` first (how a pickle refers to code that travelled apart from it), then
:mod:`.reducers` and :mod:`.by_name` (how code is taken apart), :mod:`.pickler`, and :mod:`.loaded`
with :mod:`.failed_bundles` and :mod:`.kept_parts` (what a runner has received). :mod:`.results` and
:mod:`.result_reducer` pickle what a task came to; :mod:`.culprit` names what can't be pickled.
"""
