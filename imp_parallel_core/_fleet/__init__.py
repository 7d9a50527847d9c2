"""The slaves of a Manager, each from ``add_slave`` until it has gone.

Works in the engine's thread. It has slaves launched (:mod:`.._launch`), lets them in, listens to
them, notices those that are silent, and tells the scheduler (:mod:`.._scheduler`) what matters to
it.

Read :mod:`.fleet` first, then :mod:`.record` (one slave) and :mod:`.state`. A slave's way leads
from :mod:`.launches` through :mod:`.admission` and :mod:`.inbound`; :mod:`.heartbeats`,
:mod:`.absences` and :mod:`.attendance` watch over those that are there; :mod:`.inquiries` find out
how a slave ended, :mod:`.losses` say so, and :mod:`.withdrawals` take back slaves that nobody
needs. :mod:`.readable_error` makes the errors that slaves send fit to be read, and :mod:`.info` is
what ``Manager.slaves`` returns.
"""
