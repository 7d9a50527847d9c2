"""A submission, whatever the site's defaults, qmaster and qstat are like."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.checking import check, script_of_check
from tests.support.grid_engine import Cell
from tests.support.scripts import Scripts, finish
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

IN_ENVIRONMENT = """
    import os
    from imp_parallel_core import Manager, SGEPESlaveArray

    with Manager() as manager:
        manager.add_slave(SGEPESlaveArray())
        context = manager.get_context()
        context.add_task(os.getpid)
        assert list(context.get_results_unordered()) == [manager.slaves[0].runner_pid]
        while manager.slaves[1].state != "gone":
            pass
"""
SQUARES = """
    from imp_parallel_core import Manager, SGEQsubSlaveArray

    with Manager() as manager:
        manager.add_slave(SGEQsubSlaveArray(2))
        context = manager.get_context()
        for number in range(8):
            context.add_task(pow, number, 2)
        print(sorted(context.get_results_unordered()))
"""
WHILE_QSUB_LASTS = """
    import logging, os, pathlib, sys, threading
    from imp_parallel_core import Manager, SGEQsubSlaveArray

    is_late, has_failed = threading.Event(), threading.Event()

    class Listener(logging.StreamHandler):
        def emit(self, record):
            super().emit(record)
            if "qsub has not answered for" in record.getMessage():
                is_late.set()
            if "which is connected" in record.getMessage():
                has_failed.set()

    logging.getLogger("imp_parallel").addHandler(Listener())
    os.environ["PATH"] = os.getcwd() + "/bin:" + os.environ["PATH"]
    with Manager() as manager:
        manager.add_slave(SGEQsubSlaveArray(1))
        context = manager.get_context()
        context.add_task(pow, 0, 2)
        found = list(context.get_results_unordered())
        assert is_late.wait(60.0)
        pathlib.Path("connected").touch()
        assert has_failed.wait(60.0)
        for number in range(1, 8): context.add_task(pow, number, 2)
        found += context.get_results_unordered()
        print(sorted(found))
