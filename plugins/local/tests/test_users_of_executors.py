"""What people use futures with works with those of slaves: notebooks, tqdm, asyncio."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import Iterator
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import Manager
from tests.support.harness import Processes
from tests.support.runners import compute_for_ever

LIMIT_S = 50.0


class Notebook:
    """A kernel as a notebook has it, and the cells that it has run."""

    def __init__(self) -> None:
        from jupyter_client.manager import KernelManager

        self.kernel = KernelManager()
        self.kernel.start_kernel()
        self._client = self.kernel.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=LIMIT_S)

    def run(self, cell: str) -> str:
        """Run a cell; return what it shows, without colours."""
        return self.read(self.begin(cell))

    def begin(self, cell: str) -> str:
        """Have a cell run; return the number of the request."""
        return str(self._client.execute(cell))

    def read(self, request: str) -> str:
        """Wait for the end of a cell; return what it shows."""
        shown = ""
        while True:
            message = self._client.get_iopub_msg(timeout=LIMIT_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "execute_result":
                shown += content["data"]["text/plain"]
            elif kind == "stream":
                shown += content["text"]
            elif kind == "error":
                shown += "\n".join(content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                return re.sub(r"\x1b\[[0-9;]*m", "", shown)

    def first_output(self) -> str:
        """Wait for what the cell that runs prints first."""
        while True:
            message = self._client.get_iopub_msg(timeout=LIMIT_S)
            if message["msg_type"] == "stream":
                return str(message["content"]["text"])

    def close(self) -> None:
        self._client.stop_channels()
        self.kernel.shutdown_kernel(now=True)


@pytest.fixture
def notebook(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Notebook]:
    """Start a kernel in the test's folder, with settings of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Notebook()
    yield made
    made.close()


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jupyter_client's own
def test_the_cells_of_a_notebook_show_futures_and_a_ctrl_c_loses_nothing(
    notebook: Notebook, tmp_path: Path
) -> None:
    assert not notebook.run(
        """
        import os, time
        from concurrent.futures import as_completed
        from imp_parallel_core import LocalSlave, Manager

        manager = Manager()
        for _ in range(2):
            manager.add_slave(LocalSlave())
        executor = manager.get_executor(lambda: 10)

        def wait_for(ten, gate):
            while not os.path.exists(gate):
                time.sleep(0.01)
            return ten + 1

        def fail(ten):
            raise ValueError(f"no model of {ten}")
        """
    )
    shown = notebook.run(
        """
        waits = executor.submit(wait_for, "gate")
        while not waits.running():
            time.sleep(0.01)
        waits
        """
    )
    assert re.fullmatch(r"<TaskFuture at 0x\w+ state=running>", shown)
    shown = notebook.run(
        "sorted(done.result() for done in as_completed([executor.submit(pow, 2)]))"
    )
    assert shown == "[100]"
    shown = notebook.run("executor.submit(fail).result()")
    assert "ValueError: no model of 10" in shown
    assert "in fail" in shown, "the traceback on the slave is missing"
    request = notebook.begin("print('waiting', flush=True)\nwaits.result()")
    assert notebook.first_output() == "waiting\n"
    notebook.kernel.interrupt_kernel()
    assert "KeyboardInterrupt" in notebook.read(request)
    (tmp_path / "gate").touch()
    assert notebook.run("waits.result()") == "11"
    assert "state=finished returned int>" in notebook.run("waits")
    assert not notebook.run("manager.close()")


def test_tqdm_counts_futures_as_they_complete(two_slaves: Manager) -> None:
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread that stays
    tqdm.set_lock(threading.RLock())  # nor a process, as that of multiprocessing's locks
    bar = io.StringIO()
    with two_slaves.get_executor() as executor:
        futures = [executor.submit(abs, -n) for n in range(100)]
        done = tqdm(as_completed(futures, LIMIT_S), total=len(futures), file=bar)
        assert sorted(future.result() for future in done) == list(range(100))
    assert "100/100" in bar.getvalue()


def test_asyncio_drives_a_thousand_calls_of_which_some_take_too_long(
    two_slaves: Manager, tmp_path: Path
) -> None:
    async def call(executor: Any, n: int) -> int | str:
        loop = asyncio.get_running_loop()
        if n not in (200, 700):
            return int(await asyncio.wait_for(loop.run_in_executor(executor, abs, -n), LIMIT_S))
        stuck = loop.run_in_executor(executor, compute_for_ever, tmp_path / str(n))
        while not (tmp_path / str(n)).exists():
            await asyncio.sleep(0.01)
        try:
            await asyncio.wait_for(stuck, 0.01)
        except TimeoutError:
            return "too long"
        return "never"

    async def main() -> list[int | str]:
        with two_slaves.get_executor() as executor:
            calls = [asyncio.create_task(call(executor, n)) for n in range(1000)]
            return [await done for done in asyncio.as_completed(calls, timeout=LIMIT_S)]

    results = asyncio.run(main())
    assert results.count("too long") == 2
    numbers = sorted(result for result in results if isinstance(result, int))
    assert numbers == [n for n in range(1000) if n not in (200, 700)]
