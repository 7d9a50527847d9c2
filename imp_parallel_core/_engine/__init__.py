"""The thread in which decisions meet the world.

The user's threads post what they want to the engine's loop. The engine tells the scheduler
(:mod:`.._scheduler`) what has happened, and performs the actions that the scheduler decides on: it
sends to slaves (:mod:`.._fleet`) and delivers outcomes to the inboxes of contexts. It moves opaque
bytes, and never runs code of the user's.

Read :mod:`.engine` first, then :mod:`.performer` (what becomes of each action), :mod:`.inbox`
(where the user's threads wait for outcomes) and :mod:`.observers`.
"""
