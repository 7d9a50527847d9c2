"""A Grid Engine cluster with a network of its own.

::

    laptop ──(outside)── login ──(inside)── node1, node2

The login node is where jobs are submitted, and runs qmaster; jobs run on the nodes. Of the login
node's two addresses the nodes can reach the second only, and the laptop, which can't reach any
node, the first. All hosts share this machine's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.support import grid_engine, networks
from tests.support.grid_engine import Cell
from tests.support.networks import Network
from tests.support.packages import need

LAPTOP, LOGIN = "laptop", "login"
NODES = ("node1", "node2")


class ClusterNetwork:
    """Such a cluster, running.

    Attributes:
        network: its hosts; cut and heal them.
        cell: its Grid Engine. Its commands are run on the login node.
        outside: the addresses in the network of laptop and login node, by host.
        inside: those in the network of login node and nodes.
    """

    def __init__(self, network: Network, cell: Cell) -> None:
        self.network = network
        self.cell = cell
        self.outside: Mapping[str, str] = {}
        self.inside: Mapping[str, str] = {}

    @classmethod
    def make(cls, network: Network) -> ClusterNetwork:
        """Make the hosts in an empty network, and start Grid Engine on them."""
        for host in (LAPTOP, LOGIN, *NODES):
            network.add_host(host)
        outside = network.add_lan("outside", LOGIN, LAPTOP)
        inside = network.add_lan("inside", LOGIN, *NODES)
        for node in NODES:
            network.add_route(node, inside[LOGIN])
        network.drop_arriving(LOGIN, outside[LOGIN], unless_from=outside[LAPTOP])
        nodes = {node: network.inside_as_root(node) for node in NODES}
        cell = Cell(nodes, (LOGIN, network.inside_as_root(LOGIN)), slots=2)
        try:
            cell.start()
        except BaseException:
            cell.stop()
            raise
        made = cls(network, cell)
        made.outside, made.inside = outside, inside
        return made

    def ports(self) -> list[int]:
        """Return the ports that Grid Engine's daemons listen at."""
        return [int(port) for name, port in self.cell.environment.items() if name.endswith("PORT")]


@pytest.fixture(scope="session")
def cluster_network() -> Iterator[ClusterNetwork]:
    """Start such a cluster for all tests that need one, and end it."""
    need("on a cluster of several hosts", grid_engine.install, networks.install)
    with Network() as network:
        made = ClusterNetwork.make(network)
        try:
            yield made
        finally:
            made.cell.stop()