"""
LASTING = """\
#!/bin/sh
/usr/bin/qsub "$@" >/dev/null
until test -e connected; do sleep 0.1; done
echo "it is too late" >&2
exit 1
"""
WITHOUT_JOBS = """\
#!/bin/sh
test "$1" != -j || exit 1
exec /usr/bin/qstat "$@"
"""


@pytest.mark.parametrize("default", ["-sync y", "-b y", "-now y"])
def test_what_a_request_file_sets_does_not_break_the_array(
    cluster: Cell, scripts: Scripts, tmp_path: Path, default: str
) -> None:
    (tmp_path / ".sge_request").write_text(default + "\n")
    code, out, err = finish(scripts.start(SQUARES))
    assert (code, out) == (0, f"{[number**2 for number in range(8)]}\n")
    # (on a busy machine the job may not be there yet when it is looked for)
    assert all("qsub has not answered for " in line for line in err.splitlines()), err


@pytest.mark.parametrize("default", ["-verify", "-w v", "-w p"])
def test_default_options_that_only_verify_are_named_as_the_cause_in_few_lines(
    cluster: Cell, scripts: Scripts, tmp_path: Path, default: str
) -> None:
    (tmp_path / ".sge_request").write_text(default + "\n")
    code, _, err = finish(scripts.start(SQUARES.replace("Array(2)", "Array(12)")))
    assert code == 1
    for text in (err, check("SGEQsubSlaveArray(12)").failure("submitted")):
        assert "nothing was submitted: your default options for qsub only verify" in text
        assert ".sge_request" in text
        assert "12 slaves (0-11), all alike" in text
        assert len(text.splitlines()) < 100


def test_a_submission_that_lasts_and_fails_gives_up_no_slave_that_is_connected(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name, text in (("qsub", LASTING), ("qstat", WITHOUT_JOBS)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    code, out, err = finish(scripts.start(WHILE_QSUB_LASTS))
    assert (code, out) == (0, f"{[number**2 for number in range(8)]}\n"), err
    assert "the launch of slave 0" in err
    assert "failed, which is connected: qsub refused the array: exit code 1" in err
    wait_until(lambda: not cluster.jobs(), 60.0, "an empty queue")


@pytest.mark.parametrize("options", ["", "-N mine -o out"])
def test_the_users_other_array_of_which_qsub_speaks_is_not_taken_for_the_runs(
    cluster: Cell, scripts: Scripts, tmp_path: Path, options: str
) -> None:
    precious = scripts.start(
        """
        import subprocess
        done = subprocess.run(
            ["qsub", "-terse", "-h", "-t", "1-2", "-N", "precious", "-o", "/dev/null", "-j", "y"],
            input="sleep 1", text=True, check=True, stdout=-1,
        )
        print(done.stdout.partition(".")[0])
        """
    )
    code, out, err = finish(precious)
    assert code == 0, err
    job = out.strip()
    qsub = tmp_path / "bin/qsub"
    qsub.parent.mkdir()
    reminder = f'reminder: your job-array {job}.1-2:1 ("precious") is still waiting'
    qsub.write_text(f"#!/bin/sh\n/usr/bin/qsub \"$@\" && echo '{reminder}' >&2\n")
    qsub.chmod(0o755)
    code, out, err = finish(
        scripts.start(
            f"""
            import os
            from imp_parallel_core import Manager, SGEQsubSlaveArray

            os.environ["PATH"] = os.getcwd() + "/bin:" + os.environ["PATH"]
            with Manager() as manager:
                manager.add_slave(SGEQsubSlaveArray(2, {options!r}))
                context = manager.get_context()
                context.add_task(pow, 3, 2)
                print(*context.get_results())
            """
        )
    )
    assert (code, out) == (0, "9\n"), err
    assert "its answer speaks of several arrays" in err
    assert f"job {job} " not in err
    assert [line.split()[0] for line in cluster.kept_jobs()] == [job] * 2
    cluster.run("qdel", job)


@pytest.mark.parametrize("place", ["default options", "qstat itself"])
def test_slaves_that_run_are_waited_for_where_qstat_lists_only_those_that_wait(
    cluster: Cell, scripts: Scripts, tmp_path: Path, place: str
) -> None:
    options = cluster.base / "root/default/common/sge_qstat"  # as in ~/.sge_qstat
    qstat = tmp_path / "bin/qstat"
    qstat.parent.mkdir()
    if place == "default options":
        cluster.run("sh", "-c", f"echo '-s p' >{options}")
    else:
        qstat.write_text(
            '#!/bin/sh\ntest "$1" = -j || set -- "$@" -s p\nexec /usr/bin/qstat "$@"\n'
        )
        qstat.chmod(0o755)
    try:
        code, out, err = finish(
            scripts.start(
                """
                import os, sys
                from imp_parallel_core import Manager, SGEQsubSlaveArray

                os.environ["PATH"] = os.getcwd() + "/bin:" + os.environ["PATH"]
                with Manager(python=f"sleep 8; exec {sys.executable}") as manager:
                    manager.add_slave(SGEQsubSlaveArray(10))
                    context = manager.get_context()
                    context.add_task(pow, 3, 2)
                    print(*context.get_results())
                    print({slave.state for slave in manager.slaves} & {"gone"})
                """
            )
        )
    finally:
        cluster.run("rm", "-f", str(options))
    assert (code, out, err) == (0, "9\nset()\n", "")


@pytest.mark.parametrize("line", ["exit", "exit 3", "exec true"])
def test_a_profile_that_ends_the_shell_is_named_as_the_cause(cluster: Cell, line: str) -> None:
    profile = cluster.home / ".bash_profile"
    profile.write_text(line + "\n")
    try:
        text = check("SGEQsubSlaveArray(2)").failure("started")
    finally:
        profile.unlink()
    assert f"exit code {3 if '3' in line else 0}, before its script had begun" in text
    assert "~/.bash_profile" in text


def test_a_parallel_environment_that_does_not_control_its_slaves_is_named_as_the_cause(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    (tmp_path / "inside.py").write_text(textwrap.dedent(IN_ENVIRONMENT))
    (tmp_path / "check.py").write_text(script_of_check("SGEPESlaveArray()"))
    script = scripts.start(
        f"""
        import subprocess
        options = "-sync y -pe loose 2 -cwd -j y -o out -S /bin/bash -v PYTHONPATH".split()
        text = "{sys.executable} inside.py && ! {sys.executable} check.py"
        subprocess.run(["qsub", *options], input=text, text=True, check=True, stdout=-3)
        """
    )
    code, _, err = finish(script)
    said = (tmp_path / "out").read_text()
    assert (code, err) == (0, ""), said
    assert "FAILED   others       1 of 2 slaves was lost" in said
    for text in (said, said.partition(" plugin ")[2]):  # the script's and the check's, and this
        assert "didn't accept task" in text
        assert "must have control_slaves TRUE (qconf -sp loose shows it" in text
