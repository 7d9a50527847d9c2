"""How the relay hears of the master: by a keeper, which connects to the relay's Unix socket."""

import json
import socket
import time
import traceback
from typing import Callable, List, Optional

from .sockets import READ, Sockets

_REPORTS = 20  # of what went wrong in the relay itself, to the master
_REPORT_BYTES = 4096


class MasterLink:
    """What the relay knows of the master.

    Args:
        sockets: watches the keeper.
        listening: the relay's Unix socket.
        patience_s: how long the relay stays without a master.
        moved: called when the master has said at which port it is reached from now on.

    Attributes:
        port: of the loopback, where the master is reached; None while nobody knows.
        keeper: the connection to it, if there is one.
        leave_at: when the relay leaves (monotonic s); None while the master is there.
    """

    def __init__(
        self,
        sockets: Sockets,
        listening: socket.socket,
        patience_s: float,
        moved: Callable[[], None],
    ) -> None:
        self.listening = listening
        self.port: Optional[int] = None
        self.keeper: Optional[socket.socket] = None
        self.leave_at: Optional[float] = time.monotonic() + patience_s
        self._sockets = sockets
        self._patience_s = patience_s
        self._moved = moved
        self._text = b""
        self._reports: List[bytes] = []
        self._reports_left = _REPORTS
        sockets.watch(listening, READ, self.attach)

    @property
    def is_there(self) -> bool:
        """Whether the master can be connected to; it says its port when it is back."""
        return self.port is not None and self.keeper is not None

    def attach(self, listening: socket.socket, events: int) -> None:
        """Take a keeper that has connected; it replaces an earlier one."""
        keeper = listening.accept()[0]
        keeper.setblocking(False)
        if self.keeper is not None:
            self._sockets.close(self.keeper)
        self.keeper, self._text = keeper, b""
        self.port = None  # it says another; by now the old one may be a stranger's
        self.leave_at = None
        self._sockets.watch(keeper, READ, self._listen)
        self._send_reports()

    def _listen(self, keeper: socket.socket, events: int) -> None:
        """The keeper says something, or has ended."""
        try:
            data = keeper.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.lose_keeper()
            return
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            words = line.split()
            if words[:1] == [b"bye"]:
                self.leave_at = time.monotonic()
            elif words[:1] == [b"port"]:
                self.port = int(words[1])
                self._moved()

    def lose_keeper(self) -> None:
        """Wait for another keeper: nobody passes on any more what the master says.

        A master that was killed looks like one whose connection has broken.
        """
        if self.keeper is not None:
            self._sockets.close(self.keeper)
        self.keeper = None
        self.leave_at = time.monotonic() + self._patience_s

    # ---- what the relay says to the master

    def report(self) -> None:
        """Tell the master of the exception that is being handled; not without end."""
        if self._reports_left:
            self._reports_left -= 1
            text = traceback.format_exc().encode("ascii", "backslashreplace")[-_REPORT_BYTES:]
            self._reports.append(json.dumps({"trouble": text.decode()}).encode() + b"\n")
        self._send_reports()

    def _send_reports(self) -> None:
        """Give the keeper what it is to pass on to the master, if one is there."""
        while self._reports and self.keeper is not None:
            try:
                # (there are few: a keeper that takes none of them has hung up, or is stopped)
                if self.keeper.send(self._reports[0]) < len(self._reports[0]):
                    self.lose_keeper()
                    return
            except OSError:
                return
            del self._reports[0]
