"""The files of known hosts, as OpenSSH writes them: plain and hashed names, patterns, markers."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_MARKERS = ("@cert-authority", "@revoked")
_HASHED = "|1|"


class KnownKey(NamedTuple):
    """One line of such a file."""

    kind: str
    """The key's type, such as ``ssh-ed25519``."""
    blob: bytes
    """The public key as it travels."""
    marker: str
    """``@cert-authority``, ``@revoked`` or ""."""
    path: str
    line: int

    @property
    def fingerprint(self) -> str:
        """Its fingerprint, as ssh-keygen prints it."""
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """Return a public key's fingerprint, as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return "SHA256:" + digest.rstrip("=")


def name_of(host: str, port: int) -> str:
    """Return what these files call a host at a port."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def known_keys(paths: Sequence[str], name: str) -> list[KnownKey]:
    """Return what files say of a host's name; a line that can't be read says nothing."""
    return [key for path in paths for key in _keys_in(path, name)]


def _keys_in(path: str, name: str) -> Iterator[KnownKey]:
    try:
        text = Path(path).read_text(errors="surrogateescape")
    except OSError:
        return  # it isn't there, mostly
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or (marker and marker not in _MARKERS):
            continue
        names, kind, encoded = words[:3]
        if not _matches(names, name):
            continue
        try:
            yield KnownKey(kind, base64.b64decode(encoded, validate=True), marker, path, number)
        except binascii.Error:
            continue


def _matches(names: str, name: str) -> bool:
    if names.startswith(_HASHED):
        return _matches_hash(names, name)
    is_found = False
    for pattern in names.lower().split(","):
        # brackets are no more than characters here
        plain = pattern.lstrip("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, plain):
            if pattern.startswith("!"):
                return False
            is_found = True
    return is_found


def _matches_hash(hashed: str, name: str) -> bool:
    try:
        salt, expected = map(base64.b64decode, hashed[len(_HASHED) :].split("|"))
    except (ValueError, binascii.Error):
        return False
    found = hmac.digest(salt, name.encode(errors="surrogateescape"), "sha1")  # the format's choice
    return hmac.compare_digest(found, expected)


def add_known_key(path: str, name: str, kind: str, blob: bytes) -> None:
    """Note a key at the end of a file. Raises OSError."""
    line = f"{name} {kind} {base64.b64encode(blob).decode()}\n".encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
