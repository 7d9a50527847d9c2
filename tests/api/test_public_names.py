"""What is public, and what an import costs: both are promises."""

from __future__ import annotations

import ast
import importlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from imp_parallel_batch import Array, BatchEnd, BatchTask, Command, Description, Submitted
from imp_parallel_batch.testing import Samples

import imp_parallel_core
from imp_parallel_core import (
    GPU,
    Bootstrap,
    CommandResult,
    CurrentTask,
    LaunchState,
    OutputLine,
    SlaveInfo,
    TaskDone,
)
from imp_parallel_core._api.executor import Executor
from imp_parallel_core._api.map import Map
from imp_parallel_core._api.pending_futures import TaskFuture

ROOT = Path(__file__).resolve().parents[2]

PUBLIC = {
    "imp_parallel_batch": [
        "Array",
        "BatchEnd",
        "BatchSlaveArray",
        "BatchSystem",
        "BatchTask",
        "Command",
        "Description",
        "Submitted",
        "launch_array",
        "output_of",
        "parse_ranges",
        "understood",
    ],
    "imp_parallel_batch.allocation": [
        "Documents",
        "Starter",
        "check_programs",
        "documents_of_job",
        "slave_line",
        "slave_script",
        "warn_if_only_here",
    ],
    "imp_parallel_batch.testing": [
        "Samples",
        "check_a_launch_concludes_nothing_from_failures",
        "check_accounts_are_read",
        "check_batch_system",
        "check_commands",
        "check_deletions_are_read",
        "check_descriptions_are_read",
        "check_lists_are_read",
        "check_submissions_are_read",
        "check_the_script_runs_in_hostile_folders",
    ],
    "imp_parallel_core": [
        "Accept",
        "Attempt",
        "Bootstrap",
        "CancelledError",
        "ClosedError",
        "CommandHost",
        "CommandResult",
        "Context",
        "ContextDone",
        "ContextOpened",
        "CurrentTask",
        "EndingLaunch",
        "Error",
        "Event",
        "EventsMissed",
        "GPU",
        "Gateway",
        "InformedLaunch",
        "Launch",
        "LaunchError",
        "LaunchPhase",
        "LaunchState",
        "LocalHost",
        "Manager",
        "NetworkError",
        "NoMoreSlavesError",
        "NoSlaveStartedError",
        "OutputLine",
        "PicklingError",
        "PluginError",
        "ProtocolError",
        "Relay",
        "RemoteError",
        "ResultTimeoutError",
        "RunBegan",
        "RunEnded",
        "RunnerLost",
        "Sent",
        "SentLaunch",
        "SentSlaveArray",
        "SetupDone",
        "SetupError",
        "Slave",
        "SlaveArray",
        "SlaveChanged",
        "SlaveInfo",
        "SocketStream",
        "Stream",
        "Subcommand",
        "TaskDone",
        "TaskLostError",
        "TaskMemoryError",
        "TasksAdded",
        "TasksDone",
        "TasksForgotten",
        "TasksReturned",
        "TasksSent",
        "TooManyFailuresError",
        "Transport",
        "UnreadResultsWarning",
        "WithdrawingLaunch",
        "__version__",
        "current_task",
        "explained",
        "find_gpus",
        "hookimpl",
        "open_output",
        "printable",
        "printable_lines",
        "read_tail",
        "slave_archive",
        "start_failure",
        "start_processes",
    ],
    "imp_parallel_core.compat": [
        "Context",
        "Error",
        "Manager",
        "NetworkError",
        "NoMoreWorkersError",
        "RemoteError",
        "Worker",
        "WorkerArray",
    ],
    "imp_parallel_core.testing": [
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
    ],
    "imp_parallel_dask": ["DaskSlaveArray"],
    "imp_parallel_joblib": ["ManagerBackend"],
    "imp_parallel_local": ["LocalSlave", "LocalSlaves"],
    "imp_parallel_ray": ["RaySlaveArray"],
    "imp_parallel_sge": ["SGEPESlaveArray", "SGEQsubSlaveArray"],
    "imp_parallel_slurm": ["SlurmSlaveArray", "SlurmStepSlaveArray"],
    "imp_parallel_ssh": ["SSHHost", "SSHSlave", "SSHSlaveArray"],
    "imp_parallel_view": ["Live", "ProgressBar", "Record", "RecordError", "RecordReader"],
}

