"""How many connections the relay may have, such that descriptors are left for the rest."""

import resource

RESERVED = 24  # descriptors: those of the relay itself, and some for its end
_JOINED = 8192  # connections to the master, at a time; each takes two descriptors
_UNANSWERED = 64  # of them, those that the master has not answered; the others wait
_WAITING = 2048  # connections that wait: for their first word, or for the master


class Limits:
    """How many connections there may be.

    Args:
        descriptors: all that this process may have.

    Attributes:
        waiting: connections that wait for their first word, or for the master.
        joined: connections that are joined to the master.
        unanswered: of these, connections that the master has not answered yet.
    """

    def __init__(self, descriptors: int) -> None:
        self.waiting = max(1, min(_WAITING, (descriptors - RESERVED) // 4))
        self.joined = max(1, min(_JOINED, (descriptors - RESERVED - self.waiting) // 2))
        self.unanswered = _UNANSWERED


def raise_limit() -> int:
    """Let this process have as many descriptors as it may; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (ValueError, OSError):
        pass  # some systems give less than they say
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
