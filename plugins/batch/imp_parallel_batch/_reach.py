"""Whether jobs on other hosts can reach the script at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from imp_parallel_core import explained

from ._system import Starter, logger_of


def warn_if_only_here(system: Starter, addresses: Sequence[str]) -> None:
    """Warn if slaves get no address but those of the loopback.

    Args:
        system: what starts the slaves, for the log.
        addresses: the addresses of a bootstrap, with their ports.
    """
    hosts = [address.rpartition(":")[0].strip("[]") for address in addresses]
    if hosts and all(ipaddress.ip_address(host).is_loopback for host in hosts):
        text = (
            f"slaves are told to connect to {' and '.join(addresses)}, which only jobs on this "
            "machine can reach. Does Manager's host= hold this machine's name, and /etc/hosts an "
            "address such as 127.0.1.1 for it? Leave host= out, or give it an address that the "
            "execution hosts reach (hostname -I lists this machine's)."
        )
        logger_of(system).warning("%s", explained(text, "only-this-machine"))
