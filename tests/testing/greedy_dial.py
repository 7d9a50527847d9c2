"""The slave's side of a transport that needs what only a master has."""

from imp_parallel_core._loop import Loop
from tests.support.unix_dial import dial

__all__ = ["Loop", "dial"]