HOST = [
    *("find_program", "home", "make_private_folder", "read_file", "remove_files", "remove_folder"),
    *("run", "search_path", "write_file", "write_files"),
]
LAUNCH = ["cancel", "command", "log_tail", "poll"]
SLAVE = [
    *("check", "environment", "environment_of", "is_relaunchable", "threads", "transport", "via"),
]
SENT_ARRAY = [
    *(
        *SLAVE,
        "explained_by",
        "kept_by",
        "launch",
        "launch_type",
        "privacy_advice",
        "requirement",
        "system",
    ),
]
TASK_ERROR = ["rerun", "save", "task"]
STREAM = ["close", "fileno", "on_wake_up", "receive", "resumable", "send"]

# What help() shows of each public class: what its users call, or what they implement. Errors are
# here as far as they have methods.
MEMBERS = {
    "Array": list(Array._fields),
    "Attempt": ["output"],
    "BatchEnd": list(BatchEnd._fields),
    "BatchSlaveArray": [*SLAVE, "job_script", "standard_options"],
    "BatchSystem": [
        *("cluster_variables", "first_task", "least_tasks", "reserved_exit_codes"),
        *("reserved_options", "restarted", "warns_children"),
        *("accounting", "can_use", "check_options", "deletion", "description", "descriptions_in"),
        *("obstacles_in", "rehearsal"),
        *("ends_in", "is_gone", "job_name", "notice", "question", "submission", "submitted"),
        *("is_temporary", "may_have_been_taken", "tasks_in"),
    ],
    "BatchTask": list(BatchTask._fields),
    "Bootstrap": [*Bootstrap._fields, "command", "document", "local_environment"],
    "Command": [*Command._fields, "program", "typed"],
    "CancelledError": TASK_ERROR,
    "CommandHost": HOST,
    "CommandResult": [*CommandResult._fields, "words"],
    "Context": [
        *("add_task", "cancel", "clear", "close", "get_results", "get_results_unordered"),
        *("map", "map_unordered"),
    ],
    "ContextDone": ["context"],
    "ContextOpened": ["context", "name"],
    "CurrentTask": list(CurrentTask._fields),
    "Description": list(Description._fields),
    "DaskSlaveArray": SENT_ARRAY,
    "Documents": ["exit_code", "forget", "remove", "restore", "tail", "token", "write"],
    "EndingLaunch": [*LAUNCH, "end_slave"],
    "Event": ["at"],
    "EventsMissed": ["count", "tasks"],
    "Executor": ["map", "shutdown", "submit"],
    "Gateway": [*HOST, "read_files", "relay", "ship_modules"],
    "InformedLaunch": [*LAUNCH, "note_connections"],
    "Launch": LAUNCH,
    "LaunchPhase": ["ENDED", "QUEUED", "RUNNING", "SUSPENDED"],
    "LaunchState": list(LaunchState._fields),
    "LocalHost": HOST,
    "GPU": [*GPU._fields, "of"],
    "LocalSlave": SLAVE,
    "LocalSlaves": [*SLAVE, "cores_of", "one_per_gpu"],
    "Manager": [
        *("add_slave", "close", "connect_timeout", "get_context", "get_executor"),
        "heartbeat_timeout",
        *("reconnect_timeout", "slaves", "surplus_timeout"),
        "add_worker",  # of compat
    ],
    "ManagerBackend": [  # of joblib's backends
        *("abort_everything", "configure", "default_n_jobs", "effective_n_jobs"),
        *("get_nested_backend", "retrieve_result_callback", "start_call", "stop_call"),
        *("submit", "supports_retrieve_callback", "terminate"),
    ],
    "Map": ["close"],
    "RaySlaveArray": SENT_ARRAY,
    "Relay": ["addresses", "close"],
    "OutputLine": list(OutputLine._fields),
    "RemoteError": [*TASK_ERROR, "worker"],
    "RunBegan": ["wall_s"],
    "RunEnded": [],
    "RunnerLost": [
        *("attempt", "began_at", "cause", "context", "is_charged", "slave", "task"),
    ],
    "SGEPESlaveArray": SLAVE,
    "SGEQsubSlaveArray": [*SLAVE, "job_script", "standard_options", "system"],
    "SlurmSlaveArray": [*SLAVE, "job_script", "standard_options", "system"],
    "SlurmStepSlaveArray": SLAVE,
    "Live": ["imp_parallel_observe"],
    "ProgressBar": ["imp_parallel_observe"],
    "Record": ["imp_parallel_observe"],
    "RecordReader": ["facts", "is_cut_off", "unreadable"],
    "SSHHost": [
        *(*HOST, "read_files", "relay", "ship_modules", "close"),
        *("connection", "relay_ended", "close_unless_relayed"),  # called by its relay
    ],
    "SSHSlave": SLAVE,
    "SSHSlaveArray": [*SLAVE, "from_file", "one_per_gpu"],
    "Sent": [],
    "SentLaunch": [
        *("why_closed", "machines", "is_private", "submit", "reason", "drop", "look", "cluster"),
        "close",
        *("reported", "ended", "failed", "restarted_unless_at", "slaves"),
        *(
            "demand_privacy",
            "keep_asking",
            "check",
            "start",
            "poll",
            "withdraw",
            "cancel",
            "log_tail",
        ),
    ],
    "Samples": list(Samples.__dataclass_fields__),
    "SentSlaveArray": SENT_ARRAY,
    "SetupDone": ["began_at", "context", "duration_s", "error", "slave"],
    "SetupError": [*TASK_ERROR, "worker"],
    "Slave": SLAVE,
    "Starter": ["can_use", "notice"],
    "SlaveArray": SLAVE,
    "SlaveChanged": ["context", "detail", "host", "slave", "state"],
    "SlaveInfo": list(SlaveInfo.__annotations__),
    "SocketStream": [*STREAM, "send_with", "take_descriptors"],
    "Stream": STREAM,
    "Subcommand": ["add_arguments", "help", "name", "run"],
    "Submitted": list(Submitted._fields),
    "TaskDone": list(TaskDone._fields),
    "TaskFuture": ["cancel", "running"],
    "TaskLostError": TASK_ERROR,
    "TaskMemoryError": TASK_ERROR,
    "TasksAdded": ["context", "count", "total"],
    "TasksDone": [
        *("attempts", "began_at", "context", "durations_s", "error", "outcome"),
        *("peak_memory_bytes", "result_bytes", "slave", "tasks"),
    ],
    "TasksForgotten": ["context", "count"],
    "TasksReturned": ["context", "slave", "tasks"],
    "TasksSent": ["attempts", "context", "slave", "tasks"],
    "Transport": ["close", "dial", "listen", "secret", "slave_modules"],
    "WithdrawingLaunch": [*LAUNCH, "withdraw"],
}

