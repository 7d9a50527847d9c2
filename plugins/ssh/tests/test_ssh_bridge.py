"""The bridge and the talk with it, on this machine: what a host may answer, and how it is read."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from imp_parallel_ssh._shipped_modules import Archive, archive
from imp_parallel_ssh._slaves import command_line as _command_line
from imp_parallel_ssh._slaves.bridge_client import BridgeClient, BridgeEnded, There
from imp_parallel_ssh._slaves.command_line import VERSION, command_line, default_pythons, new_mark
from imp_parallel_ssh._slaves.shared_host import Host, bridge_program
from imp_parallel_ssh._slaves.start_order import StartOrder

from imp_parallel_core import Bootstrap, SocketStream
from imp_parallel_core.private_folders import make_private_folder, with_private_folders
from tests.support.as_root import as_me, as_root, can_be_root
from tests.support.ordinary_user import OrdinaryUser, ordinary_user
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


class LocalChannel:
    """A command that is run by a shell of this machine."""

    def __init__(self, command: str, prefix: Sequence[str] = (), **environment: str) -> None:
        ours, theirs = socket.socketpair()
        self.stream = SocketStream(ours)
        self._ours = ours
        with theirs:
            self.process = subprocess.Popen(
                [*prefix, "sh", "-c", command],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                env={**os.environ, **environment},
            )

    def close_input(self) -> None:
        self._ours.shutdown(socket.SHUT_WR)

    def exit_status(self) -> int | None:
        return self.process.poll()

    def close(self) -> None:
        self.stream.close()
        self.process.communicate(timeout=20)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder whose path is short enough for the slaves' sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[BridgeClient]:
    """Begin a bridge whose files go into a folder of the test's."""
    mark = new_mark()
    command = command_line(sys.executable, mark, bridge_program())
    with closing(LocalChannel(command, TMPDIR=str(tmp_path))) as channel:
        made = BridgeClient(channel, time.monotonic() + 20)
        there = made.introduce(mark, bridge_program())
        assert there.python == sys.executable
        yield made


def test_the_bridge_says_which_package_its_python_has(tmp_path: Path) -> None:
    mark = new_mark()
    command = command_line(sys.executable, mark, bridge_program())
    with closing(LocalChannel(command)) as channel:
        there = BridgeClient(channel, time.monotonic() + 20).introduce(mark, bridge_program())
    import cloudpickle

    import imp_parallel_core

    assert there.core_version == imp_parallel_core.__version__
    assert there.cloudpickle_version == cloudpickle.__version__
    assert Path(there.core_path) == Path(imp_parallel_core.__file__).parents[1]
    assert there.cache_tag == sys.implementation.cache_tag


def test_a_host_is_sent_compiled_code_alone_if_its_python_can_run_that() -> None:
    bootstrap = Bootstrap(0, "python", "/", None, [])
    own = There("python", "", "", "", str(sys.implementation.cache_tag))
    other = own._replace(cache_tag="pypy311")
    small, large = (StartOrder(bootstrap, there, None).archives() for there in (own, other))
    assert len(small[0].content) < len(large[0].content)
    with zipfile.ZipFile(io.BytesIO(small[0].content)) as sent:
        assert "imp_parallel_core/_slave/supervisor.pyc" in sent.namelist()


def test_an_archive_that_arrived_otherwise_than_it_was_sent_is_refused(
    bridge: BridgeClient, tmp_path: Path
) -> None:
    bridge.say("prepare", "", "code", hashlib.sha256(b"sent").hexdigest(), more=[b"seen"])
    with pytest.raises(OSError, match="did not arrive as it was sent"):
        bridge.hear()
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_can_not_be_unpacked_leaves_no_folder(
    bridge: BridgeClient, tmp_path: Path
) -> None:
    content = b"no archive"
    bridge.say("prepare", "", "modules", hashlib.sha256(content).hexdigest(), more=[content])
    with pytest.raises(BridgeEnded):
        bridge.hear()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_has_gone_and_a_slave_that_has_ended_are_told_of(
    bridge: BridgeClient, tmp_path: Path
) -> None:
    for order, more in (("join", []), ("start", [b"a document"]), ("end", [])):
        bridge.say(order, str(tmp_path / ".imp_parallel-slaves-gone"), "slave0", more=more)
        assert bridge.hear() == ["gone"]
    bridge.say("prepare", "")
    _, folder = bridge.hear()
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    bridge.say("join", folder, "slave0")
    assert bridge.hear() == ["gone"]


