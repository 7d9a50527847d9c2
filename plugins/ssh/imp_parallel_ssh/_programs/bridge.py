"""The bridge: a program that runs on the host, one for each slave, between the SSH channel and it.

Sent through the channel and run by any Python of the master's minor version: it has nothing but the
standard library, and of that only what starts fast. The master's side of the talk is
``_slaves.bridge_client``.

    SSH channel                 bridge                          slave
    standard input   ──────>    copies    ──────>   ┐ Unix socket, which the slave listens
    standard output  <──────    copies    <──────   ┘ at; its standard input
    standard error   <──────    copies    <──────     FIFO, its standard output and error

A slave outlives its bridge: when the channel has gone, the master can start another bridge, which
ends the old one and takes its place. A bridge without a channel waits for the slave's end, to
remove the files. They lie in one folder for each run, of mode 0700: the last bridge removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import stat
import sys
import time

from imp_parallel_core import private_folders

TYPE_CHECKING = False  # as typing's, which takes long to import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

STREAM_ENDED = 240
"""Exit code: the slave lives, but has ended the stream."""
ENDED_UNSEEN = 241
"""Exit code: the slave has ended, nobody knows how. Any other code is the slave's own."""
FAILED = 242
"""Exit code: the bridge itself failed, and has said how."""

_SHARED = ("/tmp", "/dev/shm")  # noqa: S108 - a new folder in it is made with mode 0700
_CHUNK_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20  # how much output can wait while there is no bridge
_F_SETPIPE_SZ = 1031  # Linux
_PR_SET_CHILD_SUBREAPER = 36  # Linux
_ST_NOEXEC = getattr(os, "ST_NOEXEC", 0)  # Linux
_PATH_LIMIT = 45  # of what the folder is in: with a slave's socket it has 107 bytes at most
_PREFIX = ".imp_parallel-slaves-"
_TURN = "turn"  # in a run's folder: held by who looks whether the folder is needed
_OLD_S = 3600.0  # a folder may be empty and free for a moment
_ENDING_S = 1.0
_LAST_OUTPUT_S = 5.0
_TAKE_OVER_S = 5.0
_SHORT_S = 0.01
_LISTENING = b"00010000"  # among the flags of a socket, as Linux prints them


class _ChannelGone(Exception):
    """Standard input has ended."""


# ---- the talk with the master, before the channel becomes the slave's stream


def _read(count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = os.read(0, min(count - len(data), _CHUNK_BYTES))
        if not piece:
            raise _ChannelGone
        data += piece
    return bytes(data)


def _hear() -> bytes:
    return _read(int(_read(10)))


def _hear_words() -> list[str]:
    return [os.fsdecode(word) for word in _hear().split(b"\0")]


def _say(*words: str) -> None:
    body = b"\0".join(os.fsencode(word) for word in words)
    data = b"%10d" % len(body) + body
    while data:
        data = data[os.write(1, data) :]


def _find(name: str) -> str:
    """Return where a package would be imported from; "" if there is no such source."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            origin = spec.origin or ""
            return os.path.dirname(origin) if os.path.isfile(origin) else ""
    return ""


def _version_in(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith("__version__ ="):
                    return line.partition("=")[2].strip(" \n\"'")
    except OSError:
        pass
    return ""


def _introduce() -> None:
    if os.path.sameopenfile(1, 2):
        # what a task writes could not be told from the stream
        _say(
            "failed",
            "the login shell's start-up files join standard error to standard output (as exec 2>&1 "
            "does). Let them do so only in a shell that somebody types to",
        )
        raise _ChannelGone
    core, cloudpickle = _find("imp_parallel_core"), _find("cloudpickle")
    _say(
        "here",
        sys.executable,
        os.path.dirname(core),
        _version_in(core + "/_version.py"),
        _version_in(cloudpickle + "/__init__.py"),
    )


# ---- the private folder


class _Folder:
    """The run's private folder. While any bridge holds it, it stays.

    Raises FileNotFoundError if it has gone, another OSError if the path is that of anything else.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = private_folders.open_private_folder(path, _PREFIX)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH)
            # it may have gone while this waited
            os.stat(private_folders.MARK, dir_fd=self.descriptor)
        except BaseException:
            os.close(self.descriptor)
            raise

    def release(self) -> None:
        """Let go of it; remove it if nobody else holds it and no slave is in it."""
        os.close(self.descriptor)  # first: of those who let go at the same time, one is the last
        try:
            _remove_if_unused(self.path)
        except OSError:
            pass  # it has gone