# Modules of the core for authors of plugins, and what they offer. They have no __all__: some of
# them are sent to hosts as text, where nothing would read it.
FOR_PLUGINS = {
    "imp_parallel_core.arguments": [
        "checked_environment",
        "checked_flag",
        "checked_host",
        "checked_list",
        "checked_mapping",
        "checked_number",
        "checked_seconds",
        "checked_text",
    ],
    "imp_parallel_core.private_folders": [
        "MARK",
        "make_private_folder",
        "open_private_folder",
        "remove_private_folder",
        "was_made_here",
        "with_private_folders",
    ],
    "imp_parallel_core.proofs": ["expect_none", "expect_proof", "note_proof"],
    "imp_parallel_core.reminder": ["Reminder", "SharedReminder"],
    "imp_parallel_core.trusted_paths": ["SHELL_FUNCTION", "who_else_writes", "why_not"],
}

NO_NAMES = ["imp_parallel_tcp"]  # its users name the transport; they import nothing

# of builtin types, which have their own
WITHOUT_DOCSTRING = {
    *("Accept", "Connect", "MakePair", "MakeSlave", "MakeTransport", "__version__", "hookimpl"),
}

OURS = sorted((ROOT / "plugins").glob("*/imp_parallel_*/**/*.py"))
MODULES = {
    ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
    for folder in (ROOT / "imp_parallel_core", *(ROOT / "plugins").glob("*/imp_parallel_*"))
    for path in folder.rglob("*.py")
}

