"""The relay on a login node: what connects to it there reaches the master through SSH.

``python relay.py serve PATIENCE_S HOST FOLDER`` listens at the addresses of its machine (or at HOST
alone) and joins each connection to one of its own to a port of the loopback, which sshd forwards to
the master. It says where it listens, in a line of JSON, and goes to the background; what stays in
the foreground, as the command that SSH has started, is a keeper: it passes on what the master says,
such as that port. ``python relay.py attach SOCKET`` is another keeper, after SSH was lost.

Connections that come while no master is there are held, not refused: whoever dials the master takes
a refusal for its end. When the master says so, or is away for too long, the relay removes FOLDER
and ends.

It carries what it can't read. It runs on any Python from 3.6, with nothing else installed.
"""

import json
import os
import selectors
import shutil
import socket
import struct
import sys
import tempfile
import time
from typing import List, Optional, Tuple

BUFFER_BYTES = 256 * 1024
GONE_S = 6.0  # a keeper that ends right after it was heard: its master was killed, or is back soon
FRESH_S = 6.0  # the master is heard every two seconds
RETRY_S = 0.2
BACKLOG = 1024


def own_addresses() -> List[str]:
    """Return the addresses of this machine, those of its loopback last."""
    import array
    import fcntl

    found = []
    room = array.array("B", bytes(40 * 256))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, 0x8912, struct.pack("iL", len(room), room.buffer_info()[0]))
    filled = struct.unpack_from("i", answer)[0]
    for at in range(0, filled, 40):
        if struct.unpack_from("H", room, at + 16)[0] == socket.AF_INET:
            found.append(socket.inet_ntoa(bytes(room[at + 20 : at + 24])))
    try:
        with open("/proc/net/if_inet6") as lines:
            for line in lines:
                address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))
                if not address.startswith("fe80"):
                    found.append(address)
    except OSError:
        pass
    found = list(dict.fromkeys(found))
    return sorted(found, key=lambda address: address.startswith("127.") or address == "::1")


def listen(host: str) -> Tuple[List[socket.socket], List[str]]:
    """Return listening sockets at one port, and the addresses to reach them at."""
    if host:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.bind(address)
        name = listening.getsockname()
        addresses = [name[0]]
        sockets = [listening]
    else:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.bind(("", 0))
        name = listening.getsockname()
        addresses = own_addresses()
        sockets = [listening]
        if any(":" in address for address in addresses):
            try:
                other = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
                other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                other.bind(("::", name[1]))
                sockets.append(other)
            except OSError:
                addresses = [address for address in addresses if ":" not in address]
    for each in sockets:
        each.listen(BACKLOG)
        each.setblocking(False)
    port = name[1]
    written = [("[%s]:%d" if ":" in a else "%s:%d") % (a, port) for a in addresses]
    return sockets, written


