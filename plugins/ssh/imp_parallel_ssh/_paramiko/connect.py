"""Connecting to a host over paramiko, through as many hosts as the configuration says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import paramiko

from imp_parallel_core import LaunchError, explained

from .._deadline import Deadline
from .._diagnosis import was_dropped
from .._identity.authentication import AuthenticationRefused, authenticate
from .._identity.host_keys import HostKeyRefused, HostKeys, ssh_command
from .._target import Target
from .._throttling import Dropped, connecting_slot
from .._user_config.settings import HostSettings, SshConfig
from .connection import ParamikoConnection
from .proxy_command import ProxyCommand
from .transport import Transport, prepare

_GRACE_S = 1.0  # after the deadline, for a step that knows best why it was missed
_SAID_S = 1.0  # how long a proxy command that hung up may take to end


def connect(target: Target, timeout_s: float) -> ParamikoConnection:
    """Connect to a host as the user's SSH configuration says, and log in.

    Args:
        target: the host.
        timeout_s: how long it may take as a whole, without the time that a person takes to type
            passphrases.

    Raises LaunchError, which names the host, the user and the keys that were tried; Dropped if the
    host, or one on the way, ended the connection before the user was logged in.
    """
    return _Attempt(SshConfig().route(target), Deadline(timeout_s)).run()


class _Attempt:
    """One attempt to connect. It has a thread of its own: some steps can't be given a limit."""

    def __init__(self, route: Sequence[HostSettings], deadline: Deadline) -> None:
        self._route = route
        self._deadline = deadline
        self._is_done = threading.Event()
        self._is_given_up = False
        self._lock = threading.Lock()  # of what is open, and whether it is given up
        self._transports: list[Transport] = []
        self._proxy: ProxyCommand | None = None
        self._hop = route[0]
        self._step = ""
        self._tried: list[str] = []
        self._connection: ParamikoConnection | None = None
        self._problem: BaseException | None = None

    def run(self) -> ParamikoConnection:
        """Connect. Raises LaunchError."""
        name = self._route[-1].name
        thread = threading.Thread(
            target=self._run, name=f"imp_parallel ssh connecting {name}", daemon=True
        )
        thread.start()
        try:
            while not self._is_done.wait(self._deadline.left_s() + _GRACE_S):
                if self._deadline.left_s() <= 0:
                    break
        except BaseException:
            self._give_up()
            raise
        if not self._is_done.is_set():
            self._give_up()
            raise self._error(f"not done within {self._deadline.limit_s:g} s", "")
        if self._connection is None:
            self._give_up()
            if isinstance(self._problem, LaunchError):
                raise self._problem
            what = f"{type(self._problem).__name__}: {self._problem}"
            raise self._error(what, "") from self._problem
        return self._connection

    def _run(self) -> None:
        try:
            for hop in self._route:
                self._hop, self._tried = hop, []
                # hosts that are reached by commands may share a gateway that only those know of
                gated = connecting_slot("a command" if hop.proxy_command else (hop.host, hop.port))
                with self._deadline.paused():
                    gated.acquire()
                try:
                    self._reach(hop)
                finally:
                    gated.release()
            with self._lock:
                if not self._is_given_up:
                    self._connection = self._made()
        except BaseException as problem:  # it is raised again in the thread that waits
            self._problem = problem
        finally:
            self._is_done.set()

    def _made(self) -> ParamikoConnection:
        return ParamikoConnection(
            self._transports,
            self._route[-1].name,
            is_watched=len(self._route) == 1 and self._proxy is None,
            end=self._proxy.end if self._proxy is not None else lambda: None,
        )

    def _reach(self, hop: HostSettings) -> None:
        """Log in to the next host on the way."""
        sock = self._open(hop)
        with self._lock:
            if self._is_given_up:
                sock.close()
                raise TimeoutError
            transport = Transport(sock, hop.name, HostKeys(hop))
            self._transports.append(transport)
        self._step = "exchanging keys with it"
        transport.banner_timeout = transport.handshake_timeout = self._deadline.left_s()
        try:
            transport.start_client(timeout=self._deadline.left_s())
            transport.verify_host()
        except HostKeyRefused as problem:
            raise self._error(str(problem), "") from None
        except (paramiko.SSHException, EOFError, OSError) as problem:
            raise self._hung_up(problem) from problem
        self._step = "logging in"
        try:
            self._tried = authenticate(transport, hop, self._deadline)
        except AuthenticationRefused as problem:
            self._tried = problem.tried
            what = explained(str(problem), "ssh-login-refused")
            raise self._error(what, problem.hint) from problem

    def _hung_up(self, problem: Exception) -> LaunchError:
        said = self._proxy.ending(_SAID_S) if self._proxy is not None else ""
        if said and len(self._transports) == 1:
            line = self._hop.proxy_command
            return self._error(
                f"its ProxyCommand failed, {said}",
                f"Try it by hand: {line}",
                command=["/bin/sh", "-c", f"exec {line}"],
                is_dropped=was_dropped(said.splitlines()),
            )
        if self._deadline.left_s() <= 0:
            return self._error(
                "something answers, but did not exchange keys within "
                + explained(f"{self._deadline.limit_s:g} s", "ssh-hangs-up"),
                "Is it an sshd? Is it overloaded?",
            )
        words = str(problem) or type(problem).__name__
        if not isinstance(problem, (EOFError, ConnectionError)) and "banner" not in words:
            return self._error(words, f"Is {self._hop.port} the port of an sshd?")
        return self._error(
            explained(f"it hung up, or does not speak SSH ({words})", "ssh-hangs-up"),
            f"Is {self._hop.port} the port of an sshd? Does it drop connections when there are "
            "many (MaxStartups)?",
            is_dropped=True,
        )

    # ---- the way

    def _open(self, hop: HostSettings) -> socket.socket | paramiko.Channel:
        """Return the way to a host: a socket, or a channel of the connection to the one before."""
        if self._transports:
            return self._open_through(self._transports[-1], hop)
        if hop.proxy_command:
            self._step = f"running its ProxyCommand: {hop.proxy_command}"
            with self._lock:
                self._proxy = ProxyCommand(hop.proxy_command)
            return self._proxy.socket
        return self._open_socket(hop)

    def _open_through(self, before: Transport, hop: HostSettings) -> paramiko.Channel:
        self._step = "opening a way through the host before it"
        try:
            return before.open_channel(
                "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=self._limit_s(hop)
            )
        except (paramiko.SSHException, EOFError) as problem:
            jump = self._route[len(self._transports) - 1]
            what = f"{jump} does not let it be reached: {problem}"
            if "administratively" in str(problem).lower():
                hint = f"sshd of {jump.host} would need AllowTcpForwarding yes"
                what = explained(what, "no-forwarding")
            else:
                hint = f"Can {jump.host} reach {hop.host}, port {hop.port}? Try: {_reach_by(jump)}"
            raise self._error(what, hint) from problem

    def _open_socket(self, hop: HostSettings) -> socket.socket:
        self._step = f"looking up the name {hop.host}"
        try:
            found = socket.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as problem:
            raise self._error(
                explained(f"its name is not known: {problem}", "ssh-unreachable"),
                "Is it spelt right? Is it a Host of ~/.ssh/config?",
            ) from problem
        failures = []
        for number, (family, kind, protocol, _, address) in enumerate(found):
            self._step = f"connecting to {address[0]}, port {hop.port}"
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(max(0.001, self._limit_s(hop) / (len(found) - number)))
                made.connect(address)
                prepare(made)
            except OSError as problem:
                made.close()
                failures.append((str(address[0]), problem))
            else:
                return made
        raise self._unreachable(hop, failures)

    def _unreachable(
        self, hop: HostSettings, failures: Sequence[tuple[str, OSError]]
    ) -> LaunchError:
        words = "; ".join(
            f"{address}: {problem.strerror or problem}" for address, problem in failures
        )
        if all(isinstance(problem, ConnectionRefusedError) for _, problem in failures):
            return self._error(
                explained(f"nothing listens at its port {hop.port} ({words})", "ssh-unreachable"),
                "Does sshd run there? Is it at another port (host:port, or Port in ~/.ssh/config)?",
            )
        if all(isinstance(problem, TimeoutError) for _, problem in failures):
            limit_s = min(self._deadline.limit_s, hop.timeout_s or self._deadline.limit_s)
            what = f"it did not answer at port {hop.port} within {limit_s:g} s ({words})"
            return self._error(
                explained(what, "ssh-unreachable"),
                "Is it switched on? Is a firewall in between, or must it be reached through "
                "another host (ProxyJump in ~/.ssh/config)?",
            )
        what = explained(f"it can't be reached: {words}", "ssh-unreachable")
        return self._error(what, "Is this machine's network up?")

    def _limit_s(self, hop: HostSettings) -> float:
        left_s = self._deadline.left_s()
        return left_s if hop.timeout_s is None else min(left_s, hop.timeout_s)

    # ---- the end

    def _give_up(self) -> None:
        with self._lock:
            self._is_given_up = True
            connection = self._connection
            transports, proxy = list(self._transports), self._proxy
        if connection is not None:
            connection.close()
            return
        for transport in reversed(transports):
            transport.close()
        if proxy is not None:
            proxy.end()

    def _error(
        self, what: str, hint: str, command: Sequence[str] = (), *, is_dropped: bool = False
    ) -> LaunchError:
        """Return an error about the host that was to be reached."""
        hop, target = self._hop, self._route[-1]
        lines = [f"can't connect to {target}: {what}"]
        if hop is not target:
            lines = [f"can't connect to {target}, on the way at {hop}: {what}"]
        lines.append(f"    host: {hop.host}, port {hop.port}; user: {hop.user}")
        if len(self._route) > 1:
            lines.append("    way: " + " -> ".join(str(each) for each in self._route))
        lines.append(f"    it came as far as: {self._step}")
        if self._tried:
            lines += ["    keys tried:", *(f"        {line}" for line in self._tried)]
        else:
            keys = ", ".join(hop.identities) or "those of the agent"
            lines.append(f"    keys tried: none yet; they would be: {keys}")
        if hint:
            lines.append(f"    {hint}" if hint.endswith("?") else f"    {hint}.")
        lines.append(f"    With more words: {_verbose(target)}")
        if not is_dropped:
            return LaunchError("\n".join(lines), command=command)
        error = Dropped("\n".join(lines), command=command)
        error.is_sshd = len(self._transports) > 1 or bool(self._transports[-1].remote_version)
        return error


def _verbose(settings: HostSettings) -> str:
    return ssh_command(settings).replace("ssh ", "ssh -v ", 1)


def _reach_by(jump: HostSettings) -> str:
    return ssh_command(jump)