# what a slave must not wait for at its start, nor a script that only imports the package
HEAVY = ["cloudpickle", "dataclasses", "inspect", "logging", "pluggy", "subprocess", "threading"]


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_these(package: str) -> None:
    assert sorted(importlib.import_module(package).__all__) == PUBLIC[package]


def test_every_other_module_is_private() -> None:
    """It has an underscore, or is in a package that has one."""
    public = {name for name in MODULES if not any(part[0] == "_" for part in name.split("."))}
    assert public == {*PUBLIC, *FOR_PLUGINS, *NO_NAMES}


@pytest.mark.parametrize("module", FOR_PLUGINS)
def test_a_module_for_plugins_offers_these_names(module: str) -> None:
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    assert [name for name in sorted(_defined(source)) if name[0] != "_"] == FOR_PLUGINS[module]


@pytest.mark.parametrize("package", NO_NAMES)
def test_a_package_without_public_names_defines_none(package: str) -> None:
    module = importlib.import_module(package)
    path = Path(module.__file__ or "")
    assert [name for name in _defined(path.read_text()) if name[0] != "_"] == []


def test_dir_shows_the_public_names() -> None:
    assert dir(imp_parallel_core) == sorted(PUBLIC["imp_parallel_core"])


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package in PUBLIC for name in PUBLIC[package]]
)
def test_a_public_name_can_be_imported_and_is_described(package: str, name: str) -> None:
    thing = getattr(importlib.import_module(package), name)
    if name not in WITHOUT_DOCSTRING:
        assert thing.__doc__
        # NamedTuple and dataclass make up a docstring from the fields
        assert not thing.__doc__.startswith(f"{name}(")


@pytest.mark.parametrize("package", PUBLIC)
def test_a_public_class_is_shown_with_a_docstring_on_each_public_method(package: str) -> None:
    things = (getattr(importlib.import_module(package), name) for name in PUBLIC[package])
    undescribed = [
        f"{thing.__name__}.{name}"
        for thing in things
        if isinstance(thing, type)
        for name, value in vars(thing).items()
        if callable(value) and not name.startswith("_") and not value.__doc__
    ]
    assert undescribed == []


PUBLIC_CLASSES = {
    thing: None
    for package in PUBLIC
    for name in PUBLIC[package]
    if isinstance(thing := getattr(importlib.import_module(package), name), type)
}


@pytest.mark.parametrize(
    "kind", [*PUBLIC_CLASSES, Map, Executor, TaskFuture], ids=lambda kind: kind.__name__
)
def test_a_public_class_shows_only_what_users_call(kind: type) -> None:
    shown = {
        name
        for base in kind.__mro__
        if base.__module__.startswith("imp_parallel")
        for name in vars(base)
        if not name.startswith("_")
    }
    assert sorted(shown - set(MEMBERS.get(kind.__name__, ()))) == []


ERRORS = [kind for kind in PUBLIC_CLASSES if issubclass(kind, (Exception, Warning))]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_a_traceback_names_an_error_as_it_is_imported(kind: type) -> None:
    home = kind.__module__
    assert not any(part.startswith("_") for part in home.split("."))
    assert getattr(importlib.import_module(home), kind.__name__) is kind


