"""The options of ``Manager.get_context``, checked."""

from __future__ import annotations

from operator import index
from typing import Any

from .._engine.served_context import ContextOptions
from .._wire.heads import SEED_LIMIT_BYTES

_LEAST_MEMORY_BYTES = 16_000_000


def checked_options(
    *,
    task_timeout_s: float | None,
    setup_timeout_s: float | None,
    task_memory_bytes: float | None,
    max_attempts: int,
    max_failures: int | None,
    max_tasks_per_runner: int | None,
    seed: int | None,
) -> ContextOptions:
    """Return the options, as ``Manager.get_context`` takes them. Raises TypeError, ValueError."""
    _check_count("max_attempts", max_attempts)
    if max_failures is not None:
        _check_count("max_failures", max_failures)
    if max_tasks_per_runner is not None:
        _check_count("max_tasks_per_runner", max_tasks_per_runner)
    _check_limit("task_timeout_s", task_timeout_s)
    _check_limit("setup_timeout_s", setup_timeout_s)
    return ContextOptions(
        setup_timeout_s or 0.0,
        task_timeout_s or 0.0,
        _checked_memory(task_memory_bytes),
        _checked_seed(seed),
        max_attempts,
        max_failures or 0,
        max_tasks_per_runner or 0,
    )


def _check_count(name: str, count: int) -> None:
    if type(count) is not int:
        raise TypeError(f"{name}={count!r}: it must be an int")
    if count < 1:
        raise ValueError(f"{name} must be at least 1")


def _check_limit(name: str, limit_s: float | None) -> None:
    if limit_s is None:
        return
    if not isinstance(limit_s, (int, float)):
        raise TypeError(f"{name}={limit_s!r}: it must be a number of seconds, or None")
    if not limit_s > 0:
        raise ValueError(f"{name}={limit_s!r}: it must be more than 0")


def _checked_memory(limit_bytes: float | None) -> int:
    if limit_bytes is None:
        return 0
    if isinstance(limit_bytes, bool) or not isinstance(limit_bytes, (int, float)):
        raise TypeError(f"task_memory_bytes={limit_bytes!r}: it must be a number of bytes, or None")
    if not _LEAST_MEMORY_BYTES <= limit_bytes < 1 << 63:
        raise ValueError(
            f"task_memory_bytes={limit_bytes!r}: it must be a number of bytes, and at least "
            f"{_LEAST_MEMORY_BYTES:,}, since Python itself takes some memory"
        )
    return int(limit_bytes)


def _checked_seed(seed: Any) -> int | None:
    if seed is None:
        return None
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):  # (numpy's integers have it)
        raise TypeError(f"seed={seed!r}: it must be an int, or None")
    number = index(seed)
    if not 0 <= number < 1 << 8 * SEED_LIMIT_BYTES:
        raise ValueError(f"seed={seed!r}: it must be 0 or more, and have at most 512 bits")
    return number
