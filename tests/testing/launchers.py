"""Launchers for slaves of this machine that have one thing wrong each."""

from __future__ import annotations

import base64
import logging
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Launch,
    LaunchPhase,
    LaunchState,
    Slave,
    SlaveArray,
    SocketStream,
    Stream,
    hookimpl,
    open_output,
    start_processes,
)


class Here(Slave):
    """A slave of this machine."""


class HereArray(SlaveArray):
    """Slaves of this machine."""


class Right:
    """A launcher with nothing wrong. Those below override one of its methods."""

    @hookimpl
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> Launch | None:
        if isinstance(slaves, (Here, HereArray)):
            return self.start([self.bootstrap(one) for one in bootstraps], accept)
        return None

    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap

    def start(self, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        return self.launch(start_processes(bootstraps, accept, self.wrap))

    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        return argv

    def launch(self, launch: Launch) -> Launch:
        return launch


class Passing:
    """A launch that passes everything on."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.command = launch.command

    def poll(self) -> Mapping[int, LaunchState]:
        return self._launch.poll()

    def cancel(self, grace_s: float) -> None:
        self._launch.cancel(grace_s)

    def log_tail(self, index: int) -> str:
        return self._launch.log_tail(index)


class StartsSomethingElse(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        return ["sleep", "600"]


class SaysWhyNothingStarts(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        return ["sh", "-c", "echo the stable is closed; exec sleep 600"]


class MixesUpStreams(Right):
    def start(self, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        def wrongly(index: int, stream: Stream) -> None:
            accept(len(bootstraps) - 1 - index, stream)

        return super().start(bootstraps, wrongly)


class MixesUpOutput(Right):
    def start(self, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        first = bootstraps[0].output_path
        return super().start([one._replace(output_path=first) for one in bootstraps], accept)


class StartsTheFirstAlone(Right):
    def start(self, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        return super().start(bootstraps[:1], accept)


class DoesNotQuote(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        return ["sh", "-ec", f"cd {bootstrap.cwd}\n{shlex.join(argv)}"]


class LosesTheFolder(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(cwd="/")


class LosesThePath(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(
            sys_path=[entry for entry in bootstrap.sys_path if "\n" not in entry]
        )


class LosesArguments(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(argv=[word for word in bootstrap.argv if word])


class WritesElsewhere(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(output_path=None)


class LosesTheEnvironment(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(environment={})


class GivesNothingElse(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(masters_environment={})


class ShowsSecretsInEnvironments(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(environment={"SECRET": shown(bootstrap)})


class ShowsSecretsInCommands(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        return ["sh", "-c", '"$@"', f"--secret={shown(bootstrap)}", *argv]


class ShowsSecretsInLogs(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        logging.getLogger("imp_parallel.stranger").debug("document: %r", bootstrap.document())
        return argv


class ShowsItsDocumentInEnvironments(Right):
    def bootstrap(self, bootstrap: Bootstrap) -> Bootstrap:
        document = base64.encodebytes(bootstrap.document()).decode()
        return bootstrap._replace(environment={"DOCUMENT": document})


class ShowsSecretsInTheSameFileAgain(Right):
    """The name of the file is the same each time."""

    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        path = self.folder(bootstrap) / f"slave{bootstrap.index}.json"
        path.write_bytes(bootstrap.document())
        path.chmod(0o644)
        return argv

    def folder(self, bootstrap: Bootstrap) -> Path:
        return Path(bootstrap.cwd)


class ShowsSecretsInTheTemporaryFolder(ShowsSecretsInTheSameFileAgain):
    def folder(self, bootstrap: Bootstrap) -> Path:
        return Path(tempfile.gettempdir())


class ShowsSecretsInTheHomeFolder(ShowsSecretsInTheSameFileAgain):
    def folder(self, bootstrap: Bootstrap) -> Path:
        folder = Path.home() / "public"
        folder.mkdir(exist_ok=True)
        return folder


class ShowsSecretsInFiles(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        Path(bootstrap.cwd, "document").write_bytes(bootstrap.document())
        Path(bootstrap.cwd, "document").chmod(0o644)
        return argv


def shown(bootstrap: Bootstrap) -> str:
    return base64.b64encode(bootstrap.secret).decode()


class TellsNoOutput(Right):
    def launch(self, launch: Launch) -> Launch:
        class Mute(Passing):
            def log_tail(self, index: int) -> str:
                return ""

        return Mute(launch)


class TellsNoExitCode(Right):
    def launch(self, launch: Launch) -> Launch:
        class Ignorant(Passing):
            def poll(self) -> Mapping[int, LaunchState]:
                return {i: state._replace(exit_code=None) for i, state in super().poll().items()}

        return Ignorant(launch)


class BreaksWhereNobodyReads(Right):
    def start(self, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        (bootstrap,) = bootstraps
        ours, theirs = socket.socketpair()
        with theirs, open_output(bootstrap.output_path) as output:
            command = bootstrap.command("stdin")
            process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=output, stderr=-2)
        try:
            ours.sendall(bootstrap.document())
        except OSError:
            ours.close()
            process.wait()
            raise
        accept(bootstrap.index, SocketStream(ours))
        raise AssertionError("the document should not fit")


class LooksOnce(Right):
    def launch(self, launch: Launch) -> Launch:
        class Stale(Passing):
            states: Mapping[int, LaunchState] = {}

            def poll(self) -> Mapping[int, LaunchState]:
                self.states = self.states or super().poll()
                return self.states

        return Stale(launch)


class Forgets(Right):
    def launch(self, launch: Launch) -> Launch:
        class Forgetful(Passing):
            told: set[int] = set()

            def poll(self) -> Mapping[int, LaunchState]:
                states = {i: s for i, s in super().poll().items() if i not in self.told}
                self.told = self.told | {
                    i for i, state in states.items() if state.phase is LaunchPhase.ENDED
                }
                return states

        return Forgetful(launch)


class EndsAllWithOne(Right):
    def launch(self, launch: Launch) -> Launch:
        class Jealous(Passing):
            def poll(self) -> Mapping[int, LaunchState]:
                if any(state.phase is LaunchPhase.ENDED for state in super().poll().values()):
                    super().cancel(0.0)
                return super().poll()

        return Jealous(launch)


class UsesItsGraceUp(Right):
    def launch(self, launch: Launch) -> Launch:
        class Slow(Passing):
            def cancel(self, grace_s: float) -> None:
                time.sleep(grace_s)
                super().cancel(0.0)

        return Slow(launch)


class CanNotBeCancelledTwice(Right):
    def launch(self, launch: Launch) -> Launch:
        class Once(Passing):
            def cancel(self, grace_s: float) -> None:
                super().cancel(grace_s)
                del self._launch

        return Once(launch)


class LeavesSomething(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        # $() waits for the shell within, so that sleep has its own session before the slave may end
        stray = "$(setsid sh -c 'exec >&- 2>&-; sleep 600 &')"
        return ["sh", "-c", f': "{stray}"; exec "$@"', "sh", *argv]


class InAnotherPidNamespace(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        return ["unshare", "-Urpf", "--mount-proc", "--kill-child", *argv]


class InAnotherPidNamespaceWithTheSameProc(Right):
    def wrap(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        return ["unshare", "-Urpf", "--kill-child", *argv]
