"""Says in the log who has ended how many tasks, whenever another ten have ended."""

import logging
from collections import Counter

from imp_parallel_core import TasksDone, hookimpl

_done = Counter()


@hookimpl
def imp_parallel_observe(events):
    for event in events:
        if isinstance(event, TasksDone):
            before = _done.total()
            _done[event.slave] += len(event)
            if _done.total() // 10 > before // 10:
                logging.getLogger(__name__).warning("ended: %s", dict(_done))
