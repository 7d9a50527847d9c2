"""The engine's thread: it performs what the scheduler decides, and reports what happens.

The user's threads post what they want to the engine's loop. The engine tells the scheduler
(:mod:`.._scheduler`) what has happened, and performs the actions that the scheduler returns: it
sends messages to slaves (:mod:`.._fleet`) and delivers outcomes to the inboxes of contexts. It
moves opaque bytes, and never runs the user's code.

Read :mod:`.engine` first, with :mod:`.ending`, then :mod:`.context_requests` (what the user's
threads ask of it for one context), :mod:`.performer` (how each action is performed), :mod:`.inbox`
(where outcomes wait for the user's threads), :mod:`.waiter` (how a thread waits for one),
:mod:`.readers` (what the engine does for such threads), :mod:`.served_context` (what the engine
knows of a context), :mod:`.observers` (which calls each :mod:`.observer`) and :mod:`.witness` (what
these are told; :mod:`.telling` tells it, with :mod:`.first_lines` of errors). :mod:`.progress` is
what the ``repr`` of a context shows, :mod:`.slave_list` what ``Manager.slaves`` returns, and
:mod:`.vain_waits` tells those who wait in vain why.
"""
