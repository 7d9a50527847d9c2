"""Code and values in pickles: what master and runner share.

The master's definitions (:mod:`.._definitions`) and the runner (:mod:`.._slave.runner`) call this
room.

Read :mod:`.references` first (how a pickle refers to code that travelled before it), then
:mod:`.functions`, :mod:`.annotations`, :mod:`.reducers` and :mod:`.by_name` (how code is taken
apart), :mod:`.pickler`, and :mod:`.loaded` with :mod:`.global_versions`, :mod:`.failed_bundles` and
:mod:`.kept_parts` (what a runner has received). :mod:`.results` and
:mod:`.result_reducer` pickle the value or the exception of a task; :mod:`.exception_facts` describe
an exception that can't be pickled. :mod:`.culprit` names the part of a task that can't be pickled,
and :mod:`.reprs` describes the user's objects in messages. :mod:`.calls` says how a task is
called. :mod:`.cloudpickle_version` and
:mod:`.same_files` tell whether a slave has the same package and the same files as the master.
"""
