"""Paramiko's connection, such that its end is noticed, also one that nobody announces."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import paramiko
from paramiko.common import cMSG_GLOBAL_REQUEST
from paramiko.packet import Packetizer

from .._identity.host_keys import HostKeys

# A host that is silent for so long has gone. Where the system itself holds the connection, it finds
# that out; on a way through other hosts, the far end is asked for a sign of life.
_UNACKNOWLEDGED_MS = 15_000
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
_ASK_AFTER_S = 5.0
_GONE_AFTER_S = 20.0  # more than above: a question may wait behind much data on a slow line
_LOOK_S = 1.0

# What OpenSSH's client does not offer by itself any more, but a paramiko may.
_WEAK = {
    "kex": [
        "diffie-hellman-group1-sha1",
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group-exchange-sha1",
    ],
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc", "blowfish-cbc", "arcfour"],
    "macs": ["hmac-md5", "hmac-md5-96", "hmac-sha1-96"],
    "keys": ["ssh-dss", "ssh-rsa"],
    "pubkeys": ["ssh-dss", "ssh-rsa"],
}

# paramiko logs what it also raises, with tracebacks, as errors: they would come twice
_LOG = "imp_parallel.ssh.paramiko"
logging.getLogger(_LOG).setLevel(logging.CRITICAL + 1)


def prepare(connected: socket.socket) -> None:
    """Have a socket send at once, and notice a peer that has vanished."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**_KEEPALIVE, "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MS}.items():
        if hasattr(socket, name):  # not on every system
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Packetizer(Packetizer):
    """Notes when something was last heard."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.heard_at = time.monotonic()

    def read_message(self) -> Any:
        """Read a packet."""
        read = super().read_message()
        self.heard_at = time.monotonic()
        return read


class Transport(paramiko.Transport):
    """One connection, to one host. Its thread reads.

    Args:
        sock: a socket, or a channel of another connection.
        name: of the host, for the names of threads.
        host_keys: what is known of the host's keys.
    """

    def __init__(self, sock: socket.socket | paramiko.Channel, name: str, keys: HostKeys) -> None:
        self._host_keys: HostKeys | None = None
        super().__init__(sock, packetizer_class=_Packetizer, disabled_algorithms=_WEAK)
        self._host_keys = keys
        self._ended: Callable[[], None] = lambda: None
        self.call_soon: Callable[[Callable[[], None]], None] = lambda function: None
        """Has a function called in a thread that may wait."""
        self._is_closing = False
        self.set_log_channel(_LOG)
        self.name = f"imp_parallel ssh {name}"
        _alive.add(self)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The host key algorithms to offer: first those of keys that are known."""
        everything = tuple(super().preferred_keys)
        return everything if self._host_keys is None else self._host_keys.preferred(everything)

    def verify_host(self) -> None:
        """Raise HostKeyRefused unless the host is known; called once keys are exchanged."""
        key = self.get_remote_server_key()
        certificate = key.public_blob
        if self._host_keys is not None and certificate is not None:
            self._host_keys.check(certificate.key_type, certificate.key_blob)
        elif self._host_keys is not None:
            self._host_keys.check(key.get_name(), key.asbytes())

    def watch(self, ask: Callable[[], None] | None, ended: Callable[[], None]) -> None:
        """Notice the end of the connection, once it is made.

        Args:
            ask: called from the transport's thread when the host has been silent for a while; it
                shall have :meth:`ask_for_life` called in another one. None where the system itself
                notices a peer that has vanished.
            ended: called from the transport's thread at its end.
        """
        self._ended = ended
        if not self.is_alive():
            ended()
        elif ask is not None:
            packetizer: Any = self.packetizer

            def look() -> None:
                silent_s = time.monotonic() - packetizer.heard_at
                if silent_s > _GONE_AFTER_S:
                    raise OSError(errno.ETIMEDOUT, f"it was silent for {silent_s:.0f} s")
                if silent_s > _ASK_AFTER_S:
                    ask()

            packetizer.set_keepalive(_LOOK_S, look)

    def _send_user_message(self, data: paramiko.Message) -> None:
        """Send a message; while keys are exchanged anew, paramiko has it wait.

        It would also have its own thread wait, which answers the end of a channel: that is the
        thread that exchanges the keys. (Then both ends wait until the connection is given up.)
        """
        parent: Any = super()
        if threading.current_thread() is self and not self.clear_to_send.is_set():
            self.call_soon(lambda: parent._send_user_message(data))
        else:
            parent._send_user_message(data)

    def ask_for_life(self) -> None:
        """Ask the host for an answer, whatever it is; don't wait for it."""
        message = paramiko.Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        self._send_user_message(message)  # (global_request would wait, for ever perhaps)

    def close(self) -> None:
        """Close the connection."""
        self._is_closing = True
        super().close()

    def stop_thread(self) -> None:
        """End the thread, if this is being closed.

        At the end of the script paramiko would stop all connections, before a Manager that nobody
        has closed can take leave of its slaves over them.
        """
        if self._is_closing:
            super().stop_thread()

    def run(self) -> None:
        """Read, until the end."""
        try:
            super().run()
        finally:
            self._ended()


_alive: weakref.WeakSet[Transport] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """In a forked child: let go of the connections, without a word to the hosts.

    The child's copies of the objects would otherwise write to the parent's connections when they
    are collected.
    """
    for transport in list(_alive):
        copied: Any = transport
        copied.active = False
        if isinstance(transport.sock, socket.socket):
            transport.sock.close()


os.register_at_fork(after_in_child=_leave_to_parent)