def test_an_error_that_was_pickled_is_found_by_a_process_that_has_imported_nothing() -> None:
    kinds = [kind for kind in ERRORS if kind.__module__ == "imp_parallel_core"]
    assert len(kinds) > 10
    hidden = imp_parallel_core.RemoteError.__base__  # the base of all errors of tasks is not public
    pickled = [pickle.dumps(kind) for kind in [*kinds, hidden]]
    error = imp_parallel_core.NoSlaveStartedError("none", failures=["a"])
    script = (
        "import pickle, sys; "
        f"print(*(pickle.loads(one).__name__ for one in {pickled!r})); "
        f"error = pickle.loads({pickle.dumps(error)!r}); "
        "print(type(error), error.failures, 'imp_parallel_core._api.manager' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    names, instance = done.stdout.splitlines()
    assert names.split() == [*(kind.__name__ for kind in kinds), "TaskError"]
    assert instance == "<class 'imp_parallel_core.NoSlaveStartedError'> ('a',) False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    for name in ("no_such_name", "NoSuchName", "_private"):
        with pytest.raises(AttributeError, match=name):
            getattr(imp_parallel_core, name)


@pytest.mark.parametrize(
    ("module", "more"),
    [
        ("imp_parallel_core", ["imp_parallel_core._api.manager", "json", "socket"]),
        ("imp_parallel_core._slave.program", ["ctypes", "typing"]),
        ("imp_parallel_core._slave.supervisor", ["ctypes", "typing"]),
    ],
)
def test_an_import_is_light(module: str, more: list[str]) -> None:
    """In a process of its own, where nothing else has imported anything."""
    script = f"import sys, {module}; print(*set({HEAVY + more!r}) & set(sys.modules))"
    command = [sys.executable, "-S", "-c", script]  # -S: no .pth file imports anything either
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_a_runner_loads_no_more_than_it_needs() -> None:
    unneeded = {*HEAVY, "ctypes", "json", "typing"} - {"threading"}
    script = f"import sys, imp_parallel_core._slave.runner; print(*{unneeded} & {{*sys.modules}})"
    command = [sys.executable, "-S", "-c", script]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_the_first_slave_does_not_wait_for_what_most_scripts_do_not_need() -> None:
    unneeded = {
        "imp_parallel_core._plugins.events",
        "importlib.metadata",
        "pathlib",
        "secrets",
        "urllib",
    }
    script = (
        "import sys; from imp_parallel_core import Manager; Manager(output=None); "
        f"print(*{unneeded} & {{*sys.modules}})"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert loaded.stdout.split() == []
    assert loaded.stderr == ""


@pytest.mark.parametrize("path", OURS, ids=lambda path: "/".join(path.parts[-3:]))
def test_our_own_plugins_use_only_public_names_of_the_core_and_of_the_batch_kit(
    path: Path,
) -> None:
    assert _private_uses(path.read_text()) == []
    assert _private_uses(path.read_text(), "imp_parallel_batch") == []


def test_a_private_use_would_be_found() -> None:
    source = (
        "import imp_parallel_core._errors\n"
        "from imp_parallel_core._errors import Error\n"
        "from imp_parallel_core import Manager, _errors, nothing\n"
        "import imp_parallel_core as core\n"
        "core._errors\n"
    )
    assert _private_uses(source) == [
        "imp_parallel_core._errors",
        "imp_parallel_core._errors",
        "_errors",
        "nothing",
        "core._errors",
    ]


def _defined(source: str) -> Iterator[str]:
    """Yield the names that a module defines, apart from what it imports."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _private_uses(source: str, package: str = "imp_parallel_core") -> list[str]:
    """Return what a module uses of a package that is not public."""
    found: list[str] = []
    aliases: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(f"{package}._"):
                    found.append(alias.name)
                elif alias.name == package:
                    aliases.add(alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith(f"{package}._"):
                found.append(node.module)
            elif node.module == package:
                modules = {name.rpartition(".")[2] for name in (*PUBLIC, *FOR_PLUGINS)}
                public = {*PUBLIC[package], *modules}
                found += [alias.name for alias in node.names if alias.name not in public]
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
            and node.attr not in PUBLIC[package]
        ):
            found.append(f"{node.value.id}.{node.attr}")
    return found
