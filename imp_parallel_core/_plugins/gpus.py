"""Finds the graphics cards of a machine, for slaves that have one each."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._errors import LaunchError
from .._explained import explained
from .launch import describe_command

if TYPE_CHECKING:
    from .command_host import CommandHost

_LIMIT_S = 60.0  # the first call after the machine's start loads the driver
_CUDA, _ROCR = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
_OF_NVIDIA = re.compile(r"\(UUID: ((GPU|MIG)-[\w/-]+)\)")
_OF_ROCM = re.compile(r"^GPU\[(\d+)\]", re.MULTILINE)
_COMMANDS = {_CUDA: ("nvidia-smi", "-L"), _ROCR: ("rocm-smi", "--showid")}


class GPU(NamedTuple):
    """A graphics card: what to set for a process that is to see this card alone.

    Attributes:
        variable: ``CUDA_VISIBLE_DEVICES`` or ``ROCR_VISIBLE_DEVICES``.
        name: the value of the variable: the card's number, or a name of its own.
    """

    variable: str
    name: str

    @classmethod
    def of(cls, gpu: int | str | GPU) -> GPU:
        """Return a card that a user has given, by default one of CUDA's. Raises TypeError."""
        if isinstance(gpu, GPU):
            return gpu
        if isinstance(gpu, bool) or not isinstance(gpu, (int, str)):
            raise TypeError(f"{gpu!r} is no graphics card: it must be a number, a name or a GPU")
        return cls(_CUDA, str(gpu))


def find_gpus(host: CommandHost | None = None) -> list[GPU]:
    """Return the graphics cards of a machine, as ``nvidia-smi`` or else ``rocm-smi`` lists them.

    Here, cards that ``CUDA_VISIBLE_DEVICES`` or ``ROCR_VISIBLE_DEVICES`` names are all there are,
    since a batch system or the user has chosen them. (Of a card that is divided, the parts are
    returned.)

    Args:
        host: the machine, such as an ``SSHHost``; by default this one.

    Raises LaunchError if there is none, or if the command fails; TypeError for what is no host.
    """
    is_here = host is None
    if host is None:
        chosen = _chosen(os.environ)
        if chosen is not None:
            return chosen
        from .command_host import LocalHost

        host = LocalHost()
    else:
        from ..arguments import checked_host

        checked_host("find_gpus", "host", host)
    for variable, (program, option) in _COMMANDS.items():
        path = host.find_program(program)
        if path is not None:
            names = _names(variable, _output(host, [path, option]))
            if names:
                return [GPU(variable, name) for name in names]
    text = (
        f"no graphics card was found on {'this machine' if is_here else host}: neither nvidia-smi "
        "nor rocm-smi is in the search path and lists one. Give a list of cards, or let the PATH "
        "have the program"
    )
    raise LaunchError(explained(text, "gpu-not-found"))


def _chosen(environment: Mapping[str, str]) -> list[GPU] | None:
    """Return the cards that an environment names; None if it does not say."""
    for variable in _COMMANDS:
        if variable in environment:
            names = [name.strip() for name in environment[variable].split(",")]
            if not any(names):
                text = f"{variable} is empty: this script is to use no graphics card"
                raise LaunchError(explained(text, "gpu-not-found"))
            return [GPU(variable, name) for name in names if name]
    return None


def _output(host: CommandHost, command: Sequence[str]) -> str:
    try:
        result = host.run(command, timeout_s=_LIMIT_S)
    except OSError as problem:
        text = f"can't ask for graphics cards: {describe_command(command)}: {problem}"
        raise LaunchError(explained(text, "gpu-not-found"), command=command) from problem
    if result.exit_code:
        text = (
            f"can't ask for graphics cards: {describe_command(command)} exited with code "
            f"{result.exit_code}: {result.words}"
        )
        raise LaunchError(
            explained(text, "gpu-not-found"),
            command=command,
            exit_code=result.exit_code,
            output=result.words,
        )
    return result.stdout


def _names(variable: str, output: str) -> list[str]:
    """Return the names of the cards that a command has listed."""
    if variable == _ROCR:
        return list(dict.fromkeys(_OF_ROCM.findall(output)))
    names: list[str] = []
    divided = ""  # the card whose parts follow
    for line in output.splitlines():
        found = _OF_NVIDIA.search(line)
        if found is None:
            continue
        name, kind = found.groups()
        if kind == "GPU":
            divided = name
        elif divided in names:
            names.remove(divided)
        names.append(name)
    return names
