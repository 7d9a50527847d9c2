"""Streams whose peers claim to be a slave, and have not introduced themselves yet.

Anybody who has the run's credentials can open such streams: another start of the same slave, or a
slave that comes back while its old stream has not ended. So only a few are listened to.
"""

from __future__ import annotations

from .actions import Close, Listen
from .state import LifeState, Stage

_MOST = 4  # a new one takes the place of the oldest


def add(life: LifeState, stream: int, *, resumable: bool, launch: int | None) -> None:
    """Listen to a stream, which a launch may have made; or close it, if it comes too late."""
    is_taken = life.newcomers or life.session is not None or life.stage is Stage.GONE
    is_of_another = launch is not None and launch != life.launching.number
    if is_of_another or (is_taken and not resumable):
        life.actions.append(Close(stream))
        return
    life.newcomers[stream] = resumable
    life.actions.append(Listen(stream))
    if len(life.newcomers) > _MOST:
        oldest = next(iter(life.newcomers))
        del life.newcomers[oldest]
        life.actions.append(Close(oldest))


def close_all(life: LifeState) -> None:
    """Close the streams of all newcomers."""
    life.actions += [Close(stream) for stream in life.newcomers]
    life.newcomers.clear()
