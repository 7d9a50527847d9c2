"""The relay on a login node: what connects to it there reaches the master through SSH.

``python relay.py serve PATIENCE_S HOST FOLDER`` listens at the addresses of its machine (or at HOST
alone) and joins each connection to one of its own to a port of the loopback, which sshd forwards to
the master. It says where it listens, in a line of JSON, and goes to the background; what stays in
the foreground, as the command that SSH has started, is a keeper: it passes on what the master says,
such as that port. ``python relay.py attach SOCKET`` is another keeper, after SSH was lost.

Connections that come while no master is there are held, not refused: whoever dials the master takes
a refusal for its end. When the master says so, or is away for too long, the relay removes FOLDER
and ends.

It carries what it can't read, from whoever can reach it. Those who dial the master speak first;
who says nothing takes a descriptor here, for as long as there are enough, and never reaches the
master. The number of connections is limited such that descriptors are always left for the rest.
It runs on any Python from 3.6, with nothing else installed.
"""

import errno
import fcntl
import json
import os
import resource
import select
import selectors
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from typing import Any, Dict, List, Optional, Tuple

from imp_parallel_core import private_folders

BUFFER_BYTES = 256 * 1024
JOINED = 8192  # connections to the master, at a time; each takes two descriptors
UNANSWERED = 64  # of them, those that the master has not answered: others wait, and then …
UNANSWERED_S = 2.0  # … one that has been so for so long gives way
WAITING = 2048  # connections that wait: for their first word, or for the master
SILENT_S = 0.2  # when there are so many, one that has said nothing gives way
RESERVED = 24  # descriptors: those of the relay itself, and some for its end
REST_S = 0.2  # when the system is out of descriptors or memory
GONE_S = 6.0  # a keeper that ends right after it was heard: its master was killed, or is back soon
FRESH_S = 6.0  # the master is heard every two seconds
RETRY_S = 0.2
BACKLOG = 1024
REPORTS = 20  # of what went wrong in the relay itself, to the master
REPORT_BYTES = 4096
PREFIX = ".imp_parallel-"
PATH_LIMIT = 60  # of what the folder for the socket is in


def own_addresses() -> List[str]:
    """Return the addresses of this machine, those of its loopback last."""
    import array

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


def raise_limit() -> int:
    """Let this process have as many descriptors as it may; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (ValueError, OSError):
        pass  # some systems give less than they say
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


class End:
    """One end of a joined pair of connections, and what waits to be written to it."""

    def __init__(self, pair: "Pair", sock: socket.socket) -> None:
        self.pair = pair
        self.sock = sock
        self.waiting = bytearray()
        self.other = self
        self.has_ended = False  # nothing more is read from it
        self.is_shut = False  # nothing more is written to it


class Pair:
    """Somebody's connection, and the one to the master that it is joined to."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = End(self, near), End(self, far)
        self.near.other, self.far.other = self.far, self.near
        self.begun_at = time.monotonic()


