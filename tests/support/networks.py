"""Hosts in network namespaces, whose connections can be cut."""

from __future__ import annotations

import functools
import shlex
import subprocess
import sys
import uuid
from collections.abc import Sequence

from tests.support.as_root import as_me, as_root, can_be_root, run_as_root
from tests.support.packages import CanNotBeHad, need_programs


@functools.cache
def install() -> None:
    """See to it that hosts can be made here."""
    if sys.platform != "linux" or not can_be_root():
        raise CanNotBeHad("network namespaces need root on Linux")
    need_programs({"ip": "iproute2", "nft": "nftables"})
    try:
        with Network() as network:
            network.add_host("probe")
            network.cut("probe")
    except AssertionError as problem:
        raise CanNotBeHad(f"network namespaces don't work here: {problem}") from None


def _run(*commands: str) -> None:
    """Have root run lines of a shell's, up to one that fails."""
    run_as_root("sh", "-e", input="".join(command + "\n" for command in commands))


class Network:
    """Hosts (namespaces) that are joined by cables, until the end of the ``with`` statement.

    Each has its name, and knows those of the hosts that it is joined to.
    """

    def __init__(self) -> None:
        self._prefix = "imp" + uuid.uuid4().hex[:6]
        self._known: dict[str, dict[str, str]] = {}  # by host: names, and their addresses
        self._cables = 0

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for host in self._known:
            _run(f"ip netns del {self._namespace(host)}", f"rm -rf {self._files(host)}")

    def _namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def _files(self, host: str) -> str:
        """Return the folder of what takes the place of a host's files in /etc (see ip-netns)."""
        return f"/etc/netns/{self._namespace(host)}"

    def add_host(self, host: str) -> None:
        """Make a host with nothing but its loopback."""
        self._known[host] = {"localhost": "127.0.0.1"}
        namespace = self._namespace(host)
        _run(
            f"ip netns add {namespace}",
            f"ip -n {namespace} link set lo up",
            f"mkdir -p {self._files(host)}",
            self._write_names(host),
        )

    def add_cable(self, one: str, other: str) -> str:
        """Join two hosts; return the first one's address on the cable."""
        number = self._cables
        self._cables += 1
        name = f"{self._prefix}c{number}"
        first, second = self._namespace(one), self._namespace(other)
        addresses = {one: f"10.78.{number}.1", other: f"10.78.{number}.2"}
        _run(
            f"ip link add {name} netns {first} type veth peer name {name} netns {second}",
            *(self._add_address(host, name, address) for host, address in addresses.items()),
            *self._introduce(addresses),
        )
        return addresses[one]

    def add_lan(self, lan: str, *hosts: str) -> dict[str, str]:
        """Join hosts by a switch of this name; return the address of each."""
        self.add_host(lan)
        switch, number = self._namespace(lan), self._cables
        self._cables += 1
        name = f"{self._prefix}l{number}"
        addresses = {host: f"10.78.{number}.{at}" for at, host in enumerate(hosts, 1)}
        commands = [
            f"ip -n {switch} link add bridge type bridge",
            f"ip -n {switch} link set bridge up",
        ]
        for at, (host, address) in enumerate(addresses.items(), 1):
            ends = f"{name} netns {self._namespace(host)} type veth peer name port{at}"
            commands += [
                f"ip link add {ends} netns {switch}",
                f"ip -n {switch} link set port{at} master bridge up",
                self._add_address(host, name, address),
            ]
        _run(*commands, *self._introduce(addresses))
        return addresses

    def add_route(self, host: str, address: str) -> None:
        """Have a host send what is for no network of its own by way of an address."""
        _run(f"ip -n {self._namespace(host)} route add default via {address}")

    def _add_address(self, host: str, device: str, address: str) -> str:
        ip = f"ip -n {self._namespace(host)}"
        return f"{ip} link set {device} up; {ip} addr add {address}/24 dev {device}"

    def _introduce(self, addresses: dict[str, str]) -> list[str]:
        """Let hosts know each other's names; one that is joined twice is known by its first."""
        for host in addresses:
            for name, address in addresses.items():
                self._known[host].setdefault(name, address)
        return [self._write_names(host) for host in addresses]

    def _write_names(self, host: str) -> str:
        lines = "".join(f"{address} {name}\n" for name, address in self._known[host].items())
        return f"printf %s {shlex.quote(lines)} > {self._files(host)}/hosts"

    def inside(self, host: str) -> list[str]:
        """Return the beginning of a command that is to be run on a host."""
        return [*self.inside_as_root(host), *as_me()]

    def inside_as_root(self, host: str) -> list[str]:
        """Return the beginning of a command that root is to run on a host: of a daemon's."""
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host)
        return as_root("ip", "netns", "exec", self._namespace(host), *named)

    def run(self, host: str, *command: str) -> str:
        """Run a command on a host; return its output."""
        command = (*self.inside(host), *command)
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    def _filter(self, host: str, *rules: str, hooks: Sequence[str] = ("input", "output")) -> None:
        lines = ["add table inet cut"]
        for hook in hooks:
            lines.append(f"add chain inet cut {hook} {{ type filter hook {hook} priority -10; }}")
            device = "iif" if hook == "input" else "oif"
            added = (f"{device} lo accept", *rules)
            lines += [f"add rule inet cut {hook} {rule}" for rule in added]
        self._nft(host, *lines)

    def _nft(self, host: str, *lines: str) -> None:
        text = "".join(line + "\n" for line in lines)
        run_as_root("ip", "netns", "exec", self._namespace(host), "nft", "-f", "-", input=text)

    def cut(self, host: str) -> None:
        """Drop all packets from and to a host, without a word."""
        self._filter(host, "drop")

    def reset(self, host: str) -> None:
        """Answer all TCP packets from and to a host with a reset."""
        self._filter(host, "meta l4proto tcp reject with tcp reset")

    def drop_to(self, host: str, address: str) -> None:
        """Drop what a host sends to an address."""
        self._filter(host, f"ip daddr {address} drop")

    def drop_arriving(self, host: str, address: str, unless_from: str) -> None:
        """Drop what arrives at one of a host's addresses, but for one sender; for good."""
        chain = "add chain inet only input { type filter hook input priority -10; }"
        rule = f"iif != lo ip saddr != {unless_from} ip daddr {address} drop"
        self._nft(host, "add table inet only", chain, f"add rule inet only input {rule}")

    def guard(self, host: str, *open_ports: int, verdict: str = "drop") -> None:
        """Put a firewall before a host: it drops new connections to all but some TCP ports.

        Args:
            host: which host.
            open_ports: those ports.
            verdict: what it does, in nft's words.
        """
        ports = ", ".join(map(str, open_ports))
        new = "tcp flags & (syn | ack) == syn"
        self._filter(host, f"{new} tcp dport != {{ {ports} }} {verdict}", hooks=["input"])

    def heal(self, host: str) -> None:
        """Undo what was done to a host's packets."""
        self._nft(host, "delete table inet cut")
