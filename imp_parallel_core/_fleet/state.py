"""The states of a slave as people see them."""

from __future__ import annotations

import enum


class SlaveState(enum.Enum):
    """How far a slave has come, and whether it works."""

    LAUNCHING = "launching"
    QUEUED = "queued"
    CONNECTED = "connected"  # its runner is not ready yet
    IDLE = "idle"
    SETTING_UP = "setting up"
    WORKING = "working"
    SET_ASIDE = "set aside"  # task after task has died on it
    SUSPECTED = "suspected"
    RECONNECTING = "reconnecting"
    PAUSED = "paused"
    LEAVING = "leaving"
    GONE = "gone"
