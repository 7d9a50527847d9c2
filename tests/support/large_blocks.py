"""Something large that tasks hold, and who has it in shared memory."""

from __future__ import annotations

import contextlib
import gc
import pickle
from pathlib import Path
from typing import Any


class Block:
    """A large buffer that travels out of band, as an array does."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data: Any = data  # a task may write to some of these

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Block, (pickle.PickleBuffer(self.data),)

    def at(self, number: int) -> int:
        """Return one of the bytes."""
        return int(self.data[number])


def shared_memory_of(pid: int | str) -> set[str]:
    """Return the pieces of shared memory that a process holds: by descriptors, and mapped."""
    return (mapped_shared_memory_of(pid) | _opened_shared_memory_of(pid)) - _held_before


_held_before: set[str] = set()


def pass_over_what_is_held() -> None:
    """Count no more what this process holds now: a test of something broken may have left it."""
    gc.collect()
    _held_before.clear()
    _held_before.update(shared_memory_of("self"))


def mapped_shared_memory_of(pid: int | str) -> set[str]:
    """Return the pieces of shared memory that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "memfd:imp_parallel" in line}


def _opened_shared_memory_of(pid: int | str) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "memfd:imp_parallel" in str(descriptor.readlink()):
                found.add(str(descriptor.stat().st_ino))
    return found