def test_a_bridge_that_lets_go_while_another_looks_looks_after_it(bridge: BridgeClient) -> None:
    bridge.say("prepare", "")
    _, folder = bridge.hear()
    turn = os.open(f"{folder}/turn", os.O_RDONLY)
    fcntl.flock(turn, fcntl.LOCK_EX)
    held = os.open(folder, os.O_RDONLY)
    assert isinstance(bridge.channel, LocalChannel)
    bridge.channel.close_input()
    wait_until(lambda: can_lock(held), what="the bridge to let go")
    assert Path(folder).exists()
    os.close(held)
    os.close(turn)
    wait_until(lambda: not Path(folder).exists(), what="the end of the folder")


def can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_a_slave_that_ends_before_it_has_read_a_word_is_told_of_with_its_output_and_exit_code(
    bridge: BridgeClient,
) -> None:
    bridge.say("prepare", "")
    _, folder = bridge.hear()
    document = bytes(1 << 20)  # more than fits into its socket unread
    bridge.say("start", folder, "slave0", "1", "/no/such/program", more=[document])
    assert bridge.hear() == ["ready"]
    assert bridge.wait_for_end()
    channel = bridge.channel
    assert isinstance(channel, LocalChannel)
    _, output = channel.process.communicate(timeout=20)
    assert b"can't start /no/such/program" in output
    assert channel.exit_status() == 127


def test_a_temporary_folder_with_too_long_a_path_for_a_socket_is_not_used(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 40)
    long.mkdir()
    mark = new_mark()
    command = command_line(sys.executable, mark, bridge_program())
    with closing(LocalChannel(command, TMPDIR=str(long))) as channel:
        bridge = BridgeClient(channel, time.monotonic() + 20)
        bridge.introduce(mark, bridge_program())
        bridge.say("prepare", "")
        _, folder = bridge.hear()
        assert Path(folder).parent != long
        with socket.socket(socket.AF_UNIX) as longest:
            longest.bind(f"{folder}/slave99999-99999.socket")


def test_a_temporary_folder_in_which_everybody_can_replace_what_is_sent_is_not_used(
    tmp_path: Path,
) -> None:
    mark = new_mark()
    command = command_line(sys.executable, mark, bridge_program())
    home = tmp_path / "home"
    home.mkdir()
    for mode in (0o777, 0o1777):
        everybodys = tmp_path / f"{mode:o}"
        everybodys.mkdir()
        everybodys.chmod(mode)
        with closing(LocalChannel(command, TMPDIR=str(everybodys), HOME=str(home))) as channel:
            bridge = BridgeClient(channel, time.monotonic() + 20)
            bridge.introduce(mark, bridge_program())
            bridge.say("prepare", "")
            _, folder = bridge.hear()
            assert (Path(folder).parent == everybodys) == bool(mode & 0o1000)


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="only Linux tells who listens")
def test_a_slave_that_waits_for_its_master_is_not_disturbed_when_old_folders_are_looked_at(
    bridge: BridgeClient, tmp_path: Path
) -> None:
    old = Path(make_private_folder(str(tmp_path), ".imp_parallel-slaves-"))
    with socket.socket(socket.AF_UNIX) as slave:
        slave.bind(str(old / "slave0.socket"))
        slave.listen()
        os.utime(old, (0, 0))
        bridge.say("prepare", "")
        assert bridge.hear()[0] == "folder"
        assert old.exists()
        slave.setblocking(False)
        with pytest.raises(BlockingIOError):
            slave.accept()


@pytest.fixture
def user() -> Iterator[OrdinaryUser]:
    with ordinary_user() as made:
        yield made


def bridge_as(user: OrdinaryUser, mark: str) -> BridgeClient:
    """Begin a bridge of a user who owns nothing but a scratch folder."""
    command = command_line(user.python, mark, bridge_program())
    channel = LocalChannel(command, user.prefix, TMPDIR=str(user.scratch), HOME=str(user.scratch))
    made = BridgeClient(channel, time.monotonic() + 30)
    made.introduce(mark, bridge_program())
    return made


@pytest.mark.parametrize("order", ["join", "start", "end", "prepare"])
@pytest.mark.parametrize("name", ["mine", ".imp_parallel-slaves-0123456789abcdef"])
def test_a_bridge_that_is_told_a_folder_of_somebody_elses_removes_nothing(
    user: OrdinaryUser, order: str, name: str
) -> None:
    folder = user.scratch / name
    folder.mkdir(mode=0o700)
    (folder / "slave0.lock").write_text("1 1\n")
    for path in (folder, folder / "slave0.lock"):
        user.give(path)
    words = {"start": ["slave1", "/", "1", "/bin/true"], "prepare": []}.get(order, ["slave0"])
    bridge = bridge_as(user, new_mark())
    with closing(bridge.channel):
        bridge.say(order, str(folder), *words, more=[b""] if order == "start" else [])
        with pytest.raises(OSError, match="no private folder that imp_parallel made"):
            bridge.hear()
        assert isinstance(bridge.channel, LocalChannel)
        bridge.channel.close_input()
        assert bridge.channel.process.wait(20) == 0
    assert [path.name for path in folder.iterdir()] == ["slave0.lock"]


