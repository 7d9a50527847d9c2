"""Files of private keys: their public halves, their certificates, and the keys themselves.

An encrypted key is decrypted once per process and kept: many connections may need it.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from paramiko.pkey import PublicBlob

from .._deadline import Deadline
from .passphrase_prompt import ask_secret, why_nobody_can_be_asked

_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"
_TRIES = 3  # as ssh does

_PrivateKey = RSAPrivateKey | Ed25519PrivateKey | EllipticCurvePrivateKey
_CLASSES: Sequence[tuple[type[_PrivateKey], type[paramiko.PKey]]] = (
    (RSAPrivateKey, paramiko.RSAKey),
    (Ed25519PrivateKey, paramiko.Ed25519Key),
    (EllipticCurvePrivateKey, paramiko.ECDSAKey),
)


class Unusable(Exception):
    """A key can't be used; the text says why."""


def public_blob(path: str) -> bytes | None:
    """Return the public key that belongs to a file, as it travels; None if it can't be known."""
    try:
        return PublicBlob.from_file(path + ".pub").key_blob
    except (OSError, ValueError, binascii.Error, paramiko.SSHException):
        pass
    try:
        data = Path(path).read_bytes()
        # in this format it is there in clear, before the encrypted half
        body = base64.b64decode(b"".join(data.strip().splitlines()[1:-1]))
        message = paramiko.Message(body[len(_MAGIC) :])
        _cipher, _kdf, _options = (message.get_binary() for _ in range(3))
        return message.get_binary() if message.get_int() == 1 else None
    except (OSError, ValueError, paramiko.SSHException):
        return None


def certificates_of(path: str, blob: bytes | None, more: Sequence[str]) -> list[PublicBlob]:
    """Return the certificates for a key: the one beside its file, and those of other files."""
    found = []
    for candidate in (f"{path}-cert.pub", *more):
        try:
            certificate = PublicBlob.from_file(candidate)
        except (OSError, ValueError, paramiko.SSHException):
            continue
        if blob is None or _is_for(certificate, blob):
            found.append(certificate)
    return found


def _is_for(certificate: PublicBlob, blob: bytes) -> bool:
    """Return whether a certificate is for a public key: it holds the key's numbers after a nonce.

    The key's own type is its first field, the certificate's type and nonce the first two.
    """
    theirs, ours = paramiko.Message(certificate.key_blob), paramiko.Message(blob)
    theirs.get_binary(), theirs.get_binary(), ours.get_binary()
    numbers = ours.get_remainder()
    return theirs.get_remainder()[: len(numbers)] == numbers


class PrivateKeys:
    """Loads private keys, and remembers those that are decrypted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decrypted: dict[tuple[str, float], paramiko.PKey] = {}
        self._refused: set[tuple[str, float]] = set()

    def load(self, path: str, deadline: Deadline) -> paramiko.PKey:
        """Return the key of a file; ask for its passphrase if it is encrypted.

        Raises Unusable, and FileNotFoundError if there is no such file.
        """
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - its status is that of this very file
                status, data = os.fstat(file.fileno()), file.read()
        except FileNotFoundError:
            raise
        except OSError as problem:
            raise Unusable(problem.strerror or str(problem)) from None
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
            raise Unusable(f"not used, as others may read it: chmod 600 {path}")
        try:
            return _parse(data, None)
        except _Encrypted:
            with (
                deadline.paused(),
                self._lock,
            ):  # a thread that comes while another one asks waits for it
                return self._decrypt(path, (path, status.st_mtime), data)

    def _decrypt(self, path: str, name: tuple[str, float], data: bytes) -> paramiko.PKey:
        if name in self._decrypted:
            return self._decrypted[name]
        if name in self._refused:
            raise Unusable("encrypted, and its passphrase was not given")
        why = why_nobody_can_be_asked()
        if why:
            raise Unusable(
                f"encrypted, and {why}: put it into an agent, by ssh-add {path}, before the script "
                "is started"
            )
        for _ in range(_TRIES):
            try:
                words = ask_secret(f"Enter passphrase for key '{path}': ")
            except (OSError, EOFError):
                break
            if not words:
                break  # as for ssh: rather try another key
            try:
                key = _parse(data, words.encode(errors="surrogateescape"))
            except Unusable:
                continue
            self._decrypted[name] = key
            return key
        self._refused.add(name)
        raise Unusable("encrypted, and its passphrase was not given")


class _Encrypted(Exception):
    """A key needs a passphrase."""


def _parse(data: bytes, passphrase: bytes | None) -> paramiko.PKey:
    load = load_ssh_private_key if _OPENSSH in data else load_pem_private_key
    try:
        key = load(data, passphrase)
    except TypeError:
        raise _Encrypted from None
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise Unusable(f"can't be read: {problem}") from None
    for kind, wrapper in _CLASSES:
        if isinstance(key, kind):
            text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            return wrapper.from_private_key(io.StringIO(text.decode()))
    raise Unusable(f"a key of a kind that can't be used here: {type(key).__name__}")


private_keys = PrivateKeys()
"""The private keys that this process has loaded."""
