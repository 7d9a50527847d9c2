"""A slave on this host, as its bridge knows it."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import time

from .exit_codes import ENDED_UNSEEN
from .listeners import is_heard
from .processes import adopt_orphans, descendants, kill, kill_group, reap
from .slave_start import become_slave

TYPE_CHECKING = False  # as typing's, which takes long to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .run_folder import RunFolder

_PIPE_BYTES = 1 << 20  # how much output can wait while there is no bridge
_F_SETPIPE_SZ = 1031  # Linux
_TAKE_OVER_S = 5.0
_ENDING_S = 1.0
_LOOK_S = 0.01


class HostedSlave:
    """A slave's files in the run's folder, and this bridge's hold on them.

    Only one bridge has a slave at a time: this one ends an earlier one, which may not know that its
    channel has gone.

    Args:
        folder: the run's.
        name: the slave's.
        is_new: whether it is still to be started.

    Raises OSError if there is no such slave.

    Attributes:
        address: of the socket at which the slave listens.
        output: the descriptor that its output is read from; -1 until it was started or joined.
    """

    def __init__(self, folder: RunFolder, name: str, *, is_new: bool) -> None:
        if "/" in name:
            raise OSError(errno.EINVAL, "no slave has such a name")
        self._folder = folder
        self.output = -1
        self._child = 0  # its pid, for the bridge that has started it
        self._files = [name + end for end in (".socket", ".output", ".lock")]
        self.address, self._fifo, _ = (f"{folder.path}/{file}" for file in self._files)
        flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if is_new else 0)
        self._lock = os.open(self._files[-1], flags, 0o600, dir_fd=folder.descriptor)
        self._take_over()

    def _pids(self) -> list[int]:
        """Return the pids of its bridge and of itself."""
        words = os.pread(self._lock, 64, 0).split()
        return [int(word) for word in words] if len(words) == 2 else [0, 0]

    def _note(self, slave: int) -> None:
        os.pwrite(self._lock, b"%d %d\n%20s" % (os.getpid(), slave, b""), 0)

    def _take_over(self) -> None:
        deadline = time.monotonic() + _TAKE_OVER_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                bridge = self._pids()[0]
                if bridge > 1:
                    kill(bridge)
                time.sleep(_LOOK_S)
        self._note(self._pids()[1])

    # ---- its start, and the way to it

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the slave.

        Args:
            argv: its command.
            environment: more for its environment.
        """
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.address)
        listening.listen(4)
        os.mkfifo(self._fifo, 0o600)
        # open for reading as well: so a write never fails, but waits, while there is no bridge
        written = os.open(self._fifo, os.O_RDWR)
        try:
            fcntl.fcntl(written, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # not Linux, or not allowed
        self._child = os.fork()
        if not self._child:
            become_slave(listening.detach(), written, argv, environment)
        adopt_orphans()
        self._note(self._child)
        self.output = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        os.close(written)
        listening.close()

    def connect(self) -> socket.socket:
        """Return a connection to the slave. Raises OSError if it has ended."""
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(self.address)
        return connected

    def join(self) -> socket.socket:
        """Return a connection to a slave that another bridge has started.

        Raises OSError if it has ended.
        """
        connected = self.connect()
        self.output = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        return connected

    # ---- its end

    def has_ended(self) -> bool:
        """Return whether all its processes have; at least its supervisor, if that is a child."""
        poll = select.poll()
        poll.register(self.output, 0)
        if any(events & select.POLLHUP for _, events in poll.poll(0)):
            return True
        if not self._child:
            return False
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._child, flags) is not None

    def end_orphans(self) -> None:
        """End what the slave has left, once it has ended: its supervisor may have been killed."""
        if not self._child:
            return  # they are not this bridge's
        os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOWAIT)
        deadline = time.monotonic() + _ENDING_S
        while time.monotonic() < deadline:
            left = [pid for pid in descendants(os.getpid()) if pid != self._child]
            if not left:
                break
            for pid in left:
                kill(pid)
            time.sleep(_LOOK_S)
            for pid in left:
                reap(pid)

    def exit_code(self) -> int:
        """Return how the slave has ended, as the bridge tells the master."""
        if not self._child:
            return ENDED_UNSEEN
        code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """End the slave and what it has started, by force."""
        try:
            is_there = is_heard(self.address)
        except OSError:
            is_there = False
        if not is_there:
            return  # it has ended, and its pid may be another's by now
        slave = self._pids()[1]
        if slave > 1:
            started = descendants(slave)
            kill_group(slave)
            for pid in started:
                kill(pid)

    def remove(self) -> None:
        """Remove the slave's files."""
        for file in self._files:
            try:
                os.unlink(file, dir_fd=self._folder.descriptor)
            except OSError:
                pass
