"""Hosts in network namespaces, whose connections can be cut."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import uuid

_TOOLS = {"ip": "iproute2", "nft": "nftables"}


@functools.cache
def why_there_are_no_networks() -> str:
    """Install what is missing; return why hosts can't be made here, "" if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        options = ["-qq", "-o", "DPkg::Lock::Timeout=120"]
        for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(
                ["apt-get", *options, *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                timeout=300,
            )
            if done.returncode:
                return f"{', '.join(missing)} can't be installed: {done.stderr.strip()[-200:]}"
    try:
        with Network() as network:
            network.add_host("probe")
            network.cut("probe")
    except subprocess.CalledProcessError as problem:
        return f"network namespaces don't work here: {problem.stderr.strip()}"
    return ""


def _run(*command: str, input: str | None = None) -> None:
    subprocess.run(command, input=input, check=True, capture_output=True, text=True, timeout=20)


class Network:
    """Hosts (namespaces) that are joined by cables, until the end of the ``with`` statement."""

    def __init__(self) -> None:
        self._prefix = "imp" + uuid.uuid4().hex[:6]
        self._hosts: list[str] = []
        self._cables = 0

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for host in self._hosts:
            _run("ip", "netns", "del", self._namespace(host))

    def _namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def add_host(self, host: str) -> None:
        """Make a host with nothing but its loopback."""
        _run("ip", "netns", "add", self._namespace(host))
        self._hosts.append(host)
        _run("ip", "-n", self._namespace(host), "link", "set", "lo", "up")

    def add_cable(self, one: str, other: str) -> str:
        """Join two hosts; return the first one's address on the cable."""
        number = self._cables
        self._cables += 1
        name = f"{self._prefix}c{number}"
        first, second = self._namespace(one), self._namespace(other)
        _run(
            *("ip", "link", "add", name, "netns", first, "type", "veth"),
            *("peer", "name", name, "netns", second),
        )
        for at, namespace in enumerate((first, second), 1):
            _run("ip", "-n", namespace, "addr", "add", f"10.78.{number}.{at}/24", "dev", name)
            _run("ip", "-n", namespace, "link", "set", name, "up")
        return f"10.78.{number}.1"

    def inside(self, host: str) -> list[str]:
        """Return the beginning of a command that is to be run on a host."""
        return ["ip", "netns", "exec", self._namespace(host)]

    def _filter(self, host: str, rule: str) -> None:
        rules = "\n".join(
            f"""add chain inet cut {hook} {{ type filter hook {hook} priority -10; }}
            add rule inet cut {hook} {device} lo accept
            add rule inet cut {hook} {rule}"""
            for hook, device in (("input", "iif"), ("output", "oif"))
        )
        _run(*self.inside(host), "nft", "-f", "-", input=f"add table inet cut\n{rules}\n")

    def cut(self, host: str) -> None:
        """Drop all packets from and to a host, without a word."""
        self._filter(host, "drop")

    def reset(self, host: str) -> None:
        """Answer all TCP packets from and to a host with a reset."""
        self._filter(host, "meta l4proto tcp reject with tcp reset")

    def drop_to(self, host: str, address: str) -> None:
        """Drop what a host sends to an address."""
        self._filter(host, f"ip daddr {address} drop")

    def heal(self, host: str) -> None:
        """Undo what was done to a host's packets."""
        _run(*self.inside(host), "nft", "delete", "table", "inet", "cut")
