"""Private folders, which one user alone can enter, and which are removed only if we made them.

Each folder gets a mark when it is made: a file that holds the names of the folder and the machine.
A folder is removed only if it has its mark, belongs to this user, has mode 0700, and is neither a
link nor a mount point. Nothing else is removed, whatever path the caller gives: the path is used
only to open the folder, and its contents are found and removed through descriptors.

Programs that run where nothing is installed contain this module (see :func:`with_private_folders`).
So it runs on any Python from 3.6, and imports only modules that each Python loads at its start.
"""

import errno
import os
import stat

MARK = ".made_by_imp_parallel"
"""The name of the file that marks a private folder."""

_IMPORT = b"\nfrom imp_parallel_core import private_folders\n"
_JOINED = """
private_folders = type(sys)("private_folders")
exec(compile(%r, "private_folders.py", "exec"), private_folders.__dict__)
"""
_TRIES = 10
_MARK_BYTES = 4096
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def make_private_folder(parent: str, prefix: str) -> str:
    """Make a new folder of mode 0700 with a mark in it; return its path.

    Args:
        parent: the folder to make it in.
        prefix: the beginning of its name.

    Raises OSError, also if the file system keeps no file from other users.
    """
    for _ in range(_TRIES):
        name = prefix + os.urandom(8).hex()
        path = os.path.join(parent, name)
        try:
            os.mkdir(path, 0o700)  # fails if the path exists, so the folder is ours alone
        except FileExistsError:
            continue
        try:
            _write_mark(path, name)
        except BaseException:
            os.rmdir(path)  # it is empty
            raise
        return path
    raise FileExistsError(f"no name is free in {parent}")


def open_private_folder(path: str, prefix: str = "") -> int:
    """Return a descriptor of a private folder, which :func:`make_private_folder` made.

    Args:
        path: the path of the folder.
        prefix: the beginning that its name must have.

    Raises FileNotFoundError if the folder has gone, PermissionError if it is not private.
    """
    parent, descriptor = _open(path, prefix)
    os.close(parent)
    return descriptor


def was_made_here(descriptor: int) -> bool:
    """Return whether a private folder was made on this machine; others may share the disk."""
    return _read_mark(descriptor)[1:2] == [_machine()]


def remove_private_folder(path: str, prefix: str = "") -> bool:
    """Remove a private folder and its contents; return whether it has gone.

    Args:
        path: the path of the folder.
        prefix: the beginning that its name must have.

    Raises PermissionError if :func:`make_private_folder` did not make the folder.
    """
    try:
        parent, descriptor = _open(path, prefix)
    except FileNotFoundError:
        return True
    try:
        _empty(descriptor)
        if set(os.listdir(descriptor)) - {MARK}:
            return False  # the folder keeps its mark, so that it can be removed later
        _unlink(MARK, descriptor)
        os.rmdir(_name_of(path), dir_fd=parent)
    except FileNotFoundError:
        return True  # another process has removed the folder
    except OSError:
        return False
    finally:
        os.close(descriptor)
        os.close(parent)
    return True


def with_private_folders(program: bytes) -> bytes:
    """Return the source of a program with this module in the place of the line that imports it.

    Args:
        program: the source. It imports ``sys`` before that line.

    Raises ValueError if there is no such line.
    """
    before, is_there, after = program.partition(_IMPORT)
    if not is_there:
        raise ValueError("the program does not import private_folders")
    with open(__file__, encoding="utf-8") as file:
        joined = _JOINED % file.read()
    return before + joined.encode() + after


def _name_of(path: str) -> str:
    return os.path.basename(path)


def _open(path: str, prefix: str) -> "tuple[int, int]":
    """Return descriptors of the parent of a private folder, and of the folder."""
    name = _name_of(path)
    if not name.startswith(prefix) or name in ("", ".", "..") or "\0" in path:
        raise _not_ours(path)
    parent = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    except OSError as problem:
        os.close(parent)
        if isinstance(problem, FileNotFoundError):
            raise
        raise _not_ours(path) from None
    if not _is_private(descriptor) or not _is_marked(descriptor, name, parent):
        os.close(descriptor)
        os.close(parent)
        raise _not_ours(path)
    return parent, descriptor


def _not_ours(path: str) -> PermissionError:
    return PermissionError(errno.EPERM, "it is no private folder that imp_parallel made", path)


def _is_private(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return status.st_uid == os.geteuid() and status.st_mode & 0o777 == 0o700


def _is_marked(descriptor: int, name: str, parent: int) -> bool:
    is_mounted = _mount_of(descriptor) != _mount_of(parent)
    return not is_mounted and _read_mark(descriptor)[:1] == [os.fsencode(name)]


def _mount_of(descriptor: int) -> "str | int":
    """Return an identifier of a file's mount; other systems than Linux miss bind mounts."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as lines:
            for line in lines:
                if line.startswith("mnt_id:"):
                    return line
    except OSError:
        pass
    return os.fstat(descriptor).st_dev


def _machine() -> bytes:
    return os.fsencode(os.uname()[1])


def _write_mark(path: str, name: str) -> None:
    folder = os.open(path, _FOLDER)
    try:
        if not _is_private(folder):
            raise PermissionError(errno.EPERM, "the file system there keeps no file private", path)
        mark = os.open(MARK, _NEW, 0o600, dir_fd=folder)
        try:
            os.write(mark, os.fsencode(name) + b"\n" + _machine() + b"\n")
        except BaseException:
            _unlink(MARK, folder)
            raise
        finally:
            os.close(mark)
    finally:
        os.close(folder)


def _read_mark(folder: int) -> "list[bytes]":
    """Return the lines of a folder's mark; none if there is no mark of this user."""
    try:
        mark = os.open(MARK, _OLD, dir_fd=folder)
    except OSError:
        return []
    try:
        status = os.fstat(mark)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return []
        return os.read(mark, _MARK_BYTES).split(b"\n")
    except OSError:
        return []
    finally:
        os.close(mark)


def _empty(folder: int) -> None:
    """Remove the contents of a folder as far as possible, but not its mark, nor mounted folders.

    Links are removed, and not followed.
    """
    mount = _mount_of(folder)
    for name in os.listdir(folder):
        if name == MARK:
            continue
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            _unlink(name, folder)  # a file, or a folder that can't be opened
            continue
        try:
            if _mount_of(below) == mount:
                _empty(below)
                _unlink(MARK, below)
                os.rmdir(name, dir_fd=folder)
        except (OSError, RecursionError):
            pass  # the folder stays, and so do the folders around it
        finally:
            os.close(below)


def _unlink(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        pass
