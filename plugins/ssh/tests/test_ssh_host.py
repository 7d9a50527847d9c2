"""A host over SSH does what a CommandHost does, whatever the login shell is and says."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hosts import client
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_ssh._login_node import commands as _remote_commands
from imp_parallel_ssh._login_node import scripts as shell
from imp_parallel_ssh._login_node.ssh_host import SSHHost
from imp_parallel_ssh._openssh.channel import OpenSSHChannel
from imp_parallel_ssh._openssh.connection import OpenSSHConnection
from imp_parallel_ssh._paramiko import connect as _connect
from imp_parallel_ssh._paramiko.connection import ParamikoConnection
from imp_parallel_ssh._target import Target

from imp_parallel_core import GPU, CommandHost, LaunchError, find_gpus
from imp_parallel_core.private_folders import MARK
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import is_alive, wait_until

__all__ = ["client"]  # fixtures

NOISE = {
    "bash": {
        ".bashrc": "echo from bashrc; echo to errors >&2\n",
        ".bash_profile": 'echo hello; read line; export LOGIN_SAYS="it\'s\n me"\n'
        "PATH=$HOME/tools:$PATH\n",
    },
    "csh": {
        ".cshrc": "echo from cshrc\n",
        ".login": 'echo hello\nsetenv LOGIN_SAYS "it\'s me"\nset path = (~/tools $path)\n',
    },
    "fish": {
        ".config/fish/config.fish": "echo from fish; if status is-login; "
        'set -gx LOGIN_SAYS "it\'s me"; set -gx PATH ~/tools $PATH; end\n',
    },
}


class OnHost:
    """A host with a user of its own, and where that user's home is."""

    def __init__(self, host: SSHHost, home: Path) -> None:
        self.host: CommandHost = host
        self.home = home


# (the two clients do not differ in what a login shell says)
@pytest.fixture(params=["paramiko bash", "paramiko csh", "paramiko fish", "openssh bash"])
def there(
    request: pytest.FixtureRequest,
    person: Person,
    daemons: Daemons,
    sshd: Sshd,
    ssh_program: None,
) -> Iterator[OnHost]:
    client, shell = request.param.split()
    user = daemons.add_user(shell, NOISE[shell], is_me=True)
    user.write("tools/our-tool", '#!/bin/sh\necho tool: "$@" in "$LOGIN_SAYS"\n', "755")
    person.name(sshd, "there", user=user.name)
    host = SSHHost("there", client=client)
    yield OnHost(host, user.home)
    host.close()
    wait_until(lambda: not sshd.sessions(), 10.0, "the end of the connection")
    assert not list(Path(os.environ["TMPDIR"]).iterdir())


def test_a_command_gets_its_words_and_input_and_tells_how_it_ended(there: OnHost) -> None:
    script = 'cat; printf "[%s]" "$@"; pwd; echo err >&2; exit 3'
    words = ["a b", "$HOME", "it's", "!x", "\\n", "new\nline", "", "ünï", "`id`", '"']
    done = there.host.run(["sh", "-c", script, "sh", *words], input=b"given\0\n", timeout_s=20.0)
    expected = "given\0\n" + "".join(f"[{word}]" for word in words) + f"{there.home}\n"
    assert done == (3, expected, "err\n")
    assert there.host.run(["sh", "-c", "kill -9 $$"], timeout_s=20.0).exit_code == -9
    assert there.host.run(["sh", "-c", "exit 255"], timeout_s=20.0).exit_code == 255
    assert there.host.run(["pwd"], cwd="/tmp", timeout_s=20.0).stdout == "/tmp\n"


def test_a_command_finds_what_a_login_shell_finds(there: OnHost) -> None:
    assert there.host.find_program("our-tool") == f"{there.home}/tools/our-tool"
    assert there.host.find_program("no-such-tool") is None
    assert f"{there.home}/tools" in there.host.search_path()
    assert there.host.home() == str(there.home)
    done = there.host.run(["our-tool", "1  2"], timeout_s=20.0)
    assert done.stdout.replace("\n ", " ").strip() == "tool: 1  2 in it's me"


