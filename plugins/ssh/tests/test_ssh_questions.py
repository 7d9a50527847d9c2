"""Hosts that want more than a key: a confirmation on a telephone, or an answer to a question.

Debian's sshd asks only what the machine's PAM configuration says, which is not a test's to change:
so a server made of paramiko stands in for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import paramiko
import paramiko.common
import paramiko.server
import pytest
from imp_parallel_ssh._paramiko.connect import connect
from imp_parallel_ssh._target import parse_target

from imp_parallel_core import LaunchError
from tests.support.sshd import Person


class _Host(paramiko.ServerInterface):
    """Lets a user in who has answered its questions, after a key if it wants one."""

    def __init__(self, questions: list[str], *, wants_key: bool) -> None:
        self._questions, self._wants_key = questions, wants_key
        self._has_key = False

    def get_allowed_auths(self, username: str) -> str:
        return "publickey" if self._wants_key and not self._has_key else "keyboard-interactive"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._has_key = True
        return (
            paramiko.common.AUTH_PARTIALLY_SUCCESSFUL
            if self._wants_key
            else paramiko.common.AUTH_FAILED
        )

    def check_auth_interactive(
        self, username: str, submethods: str
    ) -> paramiko.server.InteractiveQuery:
        return paramiko.server.InteractiveQuery("", "Look at your telephone", *self._questions)

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return paramiko.common.AUTH_SUCCESSFUL if not responses else paramiko.common.AUTH_FAILED


class Server:
    """Such a host, at a port of this machine that the person calls "there"."""

    def __init__(self, person: Person, questions: list[str], *, wants_key: bool) -> None:
        self._key = paramiko.ECDSAKey.generate()
        self._host = _Host(questions, wants_key=wants_key)
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        person.configure(f"Host there\nHostName 127.0.0.1\nPort {port}\nIdentityFile {person.key}")
        with person.known_hosts.open("a") as file:
            name, blob = self._key.get_name(), self._key.get_base64()
            file.write(f"[127.0.0.1]:{port} {name} {blob}\n")
        self._transports: list[paramiko.Transport] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while True:
                transport = paramiko.Transport(self._listening.accept()[0])
                transport.add_server_key(self._key)
                self._transports.append(transport)
                transport.start_server(server=self._host)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for transport in self._transports:
            transport.close()


@pytest.fixture
def server(person: Person, request: pytest.FixtureRequest) -> Iterator[Server]:
    questions, wants_key = request.param
    made = Server(person, questions, wants_key=wants_key)
    yield made
    made.close()


@pytest.mark.parametrize(
    "server", [([], True), ([], False)], ids=["key first", "no key"], indirect=True
)
def test_a_host_that_asks_no_question_lets_the_user_in(server: Server) -> None:
    connect(parse_target("there"), 20.0).close()


@pytest.mark.parametrize(
    "server",
    [(["Code:\x1b[2J "], True), (["Code:\x1b[2J "], False)],
    ids=["key first", "no key"],
    indirect=True,
)
def test_a_question_that_only_a_person_can_answer_is_quoted_with_what_to_do(
    server: Server,
) -> None:
    with pytest.raises(LaunchError) as why:
        connect(parse_target("there"), 20.0)
    assert "Code:" in str(why.value)
    assert "\x1b" not in str(why.value)
    assert "ControlMaster" in str(why.value)