def _prepare(
    known: str, kinds: Sequence[str], digests: Sequence[str], contents: Sequence[bytes]
) -> _Folder:
    """Put archives into the folder, a new one if none is known; return it."""
    from hashlib import sha256

    for digest, content in zip(digests, contents, strict=True):
        if sha256(content).hexdigest() != digest:
            raise OSError(errno.EIO, "an archive did not arrive as it was sent")
    is_compiled = any(map(_holds_compiled, kinds, contents))
    if known and not (is_compiled and _is_noexec(known)):
        folder = _Folder(known)
        _fill(folder.path, kinds, digests, contents)
        return folder
    problems: list[str] = []
    for parent in sorted(_places(), key=_is_noexec) if is_compiled else _places():
        path = ""
        try:
            _refuse_everybodys(parent)
            path = private_folders.make_private_folder(parent.rstrip("/") or "/", _PREFIX)
            os.close(os.open(f"{path}/{_TURN}", os.O_CREAT | os.O_WRONLY, 0o600))
            _sweep(parent)
            _try_out(path)
            _fill(path, kinds, digests, contents)
            return _Folder(path)
        except OSError as problem:
            problems.append(f"{parent}: {problem.strerror or problem}")
            _discard(path)
        except BaseException:
            _discard(path)
            raise
    raise OSError(errno.ENOSPC, "; ".join(problems))


def _places() -> list[str]:
    """Return where the folder may be, the best place first."""
    wanted = (os.environ.get("TMPDIR", ""), *_SHARED[:1], os.path.expanduser("~"), *_SHARED[1:])
    return [
        parent
        for parent in dict.fromkeys(wanted)
        if parent.startswith("/") and len(parent) <= _PATH_LIMIT
    ]


def _refuse_everybodys(parent: str) -> None:
    """Raise PermissionError if everybody can put another folder into the place of one in there."""
    if os.stat(parent).st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "everybody can replace what is in it (no sticky bit)")


def _holds_compiled(kind: str, content: bytes) -> bool:
    """Whether an archive holds what the system must load as a program."""
    if kind != "modules" or b".so" not in content:  # it has the names as they are
        return False
    import io
    import zipfile

    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except zipfile.BadZipFile:
        return False  # unpacking will tell
    return any(".so" in os.path.basename(name) for name in names)


def _is_noexec(path: str) -> bool:
    """Whether the system loads no program from there."""
    try:
        return bool(os.statvfs(path).f_flag & _ST_NOEXEC)
    except OSError:
        return False  # using it will tell


def _discard(path: str) -> None:
    """Remove a folder that could not be prepared, if it was made at all."""
    if path:
        private_folders.remove_private_folder(path, _PREFIX)


def _sweep(parent: str) -> None:
    """Remove what earlier runs left behind when their bridges were killed."""
    for name in os.listdir(parent):
        path = f"{parent}/{name}"
        try:
            age_s = time.time() - os.stat(path, follow_symlinks=False).st_mtime
            if name.startswith(_PREFIX) and age_s > _OLD_S:
                _remove_if_unused(path)
        except OSError:
            pass  # it is not ours, or somebody else was faster


def _remove_if_unused(path: str) -> None:
    """Remove a run's folder, unless a bridge holds it or a slave lives in it.

    One looks at a time: who lets go while another looks, which may have seen that one's slave
    alive, must look after it. Raises OSError if there is no such folder.
    """
    held = [private_folders.open_private_folder(path, _PREFIX)]
    try:
        if not private_folders.was_made_here(held[0]):
            return  # the slaves of another machine, which shares the disk, can't be seen from here
        try:
            held.append(os.open(_TURN, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=held[0]))
            fcntl.flock(held[1], fcntl.LOCK_EX)
        except FileNotFoundError:
            pass  # it is being removed, or was never complete
        fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        names = os.listdir(held[0])
        if not any(name.endswith(".socket") and _is_heard(f"{path}/{name}") for name in names):
            private_folders.remove_private_folder(path, _PREFIX)
    except BlockingIOError:
        pass  # a bridge holds it
    finally:
        for descriptor in held:
            os.close(descriptor)


