"""A host that is made up, with a queue that answers what a test says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imp_parallel_batch import BatchSlaveArray, launch_array
from imp_parallel_batch._launch import BatchLaunch

from imp_parallel_core import Bootstrap, CommandResult, LocalHost


class MadeUpHost(LocalHost):
    """Real files; a queue that answers what a test says, with NAME for the array's name."""

    def __init__(self, folder: Path, queue: Any) -> None:
        self.folder = folder
        self.queue = queue
        self.lines = ["7 NAME 1 runs", "7 NAME 2 runs"]
        self.name = "nobody's"
        self.submitted = CommandResult(0, "job 7\n", "")
        self.commands: list[Sequence[str]] = []
        self.described: CommandResult | None = None

    def run(
        self, argv: Sequence[str], *, timeout_s: float, input: bytes = b"", cwd: str | None = None
    ) -> CommandResult:
        if argv[0] == "sh":
            return super().run(argv, timeout_s=timeout_s, input=input, cwd=cwd)
        self.commands.append(list(argv))
        if argv[0] == "put":
            self.name = argv[argv.index("--name") + 1]
            return self.submitted
        if argv[0] == "list":
            lines = [line.replace("NAME", self.name) for line in [*self.lines, "end"]]
            return CommandResult(0, "\n".join(lines), "")
        if argv[0] == "describe" and self.described is not None:
            return self.described
        return CommandResult(0, "", "")

    def launch(self, count: int = 2, **members: Any) -> BatchLaunch:
        """Launch slaves 3, 4 … of the queue, of which some members may be others."""
        system = type("Other", (type(self.queue),), members)()
        kind = type("Slaves", (BatchSlaveArray,), {"system": system})
        bootstraps = [
            Bootstrap(index, "python3", str(self.folder), f"{self.folder}/{index}.out", [])
            for index in range(3, 3 + count)
        ]
        launch = launch_array(kind(count, via=self), bootstraps)
        assert isinstance(launch, BatchLaunch)
        return launch

    def end(self, launch: BatchLaunch) -> None:
        """Have the job vanish, and end the launch."""
        self.lines = []
        launch.cancel(0.0)

    def asked(self, program: str) -> list[Sequence[str]]:
        """Return the commands of a program that were run."""
        return [argv for argv in self.commands if argv[0] == program]