def test_cards_of_a_host_are_found_by_a_stand_in_for_nvidia_smi(there: OnHost) -> None:
    with pytest.raises(LaunchError, match="no graphics card was found on SSHHost"):
        find_gpus(there.host)
    program = b"#!/bin/sh\necho 'GPU 0: NVIDIA A100 (UUID: GPU-00)'\n"
    there.host.write_file(f"{there.home}/tools/nvidia-smi", program, mode=0o755)
    assert find_gpus(there.host) == [GPU("CUDA_VISIBLE_DEVICES", "GPU-00")]


def test_what_is_not_there_is_an_oserror_that_names_it(there: OnHost) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-tool"):
        there.host.run(["no-such-tool"], timeout_s=20.0)
    with pytest.raises(FileNotFoundError, match="/no-such-folder"):
        there.host.run(["pwd"], cwd="/no-such-folder", timeout_s=20.0)
    with pytest.raises(FileNotFoundError):
        there.host.read_file(f"{there.home}/none", limit_bytes=10)
    with pytest.raises(OSError, match="none"):
        there.host.write_file(f"{there.home}/none/file", b"")
    there.host.remove_files([f"{there.home}/none"])
    there.host.remove_folder(f"{there.home}/none")


def test_a_command_that_hangs_is_killed_with_what_it_started(there: OnHost) -> None:
    begun = time.monotonic()
    line = f"sleep 600 & echo $! > {there.home}/pid; wait"
    there.host.home()  # (connected by now)
    with pytest.raises(TimeoutError, match=r"sh did not end within 1 s"):
        there.host.run(["sh", "-c", line], timeout_s=1.0)
    assert time.monotonic() - begun < 15.0
    child = int((there.home / "pid").read_text())
    wait_until(lambda: not is_alive(child), 15.0)


def test_a_command_that_goes_on_writing_is_killed_at_its_time_limit(there: OnHost) -> None:
    there.host.home()
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"sh did not end within 1 s"):
        there.host.run(["sh", "-c", "while :; do echo more; sleep 0.1; done"], timeout_s=1.0)
    assert time.monotonic() - begun < 15.0


