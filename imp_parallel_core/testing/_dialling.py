"""Slaves that dial: each is handed over as itself, and comes back when its stream has broken."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from typing import Any
from unittest import SkipTest

from .._plugins.slave_archive import slave_archive
from ._listening import dial
from ._talk import Way, wait_for_end
from ._transported import Transported

_GONE_S = 1.0
_IMPORT = "import sys; sys.path[:0] = [sys.argv[1]]; from {} import {}"


def each_slave_is_handed_over_under_its_number(transported: Transported) -> None:
    """accept() gets the number that a slave has, and the stream to that slave."""
    with transported.listening() as listening:
        talks = {index: listening.talk(listening.document(index)) for index in (0, 1, 7, 300)}
        for index, talk in reversed(talks.items()):
            talk.transfer(Way(talk.other, talk.one, b"slave %d" % index))
            talk.transfer(Way(talk.one, talk.other, b"master of %d" % index))


def both_ends_agree_whether_a_stream_can_be_made_again(transported: Transported) -> None:
    """``resumable`` is the same at both ends: else one waits for what the other never does."""
    with transported.listening() as listening:
        talk = listening.talk(listening.document(0))
        ours, theirs = talk.one.stream.resumable, talk.other.stream.resumable
    assert ours == theirs, f"resumable is {ours} on the master, and {theirs} on the slave"


def a_slave_whose_stream_has_broken_dials_again(transported: Transported) -> None:
    """The same document serves for another dial(), whichever end has closed the stream."""
    with transported.listening() as listening:
        document = listening.document(3)
        talk = listening.talk(document)
        if not talk.one.stream.resumable:
            raise SkipTest("the streams of this transport can't be made again (resumable)")
        for _ in range(2):
            talk.one.close()
            wait_for_end(talk.other)
            talk = listening.talk(document).turned()
            talk.transfer(Way(talk.one, talk.other, b"again"))


def a_slave_whose_master_has_gone_leaves(transported: Transported) -> None:
    """dial() ends the process when nobody listens any more, or the patience is over."""
    with transported.listening() as listening:
        document = listening.document(0)
        listening.talk(document)
        listening.transport.close()
        code = _code_of_dial(document)
    assert code in (0, None) or isinstance(code, str), (
        f"dial() ended the process with {code!r}: that is no text, and not 0"
    )


def _code_of_dial(document: dict[str, Any]) -> object:
    try:
        dial(document, _GONE_S).close()
    except SystemExit as end:
        return end.code
    except Exception as problem:
        raise AssertionError(
            f"dial() raised {problem!r}: it must call sys.exit when the master has gone"
        ) from problem
    raise AssertionError("dial() returned a stream to a master that has gone")


def the_slaves_side_needs_its_modules_alone(transported: Transported) -> None:
    """What ``slave_modules`` names is all that ``dial`` needs, besides the standard library."""
    transport = transported.make_transport()
    try:
        module, _, function = transport.dial.partition(":")
        archive = slave_archive(transport.slave_modules)
    finally:
        transport.close()
    names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert any(name.startswith(module.replace(".", "/")) for name in names), (
        f"slave_modules, {list(transport.slave_modules)}, does not name the module {module}"
    )
    path = transported.output_folder / "slave.zip"
    path.write_bytes(archive)
    command = [sys.executable, "-I", "-S", "-c", _IMPORT.format(module, function), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, (
        f"slave_modules, {list(transport.slave_modules)}, are not all that {transport.dial} "
        f"needs: {done.stderr.strip().splitlines()[-1:]}"
    )
