"""The checks of a transport, in the order in which its author will want to see them pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import _dialling, _strangers, _transported_slaves
from ._check import Check, run_all
from ._listening import Connect, MakeTransport, connect
from ._stream_checks import STREAM_CHECKS
from ._talk import Talk, watched
from ._transported import Transported

_CHECKS = (
    _dialling.each_slave_is_handed_over_under_its_number,
    _dialling.both_ends_agree_whether_a_stream_can_be_made_again,
    _dialling.the_slaves_side_needs_its_modules_alone,
    _transported_slaves.arguments_and_results_of_any_size_travel,
    _transported_slaves.a_slave_of_another_version_is_told_why_it_is_refused,
    _strangers.strangers_who_talk_nonsense_get_no_further,
    _strangers.strangers_who_stop_in_the_middle_get_no_further,
    _strangers.a_wrong_secret_opens_nothing,
    _strangers.close_ends_listening_and_may_be_called_twice,
    _dialling.a_slave_whose_stream_has_broken_dials_again,
    _dialling.a_slave_whose_master_has_gone_leaves,
    _transported_slaves.a_session_goes_on_over_another_stream,
)


class TransportCheck(Check):
    """A check of a transport."""

    def __init__(self, function: Callable[[Transported], None], limit_s: float) -> None:
        super().__init__(function)
        self._has_manager = function.__module__ == _transported_slaves.__name__
        self._limit_s = limit_s

    def __call__(
        self, make_transport: MakeTransport, *, output_folder: Path, connect: Connect = connect
    ) -> None:
        """Make the check.

        Args:
            make_transport: returns a new transport, as the hook does.
            output_folder: an empty folder for the output of slaves.
            connect: connects to an address of the transport, as a stranger can, and returns a
                socket. By default an address is ``host:port``, or the path of a Unix socket.

        Raises AssertionError if something is not as it should be.
        """
        transported = Transported(make_transport, output_folder, connect, self._limit_s)
        if self._has_manager:  # which is closed after that time
            self._run(transported)
        else:
            watched(lambda: self._run(transported), transported.state, self._limit_s)


def transport_checks(*, limit_s: float = 60.0) -> list[TransportCheck]:
    """Return all checks of a transport, one by one; each may take ``limit_s``.

    The checks of streams are among them: they are made of both ends.
    """
    functions = (*_CHECKS, *map(_of_both_ends, STREAM_CHECKS))
    return [TransportCheck(function, limit_s) for function in functions]


def _of_both_ends(check: Callable[[Talk], None]) -> Callable[[Transported], None]:
    def check_both(transported: Transported) -> None:
        with transported.listening() as listening:
            check(listening.talk(listening.document(0)))
            check(listening.talk(listening.document(1)).turned())

    check_both.__name__ = check.__name__
    check_both.__doc__ = check.__doc__
    return check_both


def check_transport(
    make_transport: MakeTransport,
    *,
    output_folder: Path,
    connect: Connect = connect,
    limit_s: float = 60.0,
) -> dict[str, str]:
    """Make all checks of a transport, each in a folder of its own.

    The arguments are those of :class:`TransportCheck` and :func:`transport_checks`. Returns the
    names of the checks that could not be made, each with the reason. Raises AssertionError for the
    first thing that is not as it should be.
    """

    def make(check: TransportCheck) -> None:
        folder = output_folder / check.name
        folder.mkdir()
        check(make_transport, output_folder=folder, connect=connect)

    return run_all(transport_checks(limit_s=limit_s), make)