@pytest.mark.parametrize("order", ["join", "start", "end"])
def test_a_slaves_files_are_in_its_folder_whatever_it_is_called(
    user: OrdinaryUser, order: str
) -> None:
    mine = user.scratch / "mine.lock"
    mine.write_text("1 1\n")
    user.give(mine)
    bridge = bridge_as(user, new_mark())
    with closing(bridge.channel):
        bridge.say("prepare", "")
        _, folder = bridge.hear()
        words = ["1", "/bin/true"] if order == "start" else []
        bridge.say(order, folder, "../mine", *words, more=[b""] if order == "start" else [])
        if order == "end":
            assert bridge.hear() == ["done"]
        else:
            with pytest.raises(OSError, match="no slave has such a name"):
                bridge.hear()
    assert mine.read_text() == "1 1\n"


@pytest.fixture
def noexec(user: OrdinaryUser) -> Sequence[str]:
    """Return what begins a command that finds nothing but a noexec file system in /tmp."""
    if not can_be_root():
        pytest.skip("NOT TESTED with a noexec /tmp: only root can mount one")
    line = 'mount -t tmpfs -o noexec,mode=1777 none /tmp; exec "$@"'
    return as_root("unshare", "--mount", "sh", "-ec", line, "sh", *(user.prefix or as_me()))


def test_compiled_modules_go_where_they_can_be_loaded(
    user: OrdinaryUser, noexec: Sequence[str]
) -> None:
    mark = new_mark()
    command = command_line(user.python, mark, bridge_program())
    with closing(LocalChannel(command, noexec, TMPDIR="", HOME=str(user.scratch))) as channel:
        bridge = BridgeClient(channel, time.monotonic() + 30)
        bridge.introduce(mark, bridge_program())
        host = Host("there", lambda target, timeout_s: pytest.fail("it is connected"))
        first = host.folder(bridge, [archive("code", b"the code"), modules("plain.py")])
        assert Path(first).parent == Path("/tmp")
        archives = [archive("code", b"the code"), modules("package/compiled.cpython-311.so")]
        folder = Path(host.folder(bridge, archives))
        assert folder.parent == user.scratch
        assert (folder / archives[1].digest / "package/compiled.cpython-311.so").exists()
        assert (folder / f"{archives[0].digest}.zip").read_bytes() == b"the code"
        assert host.folder(bridge, archives) == str(folder)
    assert list(user.scratch.iterdir()) == []


def modules(name: str) -> Archive:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as packed:
        packed.writestr(name, b"")
    return archive("modules", written.getvalue())


