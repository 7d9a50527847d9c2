"""The keys that an SSH agent holds; it signs with them, and doesn't give them away."""

from __future__ import annotations

import socket
import struct
import time

import paramiko

_LIST, _LISTED = 11, 12
_SIGN, _SIGNED = 13, 14
_LIST_S = 5.0
_LONGEST_REPLY = 256 * 1024
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
_CERTIFICATE = "-cert-v01@openssh.com"


class AgentKey(paramiko.PKey):
    """A key in an agent, as paramiko uses keys.

    Args:
        agent: the agent.
        blob: the public key, or certificate, as it travels.
        comment: what the agent calls it.
    """

    def __init__(self, agent: Agent, blob: bytes, comment: str) -> None:
        self.public_blob = None
        self.blob = blob
        self.comment = comment
        self._agent = agent
        self._name = paramiko.Message(blob).get_text()

    def get_name(self) -> str:
        """Return the type of the key."""
        return self._name

    def asbytes(self) -> bytes:
        """Return the public key as it travels."""
        return self.blob

    def can_sign(self) -> bool:
        """Return that it can sign."""
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        """Have the agent sign; raises OSError if it does not."""
        flags = _FLAGS.get((algorithm or "").removesuffix(_CERTIFICATE), 0)
        return paramiko.Message(self._agent.sign(self.blob, data, flags))


class Agent:
    """A connection to an agent.

    Args:
        path: its socket.
        timeout_s: how long a signature may take, for which it may ask a person. The list of its
            keys, for which it asks nobody, may take half of that, and 5 s at most: an agent that
            has been stopped leaves time for the keys of files.

    Raises OSError if it can't be reached.
    """

    def __init__(self, path: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(min(timeout_s / 2, _LIST_S))
        try:
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise

    def keys(self) -> list[AgentKey]:
        """Return the keys that it holds. Raises OSError."""
        asked_at = time.monotonic()
        try:
            kind, body = self._ask(bytes([_LIST]))
        except TimeoutError:
            waited_s = time.monotonic() - asked_at
            raise OSError(f"it has not answered for {waited_s:.2g} s; try: ssh-add -l") from None
        self._socket.settimeout(self._timeout_s)
        if kind != _LISTED:
            raise OSError(f"the SSH agent refused to list its keys (answer {kind})")
        message = paramiko.Message(body)
        found = []
        for _ in range(message.get_int()):
            blob, comment = message.get_binary(), message.get_binary()
            found.append(AgentKey(self, blob, comment.decode(errors="replace")))
        return found

    def sign(self, blob: bytes, data: bytes, flags: int) -> bytes:
        """Return a signature by one of its keys. Raises OSError."""
        request = paramiko.Message()
        request.add_byte(bytes([_SIGN]))
        request.add_string(blob)
        request.add_string(data)
        request.add_int(flags)
        kind, body = self._ask(request.asbytes())
        if kind != _SIGNED:
            raise OSError("the SSH agent refused to sign")
        return paramiko.Message(body).get_binary()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _ask(self, request: bytes) -> tuple[int, bytes]:
        self._socket.sendall(struct.pack(">I", len(request)) + request)
        (size,) = struct.unpack(">I", self._read(4))
        if not 1 <= size <= _LONGEST_REPLY:
            raise OSError("the SSH agent's answer can't be read")
        reply = self._read(size)
        return reply[0], reply[1:]

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise OSError("the SSH agent hung up")
            data += piece
        return data