def _is_heard(address: str) -> bool:
    """Whether a process listens there.

    A slave that waits for its master would take a connection for that: so none is made to one that
    can be known otherwise. (To make one where nobody listens does no harm.)
    """
    return _is_listed(address) or _answers(address)


def _is_listed(address: str) -> bool:
    """Whether the kernel says so; on other systems than Linux it does not."""
    try:
        with open("/proc/net/unix", "rb") as file:
            sockets = [line.rstrip(b"\n").split(None, 7) for line in file]
    except OSError:
        return False
    folder, _, name = os.fsencode(address).rpartition(b"/")
    end = b"/" + os.path.basename(folder) + b"/" + name  # however its parent was called
    return any(
        len(words) == 8 and words[3] == _LISTENING and words[7].endswith(end) for words in sockets
    )


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return False
        return True


def _try_out(path: str) -> None:
    """Some file systems have no sockets, or no room left."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind(path + "/try")
    os.unlink(path + "/try")
    os.mkfifo(path + "/try")
    os.unlink(path + "/try")
    with open(path + "/try", "wb") as file:
        file.write(bytes(4096))
    os.unlink(path + "/try")


def _fill(
    path: str, kinds: Sequence[str], digests: Sequence[str], contents: Sequence[bytes]
) -> None:
    for kind, digest, content in zip(kinds, digests, contents, strict=True):
        if kind == "code":
            with open(path + "/" + digest + ".zip", "wb") as file:
                file.write(content)
        else:
            import io
            import zipfile

            zipfile.ZipFile(io.BytesIO(content)).extractall(path + "/" + digest)


# ---- a slave


class _Slave:
    """A slave's files, and this bridge's hold on them. Only one bridge has it at a time."""

    def __init__(self, folder: _Folder, name: str, *, is_new: bool) -> None:
        if "/" in name:
            raise OSError(errno.EINVAL, "no slave has such a name")
        self._folder = folder
        self.output = -1
        self.child = 0  # its pid, for the bridge that has started it
        self._files = [name + end for end in (".socket", ".output", ".lock")]
        self.address, self._fifo, _ = (f"{folder.path}/{file}" for file in self._files)
        flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if is_new else 0)
        self._lock = os.open(self._files[-1], flags, 0o600, dir_fd=folder.descriptor)
        self._take_over()

    def pids(self) -> list[int]:
        """Return the pids of its bridge and of itself."""
        words = os.pread(self._lock, 64, 0).split()
        return [int(word) for word in words] if len(words) == 2 else [0, 0]

    def _note(self, slave: int) -> None:
        os.pwrite(self._lock, b"%d %d\n%20s" % (os.getpid(), slave, b""), 0)

    def _take_over(self) -> None:
        """End the bridge that has it, which may not know that its channel has gone."""
        deadline = time.monotonic() + _TAKE_OVER_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                bridge = self.pids()[0]
                if bridge > 1:
                    _kill(os.kill, bridge)
                time.sleep(_SHORT_S)
        self._note(self.pids()[1])

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
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
        self.child = os.fork()
        if not self.child:
            _become_slave(listening.detach(), written, argv, environment)
        _adopt_orphans()
        self._note(self.child)
        self.output = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        os.close(written)
        listening.close()

    def connect(self) -> socket.socket:
        """Return a connection to the slave. Raises OSError if it has ended."""
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(self.address)
        return connected

    def join(self) -> socket.socket:
        connected = self.connect()
        self.output = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        return connected

    def has_ended(self) -> bool:
        """Whether all its processes have; or its supervisor at least, if this is the parent."""
        poll = select.poll()
        poll.register(self.output, 0)
        if any(events & select.POLLHUP for _, events in poll.poll(0)):
            return True
        if not self.child:
            return False
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.child, flags) is not None

    def end_orphans(self) -> None:
        """End what it has left, once it has ended: its supervisor may have been killed."""
        if not self.child:
            return  # they are not this bridge's
        os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOWAIT)
        deadline = time.monotonic() + _ENDING_S
        while time.monotonic() < deadline:
            left = [pid for pid in _descendants(os.getpid()) if pid != self.child]
            if not left:
                break
            for pid in left:
                _kill(os.kill, pid)
            time.sleep(_SHORT_S)
            for pid in left:
                _reap(pid)

    def exit_code(self) -> int:
        if not self.child:
            return ENDED_UNSEEN
        code = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """End the slave and what it has started, by force."""
        try:
            is_there = _is_heard(self.address)
        except OSError:
            is_there = False
        if not is_there:
            return  # it has ended, and its pid may be another's by now
        slave = self.pids()[1]
        if slave > 1:
            descendants = _descendants(slave)
            _kill(os.killpg, slave)
            for pid in descendants:
                _kill(os.kill, pid)

    def remove(self) -> None:
        for file in self._files:
            try:
                os.unlink(file, dir_fd=self._folder.descriptor)
            except OSError:
                pass


def _become_slave(
    listening: int, written: int, argv: Sequence[str], environment: Mapping[str, str]
) -> NoReturn:
    try:
        os.setsid()
        os.dup2(listening, 0)
        os.dup2(written, 1)
        os.dup2(written, 2)
        os.environ.update(environment)
        if list(argv[:2]) == [sys.executable, "-c"]:
            _run_here(argv[2], argv[3:])  # which spares it the start of another Python
        os.execv(argv[0], list(argv))
    except SystemExit:
        raise  # of the slave's runner
    except BaseException as problem:
        os.write(2, os.fsencode(f"imp_parallel: can't start {argv[0]}: {problem}\n"))
    os._exit(127)


def _run_here(program: str, arguments: Sequence[str]) -> NoReturn:
    """Run a program as ``python -c`` would, in this process, which is a fork of the bridge."""
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # it was that of the listing
    sys.argv[:] = ["-c", *arguments]
    slave = os.getpid()
    code: object = 0
    try:
        exec(program, {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102 - it is the slave's
    except SystemExit as end:
        if os.getpid() != slave:
            raise  # its runner, which is a fork and ends as any program does
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        os.write(2, os.fsencode(f"{code}\n"))
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _kill(send: Callable[[int, int], None], pid: int) -> None:
    try:
        send(pid, 9)
    except OSError:
        pass


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass  # it is no child of this process, or not yet


def _adopt_orphans() -> None:
    """Become the parent of descendants whose own parent is killed, so that they can be ended."""
    if sys.platform.startswith("linux"):
        try:
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except (ImportError, OSError):
            pass  # some Pythons are built without: what is orphaned is init's then


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if entry.isdecimal():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    pending = [ancestor]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


# ---- copying


class _Pump:
    """Copies from one descriptor to another; what it has read and not written is bounded."""

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink = sink
        self.has_source = self.has_sink = True
        self._waiting = memoryview(b"")

    def wants_to_read(self) -> bool:
        return self.has_source and not self._waiting

    def wants_to_write(self) -> bool:
        return bool(self._waiting)

    def read(self) -> None:
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
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self.sink, self._waiting) :]
        except BlockingIOError:
            pass
        except OSError:
            self.has_sink = False
            self._waiting = memoryview(b"")


def _turn(pumps: Sequence[_Pump], wait_s: float | None) -> None:
    """Copy what can be copied; wait for it, for so long at most."""
    reading = {pump.source: pump for pump in pumps if pump.wants_to_read()}
    writing = {pump.sink: pump for pump in pumps if pump.wants_to_write()}
    readable, writable, _ = select.select(list(reading), list(writing), [], wait_s)
    for descriptor in writable:
        writing[descriptor].write()
    for descriptor in readable:
        reading[descriptor].read()


def _copy(slave: _Slave, connected: socket.socket) -> int:
    """Copy until the slave has ended, or its stream; return the exit code."""
    connected.setblocking(False)
    for descriptor in (0, 1, 2):
        os.set_blocking(descriptor, False)
    to_slave = _Pump(0, connected.fileno())
    from_slave = _Pump(connected.fileno(), 1)
    output = _Pump(slave.output, 2)
    is_told = False
    while from_slave.has_source or from_slave.wants_to_write():
        if not to_slave.has_source and not to_slave.wants_to_write() and not is_told:
            is_told = True
            try:
                connected.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has ended as well
        if not to_slave.has_source:
            output.has_source = False  # what it says now is the next bridge's
        _turn([to_slave, from_slave, output], None)
    connected.close()
    return _finish(slave, output, has_channel=to_slave.has_source)


def _finish(slave: _Slave, output: _Pump, *, has_channel: bool) -> int:
    """The stream has ended, and so has the slave, probably."""
    deadline = time.monotonic() + _ENDING_S
    while not slave.has_ended():
        if not has_channel:
            time.sleep(5 * _SHORT_S)
        elif time.monotonic() > deadline:
            return STREAM_ENDED
        else:
            _turn([output], _SHORT_S)
    slave.end_orphans()
    deadline = time.monotonic() + _LAST_OUTPUT_S
    while has_channel and time.monotonic() < deadline and output.has_sink:
        if not output.wants_to_write() and not _has_more(slave.output):
            break
        _turn([output], _SHORT_S)
    slave.remove()
    return slave.exit_code()


def _has_more(descriptor: int) -> bool:
    """Whether there is anything in a FIFO to be read."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