@pytest.mark.parametrize("where", ["", " >&2"])
def test_a_command_that_writes_without_end_is_killed(
    there: OnHost, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(_remote_commands, "_OUTPUT_BYTES", 1 << 20)
    line = f"echo $$ > {there.home}/pid; exec yes{where}"
    with pytest.raises(OSError, match="it wrote more than 1 MiB"):
        there.host.run(["sh", "-c", line], timeout_s=60.0)
    pid = int((there.home / "pid").read_text())
    wait_until(lambda: not is_alive(pid), 10.0)


def test_a_child_that_keeps_the_output_open_is_not_waited_for(there: OnHost) -> None:
    there.host.home()
    begun = time.monotonic()
    assert there.host.run(["sh", "-c", "sleep 9 & echo done"], timeout_s=60.0).stdout == "done\n"
    assert time.monotonic() - begun < 6.0


def test_private_files_are_private_and_never_written_through_a_link(there: OnHost) -> None:
    host, home = there.host, there.home
    folder = Path(host.make_private_folder(str(home), ".private- x"))
    assert folder.parent == home
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    file = folder / "it's a file"
    data = bytes(range(256)) * 1000
    host.write_file(str(file), data)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert host.read_file(str(file), limit_bytes=1 << 20) == data
    assert host.read_file(str(file), limit_bytes=10) == data[-10:]
    host.write_file(str(folder / "program"), b"", mode=0o755)
    assert stat.S_IMODE((folder / "program").stat().st_mode) == 0o755
    (folder / "link").symlink_to(folder / "elsewhere")
    for taken in ("link", "program"):
        with pytest.raises(OSError, match=taken):
            host.write_file(str(folder / taken), b"x")
    assert not (folder / "elsewhere").exists()
    host.remove_files([str(file), str(folder / "program"), str(folder / "none")])
    host.remove_files([])
    assert not file.exists()
    host.remove_folder(str(folder))
    assert not folder.exists()


def test_no_folder_is_removed_that_it_did_not_make(
    there: OnHost, caplog: pytest.LogCaptureFixture
) -> None:
    host, home = there.host, there.home
    folder = Path(host.make_private_folder(str(home), ".private- x"))
    (folder / "below" / "deeper").mkdir(parents=True)
    (folder / "below" / "file").touch()
    link, copy, mine = home / "link", home / "copy", home / "mine"
    link.symlink_to(folder)
    shutil.copytree(folder, copy)
    mine.mkdir()
    for path in (copy, mine):
        path.chmod(0o700)
    for path in (copy, copy / "below", mine, folder / "below"):
        shutil.chown(path, home.owner())
    others = [link, copy, mine, folder / "below"]
    for other in [*map(str, others), f"{folder}/.", f"{folder}/below/.."]:
        host.remove_folder(other)
        assert f"{other} is left: it is no private folder that imp_parallel made" in caplog.text
    folder.chmod(0o755)
    host.remove_folder(str(folder))
    assert (folder / "below" / "file").exists()
    assert all(path.exists() for path in others)
    folder.chmod(0o700)
    (folder / "below" / "link").symlink_to(copy)
    host.remove_folder(str(folder))
    assert not folder.exists()
    assert (copy / "below" / "file").exists()


def test_many_files_are_written_and_read_in_one_go(there: OnHost) -> None:
    assert isinstance(there.host, SSHHost)
    folder = Path(there.host.make_private_folder(str(there.home), "many"))
    files = {f"a {number}": bytes(range(256)) * number for number in range(100)}
    there.host.write_files(str(folder), files)
    written = [path for path in folder.iterdir() if path.name != MARK]
    assert {path.name: path.read_bytes() for path in written} == files
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    paths = [str(folder / name) for name in [*files, "none"]]
    read = there.host.read_files(paths, limit_bytes=10_000)
    assert read == [*(data[-10_000:] for data in files.values()), b""]
    with pytest.raises(OSError, match="a 5"):
        there.host.write_files(str(folder), {"new": b"1", "a 5": b"2"})


def test_much_input_and_output_pass(there: OnHost) -> None:
    data = bytes(3_000_000)
    assert len(there.host.run(["cat"], input=data, timeout_s=30.0).stdout) == len(data)


def test_nothing_of_a_command_is_seen_in_the_list_of_processes(
    person: Person, sshd: Sshd, client: str
) -> None:
    person.name(sshd, "there")
    host = SSHHost("there", client=client)
    host.write_file(f"{person.home}/file", b"hushhush words")
    done = host.run(["ps", "-eo", "args"], input=b"more hushhush", timeout_s=20.0)
    assert "hushhush" not in done.stdout
    assert "file" not in [line.split()[-1] for line in done.stdout.splitlines()]
    host.close()


def test_a_lost_connection_is_an_oserror_and_made_again(
    person: Person, sshd: Sshd, client: str
) -> None:
    person.name(sshd, "there")
    host = SSHHost("there", client=client)
    assert host.run(["echo", "1"], timeout_s=20.0).stdout == "1\n"
    connection = host.connection()
    with ThreadPoolExecutor() as pool:
        line = f"touch {person.home}/begun; sleep 600"
        running = pool.submit(host.run, ["sh", "-c", line], timeout_s=50.0)
        wait_until((person.home / "begun").exists, 20.0)
        sshd.kill_sessions()
        assert "the connection was lost while a command ran" in str(running.exception(20.0))
    wait_until(lambda: host._shared.existing() is not connection, 15.0)
    assert host.run(["echo", "2"], timeout_s=20.0).stdout == "2\n"
    host.close()


def test_a_connection_lost_just_after_login_is_made_again(
    person: Person, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.name(sshd, "there")
    connect = _connect.connect
    made = []

    def connect_and_lose(target: Target, timeout_s: float) -> ParamikoConnection:
        made.append(connect(target, timeout_s))
        if len(made) == 1:
            sshd.kill_sessions()
            made[0].transport.join(10.0)
        return made[-1]

    monkeypatch.setattr(_connect, "connect", connect_and_lose)
    host = SSHHost("there")
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(host.connection).result(10.0)
        assert isinstance(lost, ParamikoConnection)
        assert not lost.transport.is_active()
    assert host.run(["echo", "on"], timeout_s=20.0).stdout == "on\n"
    assert len(made) == 2
    host.close()


def test_who_needs_a_connection_at_the_same_time_shares_it(
    person: Person, sshd: Sshd, client: str
) -> None:
    person.name(sshd, "there")
    host = SSHHost("there", client=client)
    with ThreadPoolExecutor(8) as pool:
        found = [each.result(20.0) for each in [pool.submit(host.connection) for _ in range(8)]]
    assert len(set(map(id, found))) == 1
    host.close()
    sshd.stop()
    with ThreadPoolExecutor(8) as pool:
        attempts = [pool.submit(host.connection) for _ in range(8)]
    assert all(isinstance(each.exception(), LaunchError) for each in attempts)


def test_a_host_that_can_not_be_reached_is_a_launch_error(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there")
    sshd.stop()
    with pytest.raises(LaunchError, match="nothing listens"):
        SSHHost("there").find_program("qsub")
    with pytest.raises(ValueError, match="bad port"):
        SSHHost("there:0")
    with pytest.raises(ValueError, match=r'client=.putty.: it must be "paramiko" or "openssh"'):
        SSHHost("there", client="putty")


def test_a_profile_that_breaks_off_leaves_commands_their_plain_environment(
    person: Person, daemons: Daemons, sshd: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    user = daemons.add_user("bash", {".bash_profile": "exit 1\n"})
    person.name(sshd, "there", user=user.name)
    host = SSHHost("there")
    assert host.run(["echo", "on"], timeout_s=20.0).stdout == "on\n"
    assert "login shell" in caplog.text
    host.close()


@given(st.text().filter(lambda text: "\0" not in text))
def test_any_word_is_one_word_on_one_line(text: str) -> None:
    try:
        quoted = shell.quote(text)
    except UnicodeEncodeError:
        return  # no name of a file either
    assert b"\n" not in quoted
    script = shell._NEWLINE + b"printf %s " + quoted
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=20)
    assert done.stdout == text.encode()


def test_a_word_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        shell.quote("a\0b")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("exec 2>&1", "join standard error to standard output"),
        ("exec >&2", "send standard output elsewhere"),
        ("exec >/dev/null", "send standard output elsewhere"),
    ],
)
def test_start_up_files_that_send_output_elsewhere_are_named_and_their_answers_are_none(
    person: Person, daemons: Daemons, sshd: Sshd, line: str, what: str
) -> None:
    user = daemons.add_user("bash", {".bashrc": line + "\n"}, is_me=True)
    person.name(sshd, "there", user=user.name)
    host = SSHHost("there")
    try:
        for use in (
            lambda: host.run(["echo", "hello"], timeout_s=20.0),
            lambda: host.find_program("qsub"),
            lambda: host.read_file("/etc/passwd", limit_bytes=10),
        ):
            with pytest.raises(LaunchError, match=f"there: the login shell's start-up .* {what}"):
                use()
    finally:
        host.close()


def test_an_account_that_runs_no_commands_is_an_error_with_its_words_and_what_to_do(
    person: Person, daemons: Daemons, sshd: Sshd, client: str
) -> None:
    user = daemons.add_user("/usr/sbin/nologin")
    person.name(sshd, "there", user=user.name)
    host = SSHHost("there", client=client)
    try:
        for use in (lambda: host.run(["qstat"], timeout_s=20.0), lambda: host.home()):
            with pytest.raises(LaunchError, match="currently not available") as caught:
                use()
            assert "ssh there echo hello" in str(caught.value)
            assert caught.value.exit_code == 1
    finally:
        host.close()


def test_the_words_of_such_an_account_are_waited_for_if_its_connection_is_lost_first(
    person: Person,
    daemons: Daemons,
    sshd: Sshd,
    ssh_program: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_asked = threading.Event()
    find_reason, explain = OpenSSHConnection._wait_for_loss, OpenSSHConnection.explain_loss

    def find_reason_late(self: OpenSSHConnection) -> None:
        is_asked.wait(20.0)
        find_reason(self)

    def ask(self: OpenSSHConnection) -> None:
        is_asked.set()
        explain(self)

    monkeypatch.setattr(OpenSSHConnection, "_wait_for_loss", find_reason_late)
    monkeypatch.setattr(OpenSSHConnection, "explain_loss", ask)
    # as that of a command which ends with the connection
    monkeypatch.setattr(OpenSSHChannel, "exit_status", lambda channel: None)
    user = daemons.add_user("/usr/sbin/nologin")
    person.name(sshd, "there", user=user.name)
    host = SSHHost("there", client="openssh")
    try:
        with pytest.raises(LaunchError, match="currently not available"):
            host.home()
    finally:
        is_asked.set()
        host.close()
