"""What the tests of the kit share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from imp_parallel_batch import Array, BatchSystem, BatchTask, Command, Submitted, understood

from imp_parallel_core import CommandResult

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/queue_launcher.py"


class System(BatchSystem):
    """A batch system of which the tests of the parts need little."""

    name = "Queue"
    key = "queue"
    programs = ("put", "list", "drop")
    advice = "Install it."
    task_variable = "TASK_NUMBER"
    task_pattern = "%a"
    restarted = "${IS_AGAIN:-0} == 1"
    reserved_options = {"--array": "the size is given", "-w v": "nothing would be submitted"}

    def submission(self, array: Array) -> Command:
        return Command(["put"])

    def submitted(self, done: CommandResult, array: Array) -> Submitted:
        return understood(done, done.stdout.split(), program="put")

    def question(self) -> Command:
        return Command(["list"])

    def tasks_in(self, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        return {}

    def deletion(self, job: str, ranges: Sequence[range]) -> Sequence[Command]:
        return [Command(["drop", job])]


SYSTEM = System()
