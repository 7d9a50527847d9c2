"""A conformance kit for authors of plugins; it needs no particular test runner.

Each check has a name that says what the core expects, uses real slaves or real connections, and
raises AssertionError with a sentence if something is not so. The functions ``…_checks`` return the
checks one by one, for pytest's ``parametrize``; the functions ``check_…`` run them all.

:mod:`._check` is what all checks have in common.

Launchers: :mod:`._launcher_checks` lists the checks, which are in :mod:`._starting` (what slaves
get), :mod:`._secrets`, :mod:`._failing` (slaves that never start) and :mod:`._ending`;
:mod:`._launcher` is what each check gets, :mod:`._launch_record` notes what the core asks a launch,
:mod:`._masters` is a master that is to be killed, :mod:`._processes` watches processes, and
:mod:`._shown` knows in which forms and files others can see a secret.

Streams: :mod:`._stream_checks` holds the checks, and :mod:`._talk` the two ends that talk in them.

Transports: :mod:`._transport_checks` lists the checks, which are in :mod:`._dialling` (slaves that
dial), :mod:`._strangers` (who does not belong to the run) and :mod:`._transported_slaves` (whole
sessions), besides those of streams; :mod:`._transported` is what each check gets, and
:mod:`._listening` a transport that listens.
"""

from ._check import Check
from ._launcher import MakeSlave
from ._launcher_checks import LauncherCheck, check_launcher, launcher_checks
from ._listening import Connect, MakeTransport
from ._stream_checks import MakePair, StreamCheck, check_stream, stream_checks
from ._transport_checks import TransportCheck, check_transport, transport_checks

__all__ = [
    "Check",
    "Connect",
    "LauncherCheck",
    "MakePair",
    "MakeSlave",
    "MakeTransport",
    "StreamCheck",
    "TransportCheck",
    "check_launcher",
    "check_stream",
    "check_transport",
    "launcher_checks",
    "stream_checks",
    "transport_checks",
]