class End:
    """One end of a joined pair of connections, and what waits to be written to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.waiting = bytearray()
        self.other = self
        self.has_ended = False  # nothing more is read from it
        self.is_shut = False  # nothing more is written to it


class Relay:
    """The loop of the relay."""

    def __init__(
        self, listening: List[socket.socket], door: socket.socket, patience_s: float
    ) -> None:
        self.selector = selectors.DefaultSelector()
        self.patience_s = patience_s
        self.port: Optional[int] = None
        self.keeper: Optional[socket.socket] = None
        self.keeper_text = b""
        self.heard_at = time.monotonic()
        self.leave_at: Optional[float] = time.monotonic() + patience_s
        self.held: List[socket.socket] = []
        self.retry_at: Optional[float] = None
        for each in listening:
            self.selector.register(each, selectors.EVENT_READ, self.accept)
        self.selector.register(door, selectors.EVENT_READ, self.attach)

    def run(self) -> None:
        """Relay, until the master has gone."""
        while True:
            now = time.monotonic()
            if self.leave_at is not None and now >= self.leave_at:
                return
            if self.retry_at is not None and now >= self.retry_at:
                self.retry_at = None
                held, self.held = self.held, []
                for each in held:
                    self.join(each)
            dues = [due for due in (self.leave_at, self.retry_at) if due is not None]
            wait_s = max(0.0, min(dues) - now) if dues else None
            for key, events in self.selector.select(wait_s):
                if key.fileobj in self.selector.get_map():  # not closed by what came before it
                    key.data(key.fileobj, events)

    # ---- the master

    def attach(self, door: socket.socket, events: int) -> None:
        """A keeper has come."""
        keeper = door.accept()[0]
        keeper.setblocking(False)
        if self.keeper is not None:
            self.close(self.keeper)
        self.keeper, self.keeper_text = keeper, b""
        self.leave_at = None
        self.heard_at = time.monotonic()
        self.selector.register(keeper, selectors.EVENT_READ, self.listen_to_keeper)

    def listen_to_keeper(self, keeper: socket.socket, events: int) -> None:
        """The keeper says something, or has ended."""
        try:
            data = keeper.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.monotonic()
        if not data:
            self.close(keeper)
            self.keeper = None
            is_fresh = now - self.heard_at < FRESH_S
            self.leave_at = now + (min(GONE_S, self.patience_s) if is_fresh else self.patience_s)
            return
        self.heard_at = now
        *lines, self.keeper_text = (self.keeper_text + data).split(b"\n")
        for line in lines:
            words = line.split()
            if words[:1] == [b"bye"]:
                self.leave_at = now
            elif words[:1] == [b"port"]:
                self.drop_all()  # they lead to where the master was
                self.port = int(words[1])
                self.retry_at = now

    # ---- connections

    def accept(self, listening: socket.socket, events: int) -> None:
        """Somebody has connected."""
        try:
            accepted = listening.accept()[0]
        except OSError:
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.join(accepted)

    def join(self, accepted: socket.socket) -> None:
        """Join a connection to one to the master; hold it while there is none."""
        if self.port is None or self.keeper is None:
            self.hold(accepted)
            return
        there = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        there.setblocking(False)
        near, far = End(accepted), End(there)
        near.other, far.other = far, near
        there.connect_ex(("127.0.0.1", self.port))
        self.selector.register(there, selectors.EVENT_WRITE, lambda *_: self.connected(near, far))

    def hold(self, accepted: socket.socket) -> None:
        """Let somebody wait for the master."""
        self.held.append(accepted)
        if self.retry_at is None:
            self.retry_at = time.monotonic() + RETRY_S

    def connected(self, near: End, far: End) -> None:
        """A connection to the master is made, or has failed."""
        if far.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close(far.sock)
            self.hold(near.sock)
            return
        far.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.unregister(far.sock)
        for end in (near, far):
            self.watch(end)

    def watch(self, end: End) -> None:
        """Wait for what an end is ready for."""
        wanted = 0
        if not end.has_ended and len(end.other.waiting) < BUFFER_BYTES:
            wanted |= selectors.EVENT_READ
        if end.waiting:
            wanted |= selectors.EVENT_WRITE
        is_known = end.sock in self.selector.get_map()
        if not wanted:
            if is_known:
                self.selector.unregister(end.sock)
        elif is_known:
            self.selector.modify(end.sock, wanted, lambda _, events: self.serve(end, events))
        else:
            self.selector.register(end.sock, wanted, lambda _, events: self.serve(end, events))

    def serve(self, end: End, events: int) -> None:
        """Read from an end, or write to it."""
        try:
            if events & selectors.EVENT_WRITE:
                self.write(end)
            if events & selectors.EVENT_READ:
                data = end.sock.recv(BUFFER_BYTES)
                if data:
                    end.other.waiting += data
                    self.write(end.other)
                else:
                    end.has_ended = True
            for each in (end, end.other):
                if each.other.has_ended and not each.waiting and not each.is_shut:
                    each.is_shut = True
                    each.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            end.is_shut = end.other.is_shut = True
        if end.is_shut and end.other.is_shut:
            self.close(end.sock)
            self.close(end.other.sock)
            return
        for each in (end, end.other):
            self.watch(each)

    def write(self, end: End) -> None:
        """Write what waits for an end."""
        while end.waiting:
            try:
                count = end.sock.send(end.waiting)
            except BlockingIOError:
                return
            del end.waiting[:count]

    def drop_all(self) -> None:
        """Close all joined connections: whoever is there dials again."""
        for key in list(self.selector.get_map().values()):
            is_joined = key.data not in (self.accept, self.attach, self.listen_to_keeper)
            if is_joined and isinstance(key.fileobj, socket.socket):
                self.close(key.fileobj)

    def close(self, sock: socket.socket) -> None:
        """Forget a socket."""
        try:
            self.selector.unregister(sock)
        except (KeyError, ValueError):
            pass
        sock.close()


def keep(path: str) -> None:
    """Pass on what the master says, until SSH ends."""
    door = socket.socket(socket.AF_UNIX)
    door.connect(path)
    print(json.dumps({"socket": path}), flush=True)
    while True:
        data = os.read(0, 4096)
        if not data:
            return
        door.sendall(data)
        if data.endswith(b"bye\n"):
            return


def serve(patience_s: float, host: str, folder: str) -> None:
    """Start the relay in the background, and be its keeper."""
    listening, addresses = listen(host)
    private = tempfile.mkdtemp(prefix=".imp_parallel-")
    path = private + "/relay"
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(8)
    print(json.dumps({"addresses": addresses, "socket": path}), flush=True)
    if os.fork():
        for each in [*listening, door]:
            each.close()
        keep(path)
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    try:
        Relay(listening, door, patience_s).run()
    finally:
        shutil.rmtree(private, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def main(words: List[str]) -> None:
    """Serve or attach."""
    if words[0] == "serve":
        serve(float(words[1]), words[2], words[3])
    else:
        keep(words[1])


if __name__ == "__main__":
    main(sys.argv[1:])