class Relay:
    """The loop of the relay.

    Its limits leave descriptors over: ``descriptors`` are all that this process may have.
    """

    def __init__(
        self,
        listening: List[socket.socket],
        door: socket.socket,
        patience_s: float,
        descriptors: int,
    ) -> None:
        self.selector = selectors.DefaultSelector()
        self.listening = listening
        self.door = door
        self.patience_s = patience_s
        self.port: Optional[int] = None
        self.keeper: Optional[socket.socket] = None
        self.keeper_text = b""
        self.heard_at = time.monotonic()
        self.leave_at: Optional[float] = time.monotonic() + patience_s
        self.most_waiting = max(1, min(WAITING, (descriptors - RESERVED) // 4))
        self.most_unanswered = UNANSWERED
        self.most_joined = max(1, min(JOINED, (descriptors - RESERVED - self.most_waiting) // 2))
        # the oldest first
        self.silent: Dict[socket.socket, float] = {}  # since when
        self.held: Dict[socket.socket, None] = {}  # they have spoken
        self.pairs: Dict[Pair, None] = {}
        self.unanswered: Dict[Pair, None] = {}  # of these
        self.reports: List[bytes] = []
        self.reports_left = REPORTS
        self.is_listening = False
        self.rests_until = 0.0
        self.retry_at: Optional[float] = None
        self.selector.register(door, selectors.EVENT_READ, self.attach)

    def run(self) -> None:
        """Relay, until the master has gone."""
        while True:
            now = time.monotonic()
            if self.leave_at is not None and now >= self.leave_at:
                return
            if self.retry_at is not None and now >= self.retry_at:
                self.retry_at = None
                self.join_held()
            self.listen_if_there_is_room(now)
            for key, events in self.selector.select(self.wait_s(now)):
                known = self.known(key.fileobj)  # what came before it may have changed that
                if known is not None:
                    self.handle(key.fileobj, known, events)

    def known(self, sock: Any) -> Any:
        """Return what handles a socket's events; None for one that is closed, or not watched."""
        if sock.fileno() < 0:
            return None
        key = self.selector.get_map().get(sock)
        return key.data if key is not None and key.fileobj is sock else None

    def handle(self, sock: Any, function: Any, events: int) -> None:
        """Handle an event; whatever goes wrong in it concerns one connection only."""
        try:
            function(sock, events)
        except BlockingIOError:
            pass
        except Exception as problem:
            if not isinstance(problem, OSError):  # a bug: the connection may be in any state
                self.report()
                problem = OSError(str(problem))
            if sock in self.listening:
                self.rest(problem)
            elif sock is self.door:  # it is ready all the time
                self.rest(problem)
                time.sleep(REST_S)
            elif sock is self.keeper:
                self.lose_keeper()
            else:
                self.forget(sock)

    def forget(self, sock: socket.socket) -> None:
        """Close somebody's connection, and the one to the master that it is joined to."""
        for pair in [pair for pair in self.pairs if sock in (pair.near.sock, pair.far.sock)]:
            self.drop(pair)
        self.close(sock)

    def report(self) -> None:
        """Tell the master of the exception that is being handled; not without end."""
        if self.reports_left:
            self.reports_left -= 1
            text = traceback.format_exc().encode("ascii", "backslashreplace")[-REPORT_BYTES:]
            self.reports.append(json.dumps({"trouble": text.decode()}).encode() + b"\n")
        self.send_reports()

    def send_reports(self) -> None:
        """Give the keeper what it is to pass on to the master, if one is there."""
        while self.reports and self.keeper is not None:
            try:
                # (there are few: a keeper that takes none of them has hung up, or is stopped)
                if self.keeper.send(self.reports[0]) < len(self.reports[0]):
                    self.lose_keeper()
                    return
            except OSError:
                return
            del self.reports[0]

    def wait_s(self, now: float) -> Optional[float]:
        """Return how long to wait for an event."""
        dues = [due for due in (self.leave_at, self.retry_at) if due is not None]
        if not self.is_listening:
            dues.append(now + REST_S)
        return max(0.0, min(dues) - now) if dues else None

    # ---- the master

    def attach(self, door: socket.socket, events: int) -> None:
        """A keeper has come."""
        keeper = door.accept()[0]
        keeper.setblocking(False)
        if self.keeper is not None:
            self.close(self.keeper)
        self.keeper, self.keeper_text = keeper, b""
        self.port = None  # it says another; by now the old one may be a stranger's
        self.leave_at = None
        self.heard_at = time.monotonic()
        self.selector.register(keeper, selectors.EVENT_READ, self.listen_to_keeper)
        self.send_reports()

    def listen_to_keeper(self, keeper: socket.socket, events: int) -> None:
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
        self.heard_at = now = time.monotonic()
        *lines, self.keeper_text = (self.keeper_text + data).split(b"\n")
        for line in lines:
            words = line.split()
            if words[:1] == [b"bye"]:
                self.leave_at = now
            elif words[:1] == [b"port"]:
                for pair in list(self.pairs):  # they lead to where the master was
                    self.drop(pair)
                self.port = int(words[1])
                self.retry_at = now

    def lose_keeper(self) -> None:
        """Nobody passes on any more what the master says: wait for another one."""
        if self.keeper is not None:
            self.close(self.keeper)
        self.keeper = None
        now = time.monotonic()
        is_fresh = now - self.heard_at < FRESH_S
        self.leave_at = now + (min(GONE_S, self.patience_s) if is_fresh else self.patience_s)

    # ---- connections that wait

    def listen_if_there_is_room(self, now: float) -> None:
        """Leave connections in the system's queue while there is no room for them here."""
        wanted = now >= self.rests_until and self.has_room(now)
        if wanted != self.is_listening:
            self.is_listening = wanted
            for each in self.listening:
                if wanted:
                    self.selector.register(each, selectors.EVENT_READ, self.accept)
                else:
                    self.selector.unregister(each)

    def has_room(self, now: float) -> bool:
        """Whether one more may wait, perhaps in the place of the oldest who has said nothing."""
        if len(self.silent) + len(self.held) < self.most_waiting:
            return True
        return any(now - since >= SILENT_S for since in list(self.silent.values())[:1])

    def accept(self, listening: socket.socket, events: int) -> None:
        """Somebody has connected."""
        now = time.monotonic()
        if not self.has_room(now):
            return
        try:
            accepted = listening.accept()[0]
        except ConnectionError:
            return
        if len(self.silent) + len(self.held) >= self.most_waiting:
            self.close(next(iter(self.silent)))
        self.silent[accepted] = now
        accepted.setblocking(False)
        self.selector.register(accepted, selectors.EVENT_READ, self.heard)

    def rest(self, problem: OSError) -> None:
        """Let others give descriptors back; here those give theirs back that have said nothing."""
        if problem.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC):
            for sock in [*self.silent][: RESERVED // 2]:
                self.close(sock)
        self.rests_until = time.monotonic() + REST_S

    def heard(self, sock: socket.socket, events: int) -> None:
        """Somebody has said the first word, or has gone without one."""
        is_gone = not sock.recv(1, socket.MSG_PEEK)
        if is_gone:
            self.close(sock)
            return
        self.selector.unregister(sock)
        del self.silent[sock]
        self.join(sock)

    def join_held(self) -> None:
        """Try again to join those who wait for the master."""
        for sock in list(self.held):
            if not self.can_join():
                return
            if sock in self.held:
                del self.held[sock]
                self.handle(sock, self.join, 0)

    def can_join(self) -> bool:
        """Whether the master is there, and may be connected to once more."""
        if self.port is None or self.keeper is None:
            return False  # it says its port when it is back
        if len(self.pairs) < self.most_joined and len(self.unanswered) < self.most_unanswered:
            return True
        oldest = next(iter(self.unanswered), None)
        if oldest is not None and oldest.begun_at < time.monotonic() - UNANSWERED_S:
            self.drop(oldest)
            return True
        self.retry_at = time.monotonic() + RETRY_S
        return False

    def hold(self, sock: socket.socket) -> None:
        """Let somebody wait for the master."""
        self.held[sock] = None
        if self.retry_at is None and self.port is not None and self.keeper is not None:
            self.retry_at = time.monotonic() + RETRY_S

    # ---- joined connections

    def join(self, near: socket.socket, events: int = 0) -> None:
        """Join a connection to one to the master; hold it while that isn't possible."""
        if self.port is None or not self.can_join():
            self.hold(near)
            return
        try:
            far = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError as problem:
            self.hold(near)
            self.rest(problem)
            return
        far.setblocking(False)
        if far.connect_ex(("127.0.0.1", self.port)) not in (0, errno.EINPROGRESS):
            far.close()
            self.hold(near)
            return
        pair = Pair(near, far)
        self.pairs[pair] = self.unanswered[pair] = None
        try:
            self.selector.register(far, selectors.EVENT_WRITE, lambda *_: self.connected(pair))
        except OSError as problem:
            self.drop(pair)
            self.rest(problem)

    def connected(self, pair: Pair) -> None:
        """A connection to the master is made, or has failed."""
        near, far = pair.near.sock, pair.far.sock
        if far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.pairs.pop(pair, None)
            self.unanswered.pop(pair, None)
            self.close(far)
            self.hold(near)
            return
        self.selector.unregister(far)
        try:
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for end in (pair.near, pair.far):
                self.watch(end)
        except OSError:
            self.drop(pair)

    def watch(self, end: End) -> None:
        """Wait for what an end is ready for."""
        wanted = 0
        if not end.has_ended and len(end.other.waiting) < BUFFER_BYTES:
            wanted |= selectors.EVENT_READ
        if end.waiting:
            wanted |= selectors.EVENT_WRITE
        is_known = self.known(end.sock) is not None
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
            self.move(end, events)
            if not (end.is_shut and end.other.is_shut):
                for each in (end, end.other):
                    self.watch(each)
                return
        except OSError:
            pass
        self.drop(end.pair)

    def move(self, end: End, events: int) -> None:
        """Move what an end is ready for."""
        if events & selectors.EVENT_WRITE:
            self.write(end)
        if events & selectors.EVENT_READ:
            try:
                data = end.sock.recv(BUFFER_BYTES)
            except BlockingIOError:
                return
            if data:
                end.other.waiting += data
                if end is end.pair.far:
                    self.answered(end.pair)
                self.write(end.other)
            else:
                end.has_ended = True
        for each in (end, end.other):
            if each.other.has_ended and not each.waiting and not each.is_shut:
                each.is_shut = True
                each.sock.shutdown(socket.SHUT_WR)

    def write(self, end: End) -> None:
        """Write what waits for an end."""
        while end.waiting:
            try:
                count = end.sock.send(end.waiting)
            except BlockingIOError:
                return
            del end.waiting[:count]

    def answered(self, pair: Pair) -> None:
        """The master has answered a connection, or it has ended: another may have its place."""
        if pair in self.unanswered:
            del self.unanswered[pair]
            if self.held:
                self.retry_at = time.monotonic()

    # ---- the end

    def drop(self, pair: Pair) -> None:
        """Close a joined pair: whoever is there dials again."""
        self.pairs.pop(pair, None)
        self.answered(pair)
        self.close(pair.near.sock)
        self.close(pair.far.sock)

    def close(self, sock: socket.socket) -> None:
        """Forget a socket."""
        self.silent.pop(sock, None)
        self.held.pop(sock, None)
        try:
            self.selector.unregister(sock)
        except (KeyError, ValueError):
            pass
        sock.close()

    def abandon(self) -> None:
        """Close everything, so that there are descriptors for what is still to be done."""
        for pair in list(self.pairs):
            self.drop(pair)
        for sock in [*self.silent, *self.held, *self.listening, self.door, self.keeper]:
            if sock is not None:
                self.close(sock)
        self.selector.close()


def keep(path: str, addresses: List[str]) -> None:
    """Pass on what the master says, until SSH or the relay ends."""
    door = socket.socket(socket.AF_UNIX)
    try:
        door.connect(path)
    except OSError as problem:
        sys.exit("the relay has gone: %s: %s" % (path, problem.strerror))
    try:
        print(json.dumps({"addresses": addresses, "socket": path}), flush=True)
        while True:
            readable = select.select([0, door.fileno()], [], [])[0]
            if door.fileno() in readable:
                try:
                    report = door.recv(4096)
                except OSError:
                    report = b""
                if not report:
                    sys.exit("the relay has ended")
                sys.stdout.buffer.write(report)
                sys.stdout.flush()
            if 0 not in readable:
                continue
            data = os.read(0, 4096)
            if not data:
                return
            door.sendall(data)
            if data.endswith(b"bye\n"):
                return
    except OSError as problem:
        sys.exit("the relay or the connection to it has gone: %s" % problem.strerror)


def private_folder() -> str:
    """Make a folder of our own for the relay's socket, whose path must not be long."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > PATH_LIMIT:
        parent = "/tmp"  # noqa: S108 - the folder in it has mode 0700
    return private_folders.make_private_folder(parent, PREFIX)


def remove(*folders: str) -> None:
    """Remove folders of our own, as far as that is possible."""
    for folder in folders:
        try:
            private_folders.remove_private_folder(folder)
        except OSError:
            pass  # it is none of ours


def serve(patience_s: float, host: str, folder: str) -> None:
    """Start the relay in the background, and be its keeper."""
    listening, addresses = listen(host)
    private = private_folder()
    path = private + "/relay"
    try:
        door = socket.socket(socket.AF_UNIX)
        door.bind(path)
        door.listen(8)
        door.setblocking(False)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        # the child's Python forgets a signal that it has seen when it begins
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        child = os.fork()
    except BaseException:
        remove(private)
        raise
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        for each in [*listening, door]:
            each.close()
        keep(path, addresses)
        return
    relay = None
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        # what removes old files from /tmp passes over a folder that is locked
        fcntl.flock(private_folders.open_private_folder(private), fcntl.LOCK_SH)
        relay = Relay(listening, door, patience_s, raise_limit())
        relay.run()
    except Exception:
        if relay is not None:
            relay.report()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if relay is not None:
            relay.abandon()
        remove(private, folder)


def main(words: List[str]) -> None:
    """Serve or attach."""
    if words[0] == "serve":
        serve(float(words[1]), words[2], words[3])
    else:
        keep(words[1], [])


if __name__ == "__main__":
    main(sys.argv[1:])
