"""Finding a place for the run's folder, and putting there what the master has sent."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time

from imp_parallel_core.private_folders import make_private_folder, remove_private_folder

from .run_folder import PREFIX, TURN, RunFolder, remove_if_unused

TYPE_CHECKING = False  # as typing's, which takes long to import
if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARED = ("/tmp", "/dev/shm")  # noqa: S108 - a new folder in it is made with mode 0700
_PATH_LIMIT = 45  # of the folder's parent: the address of a slave's socket has 107 bytes at most
_ST_NOEXEC = getattr(os, "ST_NOEXEC", 0)  # Linux
_OLD_S = 3600.0  # a folder may be empty and free for a moment


def prepare(
    known: str, kinds: Sequence[str], digests: Sequence[str], contents: Sequence[bytes]
) -> RunFolder:
    """Put archives into the run's folder, and return it.

    Args:
        known: the path of the run's folder; "" to make one.
        kinds: of each archive, ``code`` or ``modules``: those are unpacked.
        digests: of each archive.
        contents: of each archive.

    Raises OSError if an archive did not arrive as it was sent, or there is no place for them.
    """
    from hashlib import sha256

    for digest, content in zip(digests, contents, strict=True):
        if sha256(content).hexdigest() != digest:
            raise OSError(errno.EIO, "an archive did not arrive as it was sent")
    is_compiled = any(map(holds_compiled, kinds, contents))
    if known and not (is_compiled and is_noexec(known)):
        folder = RunFolder(known)
        _fill(folder.path, kinds, digests, contents)
        return folder
    problems: list[str] = []
    for parent in sorted(places(), key=is_noexec) if is_compiled else places():
        path = ""
        try:
            _refuse_everybodys(parent)
            path = make_private_folder(parent.rstrip("/") or "/", PREFIX)
            os.close(os.open(f"{path}/{TURN}", os.O_CREAT | os.O_WRONLY, 0o600))
            _sweep(parent)
            _try_out(path)
            _fill(path, kinds, digests, contents)
            return RunFolder(path)
        except OSError as problem:
            problems.append(f"{parent}: {problem.strerror or problem}")
            _discard(path)
        except BaseException:
            _discard(path)
            raise
    raise OSError(errno.ENOSPC, "; ".join(problems))


def places() -> list[str]:
    """Return the folders in which the run's may be, the best one first."""
    wanted = (os.environ.get("TMPDIR", ""), *_SHARED[:1], os.path.expanduser("~"), *_SHARED[1:])
    return [
        parent
        for parent in dict.fromkeys(wanted)
        if parent.startswith("/") and len(parent) <= _PATH_LIMIT
    ]


def holds_compiled(kind: str, content: bytes) -> bool:
    """Return whether an archive holds a module that the system must load as a program."""
    if kind != "modules" or b".so" not in content:  # it has the names as they are
        return False
    import io
    import zipfile

    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except zipfile.BadZipFile:
        return False  # unpacking will tell
    return any(".so" in os.path.basename(name) for name in names)


def is_noexec(path: str) -> bool:
    """Return whether the system loads no program from a folder's file system."""
    try:
        return bool(os.statvfs(path).f_flag & _ST_NOEXEC)
    except OSError:
        return False  # using it will tell


def _refuse_everybodys(parent: str) -> None:
    """Raise PermissionError if everybody can put another folder into the place of one in there."""
    if os.stat(parent).st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "everybody can replace what is in it (no sticky bit)")


def _discard(path: str) -> None:
    """Remove a folder that could not be prepared, if it was made at all."""
    if path:
        remove_private_folder(path, PREFIX)


def _sweep(parent: str) -> None:
    """Remove the folders of earlier runs whose bridges were killed."""
    for name in os.listdir(parent):
        path = f"{parent}/{name}"
        try:
            age_s = time.time() - os.stat(path, follow_symlinks=False).st_mtime
            if name.startswith(PREFIX) and age_s > _OLD_S:
                remove_if_unused(path)
        except OSError:
            pass  # it is not ours, or another bridge was faster


def _try_out(path: str) -> None:
    """Raise OSError where a file system has no sockets, no FIFOs, or no room left."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind(path + "/try")
    os.unlink(path + "/try")
    os.mkfifo(path + "/try")
    os.unlink(path + "/try")
    with open(path + "/try", "wb") as file:
        file.write(bytes(4096))
    os.unlink(path + "/try")


def _fill(
    path: str, kinds: Sequence[str], digests: Sequence[str], contents: Sequence[bytes]
) -> None:
    for kind, digest, content in zip(kinds, digests, contents, strict=True):
        if kind == "code":
            with open(path + "/" + digest + ".zip", "wb") as file:
                file.write(content)
        else:
            import io
            import zipfile

            zipfile.ZipFile(io.BytesIO(content)).extractall(path + "/" + digest)