# ---- the order of things


def _begin(folder: _Folder, words: Sequence[str], document: bytes) -> tuple[_Slave, socket.socket]:
    name, count, *rest = words
    argv, environment = rest[: int(count)], rest[int(count) :]
    slave = _Slave(folder, name, is_new=True)
    slave.start(argv, dict(entry.split("=", 1) for entry in environment if entry))
    return slave, _connect_first(slave, document)


def _connect_first(slave: _Slave, document: bytes) -> socket.socket:
    """Connect to a new slave; if it has ended already, its output and exit code will say why."""
    try:
        connected = slave.connect()
    except ConnectionRefusedError:
        connected, other = socket.socketpair()
        other.close()
    try:
        connected.sendall(document)
    except ConnectionError:
        pass
    return connected


def _join(folder: _Folder, name: str) -> tuple[_Slave, socket.socket]:
    slave = _Slave(folder, name, is_new=False)
    try:
        return slave, slave.join()
    except OSError:
        slave.remove()
        raise


def _end(folder: _Folder, names: Sequence[str]) -> None:
    """Kill slaves; their bridges tidy up, or this one for those that have none."""
    for name in names:
        try:
            slave = _Slave(folder, name, is_new=False)
        except OSError:
            continue  # it has gone
        slave.kill()
        slave.remove()


