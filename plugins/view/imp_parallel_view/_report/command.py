"""The subcommand ``imp-parallel report``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from imp_parallel_core import printable

from .._reading import RecordReader
from .._words import counted
from .history import History


class Report:
    """Makes a page, or a trace, of a record."""

    name = "report"
    help = "make one HTML file of a run that Record has written"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.description = (
            "Make one HTML file of a record that imp_parallel_view.Record has written, also of a "
            "run that still goes on: a timeline, how long tasks took, why slaves were idle, what "
            "failed."
        )
        parser.add_argument("record", type=Path, help="what Record has written, such as run.jsonl")
        target = parser.add_mutually_exclusive_group()
        target.add_argument(
            "-o",
            "--output",
            type=Path,
            help="the HTML file; by default RECORD with .html; - for the standard output",
        )
        target.add_argument(
            "--perfetto",
            type=Path,
            metavar="TRACE",
            help="write a trace for https://ui.perfetto.dev instead, such as run.json",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Write the file; return the exit code."""
        reader = RecordReader(arguments.record)
        history = History(reader)
        if arguments.perfetto is not None:
            from .perfetto import START, trace

            path = arguments.perfetto
            pieces = trace(history)
        else:
            from .page import START, page

            path = arguments.output or _beside(arguments.record)
            pieces = iter([page(history, reader.facts, _notes(history, reader))])
        if str(path) == "-":
            sys.stdout.buffer.writelines(piece.encode() for piece in pieces)
            return 0
        _check(path, arguments.record, START)
        _write(path, pieces)
        print(printable(str(path)))
        return 0


def _beside(record: Path) -> Path:
    name = record.name.removesuffix(".gz").removesuffix(".jsonl")
    return record.with_name(f"{name}.html")


def _check(path: Path, record: Path, start: str) -> None:
    """Raise FileExistsError if a file is there that does not begin as this command's files do."""
    if not path.is_file():
        return
    if path.samefile(record):
        raise FileExistsError(f"{path} is the record itself: choose another name")
    with path.open("rb") as file:
        found = file.read(len(start))
    if found and found != start.encode("ascii"):
        raise FileExistsError(
            f"{path} is nothing that this command has made, and is not overwritten: choose another "
            "name"
        )


def _write(path: Path, pieces: Iterable[str]) -> None:
    """Write a file as a whole: one that can't be written leaves what was there before.

    Raises OSError, which names the file.
    """
    if path.exists() and not path.is_file():  # such as /dev/stdout
        with path.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
        return
    there = path.resolve()  # a link stays one
    part = there.with_name(f"{there.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
        part.replace(there)
    except BaseException as problem:
        part.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise OSError(problem.errno, problem.strerror, str(path)) from problem
        raise


def _notes(history: History, reader: RecordReader) -> list[str]:
    notes = []
    if history.model.ended_at is None:
        notes.append("The record has no end: the run still goes on, or it was killed.")
    if history.model.missed:
        events = counted(history.model.missed, "event")
        notes.append(f"The record could not keep up with the run: {events} are missing.")
    if reader.unreadable:
        lines = counted(reader.unreadable, "line")
        notes.append(f"{lines} of the record can't be read, and are left out.")
    return notes