def test_old_folders_are_removed_if_they_are_those_of_runs(user: OrdinaryUser) -> None:
    make = (
        "import os, sys\nfrom imp_parallel_core import private_folders\n"
        "for _ in range(2):\n    print(private_folders.make_private_folder("
        f"{str(user.scratch)!r}, '.imp_parallel-slaves-'))\n"
    )
    done = subprocess.run(
        [*user.prefix, user.python, "-c", with_private_folders(make.encode())],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    old, young = map(Path, done.stdout.split())
    mine = user.scratch / ".imp_parallel-slaves-mine"
    mine.mkdir(mode=0o700)
    user.give(mine)
    for path in (old, mine):
        os.utime(path, (0, 0))
    bridge = bridge_as(user, new_mark())
    with closing(bridge.channel):
        bridge.say("prepare", "")
        assert bridge.hear()[0] == "folder"
    assert sorted(user.scratch.iterdir()) == sorted([young, mine])


def test_a_folder_that_nobody_used_is_removed_with_its_bridge(
    bridge: BridgeClient, tmp_path: Path
) -> None:
    bridge.say("prepare", "")
    assert bridge.hear()[0] == "folder"
    assert len(list(tmp_path.iterdir())) == 1
    bridge.channel.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("python", [None, sys.executable, "true && exec python3"])
def test_the_command_is_one_line_of_printable_ascii_without_secrets_of_a_shell(
    python: str | None,
) -> None:
    command = command_line(python, new_mark(), b"x" * 100)
    assert command.isascii()
    assert command.isprintable()
    assert "!" not in command  # csh replaces it, whatever the quotes
    assert "`" not in command


def test_the_mark_is_not_in_the_command_that_a_shell_may_repeat() -> None:
    mark = new_mark()
    assert mark not in command_line(None, mark, b"")


def test_what_is_said_before_the_mark_is_skipped_even_if_it_looks_like_it() -> None:
    mark = "abcabcabd"
    said = "some noise abcabcabcabd  3 99"
    with closing(LocalChannel(f"printf '{said}'; cat >/dev/null")) as channel:
        bridge = BridgeClient(channel, time.monotonic() + 20)
        with pytest.raises(Exception, match=r"the Python there is 3\.99"):
            bridge.introduce(mark, b"")


@pytest.mark.parametrize("words", ["MARKwhat?  ", "MARK{0:3d}{1:3d}what is no number"])
def test_what_a_login_shell_still_says_between_the_bridges_words_is_an_error_that_says_so(
    words: str,
) -> None:
    said = words.format(*sys.version_info)
    with closing(LocalChannel(f"printf '{said}'; cat >/dev/null")) as channel:
        bridge = BridgeClient(channel, time.monotonic() + 20)
        with pytest.raises(OSError, match=r"can't be understood.* start-up files"):
            bridge.introduce("MARK", b"")


class Answers:
    """A channel to a host that answers as a test says, whatever it is asked."""

    def __init__(self, *answers: bytes) -> None:
        ours, theirs = socket.socketpair()
        self.stream = SocketStream(ours)
        with theirs:
            for answer in answers:
                theirs.sendall(b"%10d" % len(answer) + answer)

    def exit_status(self) -> int | None:
        return None

    def close(self) -> None:
        self.stream.close()


HERE = b"MARK%3d%3d" % VERSION


@pytest.mark.parametrize(
    "said",
    [
        b"         4here",  # and nothing of itself
        b"        10here\0/py\0/c\0",
        b"         0",
        b"        -1",
        b"       1_0",
        b"9999999999",
        b"         5there",
        b"y\n" * 20,
    ],
)
def test_an_answer_that_is_none_is_an_error_that_says_so(said: bytes, tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes(HERE + said)
    with closing(LocalChannel(f"cat {tmp_path}/said; cat >/dev/null")) as channel:
        bridge = BridgeClient(channel, time.monotonic() + 20)
        with pytest.raises(OSError, match="can't be understood"):
            bridge.introduce("MARK", b"")


@pytest.mark.parametrize("said", [b"", b"folder", b"folder\0", b"folder\0tmp", b"ready", b"\xff"])
def test_an_answer_that_names_no_folder_is_an_error(said: bytes) -> None:
    host = Host("there", lambda target, timeout_s: pytest.fail("it is connected"))
    with closing(Answers(said)) as channel, pytest.raises(OSError, match=r"understood|no folder"):
        host.folder(BridgeClient(channel, time.monotonic() + 20), [])


def test_a_shell_that_ends_instead_is_quoted() -> None:
    with closing(LocalChannel("echo this account is closed; exit 3")) as channel:
        with pytest.raises(BridgeEnded) as caught:
            BridgeClient(channel, time.monotonic() + 20).introduce(new_mark(), b"program")
        assert caught.value.noise == b"this account is closed\n"


def test_a_shell_that_reads_instead_is_sent_nothing(tmp_path: Path) -> None:
    in_time = pytest.raises(TimeoutError, match=r"said: 'hello'.* start-up files")
    command = f"echo hello; exec cat >{tmp_path / 'read'}"
    with closing(LocalChannel(command)) as channel, in_time:
        BridgeClient(channel, time.monotonic() + 0.5).introduce(new_mark(), b"program")
    assert (tmp_path / "read").read_bytes() == b""


def test_a_host_that_says_nothing_is_given_up_in_time() -> None:
    with closing(LocalChannel("exec sleep 60")) as channel:
        with pytest.raises(TimeoutError):
            BridgeClient(channel, time.monotonic() + 0.2).introduce(new_mark(), b"program")
        channel.process.kill()


def test_the_pythons_to_look_for_begin_with_the_masters_own() -> None:
    version = "python{}.{}".format(*sys.version_info)
    assert default_pythons()[1:] == [version, "python3"]
    assert os.access(default_pythons()[0], os.X_OK)


def test_a_python_that_somebody_else_may_have_put_there_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    python = folder / "python"
    python.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    python.chmod(0o755)
    folder.chmod(0o777)
    names = [str(python), sys.executable]
    monkeypatch.setattr(_command_line, "default_pythons", lambda: names)
    mark = new_mark()
    with closing(LocalChannel(command_line(None, mark, bridge_program()))) as channel:
        bridge = BridgeClient(channel, time.monotonic() + 50)
        there = bridge.introduce(mark, bridge_program())
        assert there.python == sys.executable
        channel.close_input()
        _, errors = channel.process.communicate(timeout=20)
    text = f"imp_parallel: {python} is not used here, since somebody else may be behind it: "
    assert f"{text}everybody can write to {folder}\n".encode() in errors
    assert not (tmp_path / "was-run").exists()
    folder.chmod(0o755)
    with closing(LocalChannel(command_line(None, mark, bridge_program()))) as channel:
        channel.process.wait(20)
    assert (tmp_path / "was-run").exists()
