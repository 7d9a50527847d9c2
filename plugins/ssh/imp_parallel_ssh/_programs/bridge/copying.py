"""Copying between the channel and the slave, and what is to be done when the stream has ended."""

from __future__ import annotations

import os
import select
import socket
import time

from .exit_codes import STREAM_ENDED

TYPE_CHECKING = False  # as typing's, which takes long to import
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .slave import HostedSlave

_CHUNK_BYTES = 1 << 18
_ENDING_S = 1.0  # what a slave may take to end after its stream
_LAST_OUTPUT_S = 5.0
_LOOK_S = 0.01
_SELDOM_S = 0.05


class Pump:
    """Copies from one descriptor to another; it holds at most one piece that is not written."""

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink = sink
        self.has_source = self.has_sink = True
        self._waiting = memoryview(b"")

    def wants_to_read(self) -> bool:
        """Return whether there is room for more from the source."""
        return self.has_source and not self._waiting

    def wants_to_write(self) -> bool:
        """Return whether there is anything for the sink."""
        return bool(self._waiting)

    def read(self) -> None:
        """Read what the source has, and write it."""
        try:
            data = os.read(self.source, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.has_source = False
        elif self.has_sink:
            self._waiting = memoryview(data)
            self.write()

    def write(self) -> None:
        """Write as much as the sink takes. After the sink has gone, the rest is dropped."""
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self.sink, self._waiting) :]
        except BlockingIOError:
            pass
        except OSError:
            self.has_sink = False
            self._waiting = memoryview(b"")


def copy(slave: HostedSlave, connected: socket.socket) -> int:
    """Copy until the slave or its stream has ended; return the bridge's exit code."""
    connected.setblocking(False)
    for descriptor in (0, 1, 2):
        os.set_blocking(descriptor, False)
    to_slave = Pump(0, connected.fileno())
    from_slave = Pump(connected.fileno(), 1)
    output = Pump(slave.output, 2)
    is_told = False
    while from_slave.has_source or from_slave.wants_to_write():
        if not to_slave.has_source and not to_slave.wants_to_write() and not is_told:
            is_told = True
            try:
                connected.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has ended as well
        if not to_slave.has_source:
            output.has_source = False  # what the slave writes now is the next bridge's
        _turn([to_slave, from_slave, output], None)
    connected.close()
    return _finish(slave, output, has_channel=to_slave.has_source)


def _finish(slave: HostedSlave, output: Pump, *, has_channel: bool) -> int:
    """The stream has ended, and so has the slave, probably; return the bridge's exit code."""
    deadline = time.monotonic() + _ENDING_S
    while not slave.has_ended():
        if not has_channel:
            time.sleep(_SELDOM_S)
        elif time.monotonic() > deadline:
            return STREAM_ENDED
        else:
            _turn([output], _LOOK_S)
    slave.end_orphans()
    deadline = time.monotonic() + _LAST_OUTPUT_S
    while has_channel and time.monotonic() < deadline and output.has_sink:
        if not output.wants_to_write() and not _has_more(slave.output):
            break
        _turn([output], _LOOK_S)
    slave.remove()
    return slave.exit_code()


def _turn(pumps: Sequence[Pump], wait_s: float | None) -> None:
    """Copy what can be copied; wait for it, for so long at most."""
    reading = {pump.source: pump for pump in pumps if pump.wants_to_read()}
    writing = {pump.sink: pump for pump in pumps if pump.wants_to_write()}
    readable, writable, _ = select.select(list(reading), list(writing), [], wait_s)
    for descriptor in writable:
        writing[descriptor].write()
    for descriptor in readable:
        reading[descriptor].read()


def _has_more(descriptor: int) -> bool:
    """Return whether there is anything in a FIFO to be read."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))
