"""Private folders: made for one user alone, and removed only if this module made them.

A folder gets a mark when it is made: a file that holds the folder's name and its machine's. A
folder is removed only if it has its mark, belongs to this user with mode 0700, and is neither a
link nor a mount point. Whatever path somebody names, nothing else is removed: what is in a folder
is found and removed through descriptors, and a path serves only to open the folder.

Programs that run where nothing is installed are sent this module as a part of themselves (see
:func:`with_private_folders`). So it runs on any Python from 3.6, and imports only what each Python
has loaded when it starts.
"""

import errno
import os
import stat

MARK = ".made_by_imp_parallel"
"""The name of the file by which a private folder is known."""

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
        prefix: what its name begins with.

    Raises OSError, also if the file system keeps no file from other users.
    """
    for _ in range(_TRIES):
        name = prefix + os.urandom(8).hex()
        path = os.path.join(parent, name)
        try:
            os.mkdir(path, 0o700)  # fails if anything is there, so it is ours alone
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
        path: where it is.
        prefix: what its name must begin with.

    Raises FileNotFoundError if it has gone, PermissionError if it is no such folder.
    """
    parent, descriptor = _open(path, prefix)
    os.close(parent)
    return descriptor


def was_made_here(descriptor: int) -> bool:
    """Return whether a private folder was made on this machine; others may share its disk."""
    return _read_mark(descriptor)[1:2] == [_machine()]


def remove_private_folder(path: str, prefix: str = "") -> bool:
    """Remove a private folder with all that is in it; return whether it has gone.

    Args:
        path: where it is.
        prefix: what its name must begin with.

    Raises PermissionError if it is no folder that :func:`make_private_folder` made.
    """
    try:
        parent, descriptor = _open(path, prefix)
    except FileNotFoundError:
        return True
    try:
        _empty(descriptor)
        if set(os.listdir(descriptor)) - {MARK}:
            return False  # it keeps its mark, by which it can be removed later
        _unlink(MARK, descriptor)
        os.rmdir(_name_of(path), dir_fd=parent)
    except FileNotFoundError:
        return True  # somebody else has removed it meanwhile
    except OSError:
        return False
    finally:
        os.close(descriptor)
        os.close(parent)
    return True


def with_private_folders(program: bytes) -> bytes:
    """Return the source of a program with this module in the place of the line that imports it.

    Args:
        program: it imports ``sys`` before.

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
    """Return descriptors of the folder that a private folder is in, and of itself."""
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
    """Return what tells a mounted file system from others; Linux also tells bind mounts apart."""
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
    """Return the lines of a folder's mark; none if it has none of this user's."""
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
    """Remove what is in a folder, but not its mark, nor what is mounted there, as far as it goes.

    Links are removed, and not followed.
    """
    mount = _mount_of(folder)
    for name in os.listdir(folder):
        if name == MARK:
            continue
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            _unlink(name, folder)  # it is no folder, or one that can't be looked into
            continue
        try:
            if _mount_of(below) == mount:
                _empty(below)
                _unlink(MARK, below)
                os.rmdir(name, dir_fd=folder)
        except (OSError, RecursionError):
            pass  # it stays, as does what it is in
        finally:
            os.close(below)


def _unlink(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        pass
