"""What a check says of what it has found."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cloudpickle

import imp_parallel_core

from .._plugins.launch import quoted_output, read_tail
from .._threads import VARIABLES
from .steps import Failed

if TYPE_CHECKING:
    from .._fleet.info import SlaveInfo
    from .trial_signs import Onlooker


def submission_step(onlooker: Onlooker) -> tuple[str, dict[str, Any]]:
    """Return what has been launched, as text and as data."""
    job = f"job {onlooker.job}: " if onlooker.job else ""
    text = f"{job}{onlooker.command or 'its launcher has started it'}"
    facts = {"command": onlooker.command, "job": onlooker.job, "tries": onlooker.addresses}
    return text, facts


def connection_text(info: SlaveInfo, via: object, addresses: Sequence[str]) -> str:
    """Return how a slave has connected.

    Args:
        info: the slave.
        via: what its description says of the way there.
        addresses: those that it may have tried.
    """
    if not info.address:
        return "by the connection that its launch has made: no port is open here"
    way = "" if via is None else f", through {via!r}"
    tried = ", ".join(addresses)
    return f"it has reached this script at {info.address}{way} (it may try {tried})"


def states_of(infos: Sequence[SlaveInfo]) -> str:
    """Return in which states slaves are, with the detail of one that waits; "" if none has any."""
    details = [info.detail for info in infos if info.detail and info.state != "gone"]
    if not details:
        return ""
    if len(infos) == 1:
        return f"{infos[0].state}: {details[0]}"
    counts = Counter(info.state for info in infos)
    counted = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"{counted}: {details[0]}"


def is_suspended(info: SlaveInfo) -> bool:
    """Whether a slave that has not connected is stopped, as its launch says."""
    return info.state == "paused" and not info.host


def launch_hangs(
    limit_s: float, infos: Sequence[SlaveInfo], onlooker: Onlooker, label: str, place: str
) -> Failed:
    """Return that a plugin has not come to the end of a launch.

    Args:
        limit_s: what the user has given it.
        infos: the slaves.
        onlooker: what has been seen of the launch.
        label: what messages call the plugin.
        place: which line of it is being run; "" if that is not known.
    """
    text = f"plugin {label}: the launch has not come to an end within the {limit_s:g} s of --limit"
    known = _known(infos, onlooker)
    if place and not known:  # else the plugin itself says what it waits for
        text += f" ({place})"
    return Failed(
        "submitted",
        ". ".join([text, *known]),
        "If the launch is only slow, wait longer, by --limit. Otherwise run by hand what it "
        "waits for, and see what that says.",
    )


def nothing_has_come(limit_s: float, infos: Sequence[SlaveInfo], onlooker: Onlooker) -> Failed:
    """Return how far slaves have come that were launched, of which none has introduced itself."""
    within = f"within the {limit_s:g} s of --limit"
    states = states_of(infos)
    if not onlooker.is_submitted:
        known = _known(infos, onlooker)
        first = (
            "Do first what is said above about" if known else "Find out by hand whether there is"
        )
        return Failed(
            "submitted",
            ". ".join([f"the job has not been submitted {within}", *known]),
            f"{first} the batch system: a longer --limit helps only if it answers meanwhile.",
        )
    if any(info.state == "queued" for info in infos):
        return Failed(
            "started",
            f"nothing has started {within}. {states}",
            "If the batch system gives a reason above, ask for less, or for what is free. "
            "Otherwise wait longer, by --limit.",
        )
    if any(map(is_suspended, infos)):
        return Failed(
            "connected",
            f"a slave has been started, and is suspended: it has not connected {within}. {states}",
            "Find out who has suspended it, such as a batch system that prefers other jobs, or its "
            "owner, and have it resumed. A longer --limit helps only if that happens meanwhile.",
        )
    output = infos[0].output_path or None if infos else None
    return Failed(
        "connected",
        f"a slave has been launched, and has not connected {within}"
        f"{quoted_output(output, read_tail(output))}",
        "If a slow start is the reason, wait longer, by --limit.",
    )


def _known(infos: Sequence[SlaveInfo], onlooker: Onlooker) -> list[str]:
    """Return what is known of slaves whose job is not submitted, in words."""
    return [words for words in (states_of(infos), onlooker.last_warning) if words]


def versions_step(found: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return which versions there are at both ends, as text and as data."""
    here = {
        "python": platform.python_version(),
        "cloudpickle": cloudpickle.__version__,
        "imp-parallel-core": imp_parallel_core.__version__,
    }
    there = {name: found[name] for name in here}
    if here == there:
        text = ", ".join(f"{name} {number}" for name, number in here.items()) + " at both ends"
    else:
        text = ", ".join(
            f"{name} {here[name]}"
            if here[name] == there[name]
            else f"{name} {here[name]} here and {there[name]} there"
            for name in here
        )
    return text, {"here": here, "there": there, "executable": found["executable"]}


def environment_step(found: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what a task finds around it, as text and as data."""
    environment = found["environment"]
    threads = {name: environment[name] for name in VARIABLES if name in environment}
    numbers = set(threads.values())
    if not threads:
        counted = "no variable limits the threads of libraries"
    elif len(numbers) == 1 and len(threads) == len(VARIABLES):
        number = numbers.pop()
        counted = f"libraries start {number} thread{'' if number == '1' else 's'} each"
    else:
        counted = ", ".join(f"{name}={number}" for name, number in threads.items())
    cores = f"{found['cores']} core{'' if found['cores'] == 1 else 's'} may be used"
    text = f"{found['executable']} in {found['folder']}; {counted}; {cores}"
    other = [name for name in ("PYTHONPATH", "LD_LIBRARY_PATH") if _differs(name, environment)]
    if other:
        text += f"; other than here: {', '.join(other)}"
    facts = {name: found[name] for name in ("folder", "executable", "cores", "path")}
    return text, {**facts, "environment": environment}


def modules_missing(missing: Sequence[str], found: Mapping[str, Any]) -> Failed:
    """Return that modules can't be imported, and what to do.

    Args:
        missing: a text for each of them.
        found: what a task has found around it.
    """
    path = "\n".join(f"    {folder}" for folder in found["path"])
    advice = (
        f"Install what is missing for {found['executable']} on {found['host']}, or put it where "
        "the slave looks."
        if any("ModuleNotFoundError" in text for text in missing)
        else f"Import it by that Python itself: {found['executable']} on {found['host']}."
    )
    return Failed("modules", "\n".join([*missing, "sys.path of the slave:", path]), advice)


def modules_text(imported: Mapping[str, Mapping[str, str]]) -> str:
    """Return which modules have been imported, from where, in which versions."""
    return ", ".join(
        f"{name} {what['version']}".strip() + (f" ({what['file']})" if what["file"] else "")
        for name, what in imported.items()
    )


def _differs(name: str, environment: Mapping[str, str]) -> bool:
    return os.environ.get(name, "") != environment.get(name, "")
