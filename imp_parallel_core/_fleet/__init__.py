"""The slaves of a Manager, each from ``add_slave`` until it has gone.

What follows from what happens to a slave is decided by its life, a pure state machine
(:mod:`.life`: events go in, actions come out). The rest of the room works in the engine's thread:
it brings what happens into the lives of slaves, and performs what they decide.

Read :mod:`.life` first, with :mod:`.actions` (what it decides) and :mod:`.state` (what it knows).
Behind it are the rules for what is expected of a launch (:mod:`.launching`), for whose streams are
listened to (:mod:`.newcomers`), for who gets a session (:mod:`.sessions`, which change its
:mod:`.session_state`), for what is expected of a connected slave (:mod:`.silence`), and for how a
slave ends (:mod:`.ends`, :mod:`.evidence`).

Then read :mod:`.fleet`, which the engine calls, and :mod:`.performer`, which performs the actions.
What happens comes from launches (:mod:`.launches`), from streams whose peers claim to be slaves
(:mod:`.admission`), and from the messages of slaves (:mod:`.inbound`). A :mod:`.record` is what the
fleet keeps of one slave.

Beside these, :mod:`.losses` tell people how slaves were lost, :mod:`.stuck` tells of plugins that
do not answer, :mod:`.withdrawals` take back queued slaves that nobody needs,
:mod:`.readable_error` makes the errors that slaves send fit to be read, and :mod:`.info` is what
``Manager.slaves`` returns, in a :mod:`.slave_table`.
"""
