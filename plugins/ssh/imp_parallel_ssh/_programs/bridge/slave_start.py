"""What a fork of the bridge does to become the slave."""

from __future__ import annotations

import builtins
import os
import sys

TYPE_CHECKING = False  # as typing's, which takes long to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


def become_slave(
    listening: int, written: int, argv: Sequence[str], environment: Mapping[str, str]
) -> NoReturn:
    """Become the slave; this is called in a process of its own.

    Args:
        listening: the descriptor of the slave's socket, its standard input.
        written: that of its FIFO, its standard output and error.
        argv: its command.
        environment: more for its environment.
    """
    try:
        os.setsid()
        os.dup2(listening, 0)
        os.dup2(written, 1)
        os.dup2(written, 2)
        os.environ.update(environment)
        if list(argv[:2]) == [sys.executable, "-c"]:
            _run_here(argv[2], argv[3:])  # which spares it the start of another Python
        os.execv(argv[0], list(argv))
    except SystemExit:
        raise  # of the slave's runner
    except BaseException as problem:
        os.write(2, os.fsencode(f"imp_parallel: can't start {argv[0]}: {problem}\n"))
    os._exit(127)


def _run_here(program: str, arguments: Sequence[str]) -> NoReturn:
    """Run a program as ``python -c`` would, in this process, which is a fork of the bridge."""
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # it was that of the listing
    sys.argv[:] = ["-c", *arguments]
    slave = os.getpid()
    code: object = 0
    try:
        exec(program, {"__name__": "__main__", "__builtins__": builtins})  # noqa: S102 - it is the slave's
    except SystemExit as end:
        if os.getpid() != slave:
            raise  # its runner, which is a fork and ends as any program does
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        os.write(2, os.fsencode(f"{code}\n"))
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