def _serve(held: list[_Folder]) -> int:
    """Do as the master says; return the exit code. What is held is released at the end."""
    _introduce()
    while True:
        order, path, *words = _hear_words()
        document = _hear() if order == "start" else b""  # it comes, whatever becomes of the order
        try:
            if order == "prepare":
                kinds, digests = words[0::2], words[1::2]
                folder = _prepare(path, kinds, digests, [_hear() for _ in kinds])
                held.append(folder)
                _say("folder", folder.path)
                continue
            folder = _Folder(path)
            held.append(folder)
            if order == "end":
                _end(folder, words)
                _say("done")
                return 0
            if order == "start":
                slave, connected = _begin(folder, words, document)
            else:
                slave, connected = _join(folder, *words)
        except (FileNotFoundError, ConnectionError):
            _say("gone")
        except OSError as problem:
            _say("failed", problem.strerror or str(problem))
        else:
            try:
                _say("ready")
            except OSError:
                pass  # the channel has gone, as the slave will find; its end is to be waited for
            return _copy(slave, connected)


def main() -> NoReturn:
    """Be a bridge; end the process."""
    held: list[_Folder] = []
    code = FAILED
    try:
        code = _serve(held)
    except _ChannelGone:
        code = 0
    except Exception:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    for folder in held[::-1]:
        folder.release()
    os._exit(code)


if __name__ == "__main__":
    main()
