"""Checks the key or the certificate of a host against the known hosts."""

from __future__ import annotations

import base64
import fnmatch
import logging
import time
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    SSHCertPublicKeyTypes,
    load_ssh_public_identity,
)

from imp_parallel_core import explained

from .._user_config.settings import HostSettings, Strictness
from .known_hosts import KnownKey, add_known_key, fingerprint, known_keys, name_of

_logger = logging.getLogger("imp_parallel.ssh")

_CERTIFICATE = "-cert-v01@openssh.com"
_AUTHORITY, _REVOKED = "@cert-authority", "@revoked"


class HostKeyRefused(Exception):
    """Nobody vouches for a host's key; the text says why, and what would check it."""


class HostKeys:
    """What is known of one host's keys."""

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._name = settings.known_as or name_of(settings.host, settings.port)
        self._known = known_keys(settings.known_hosts, self._name)
        if settings.port != 22 and not settings.known_as:
            # as OpenSSH does it: a key that is noted for the host at its usual port vouches for it
            elsewhere = known_keys(settings.known_hosts, name_of(settings.host, 22))
            self._elsewhere = [key for key in elsewhere if key.marker != _AUTHORITY]
        else:
            self._elsewhere = []

    def preferred(self, algorithms: Sequence[str]) -> tuple[str, ...]:
        """Return which of these host key algorithms to offer, those of known keys first.

        Certificates are offered only if an authority is known for the host.
        """
        plain = [name for name in algorithms if not name.endswith(_CERTIFICATE)]
        kinds = {key.kind for key in [*self._known, *self._elsewhere] if not key.marker}
        known = [name for name in plain if _kind_of(name) in kinds]
        unknown = [name for name in plain if name not in known]
        has_authority = any(key.marker == _AUTHORITY for key in self._known)
        certified = [name + _CERTIFICATE for name in plain] if has_authority else []
        return (*certified, *known, *unknown)

    def check(self, kind: str, blob: bytes) -> None:
        """Raise HostKeyRefused unless the host's key is known to be its own.

        Args:
            kind: the type of the key or certificate that it has proved to have.
            blob: the key or certificate as it travelled.
        """
        everything = [*self._known, *self._elsewhere]
        revoked = {key.blob for key in everything if key.marker == _REVOKED}
        if blob in revoked:
            raise HostKeyRefused(f"its key {kind} {fingerprint(blob)} is marked as revoked")
        if kind.endswith(_CERTIFICATE):
            self._check_certificate(kind, blob, revoked)
            return
        plain = [key for key in everything if not key.marker]
        if any(key.blob == blob for key in plain):
            return
        known = [key for key in self._known if not key.marker]
        if known:
            self._changed(kind, blob, known)
        else:
            self._unknown(kind, blob)

    # ---- keys

    def _unknown(self, kind: str, blob: bytes) -> None:
        print_of = f"{kind} {fingerprint(blob)}"
        strictness, settings = self._settings.strictness, self._settings
        if strictness is Strictness.REFUSE:
            text = (
                f"its host key is not known: {print_of}\n"
                f"    {self._name} is in none of: {', '.join(settings.known_hosts)}\n"
                f"    Compare this with what its administrator says, or on the host itself:\n"
                f"        ssh-keygen -lf {_public_key_file(kind)}\n"
                f"    If it is the same, connect once by hand, and it will be noted:\n"
                f"        {ssh_command(settings)}"
            )
            raise HostKeyRefused(explained(text, "host-key-unknown"))
        _logger.warning("%s: its host key %s is believed unseen", settings, print_of)
        if strictness is Strictness.ADD_NEW and settings.known_hosts:
            try:
                add_known_key(settings.known_hosts[0], self._name, kind, blob)
            except OSError as problem:
                raise HostKeyRefused(
                    f"its host key {print_of} is new, and can't be noted: {problem}"
                ) from problem

    def _changed(self, kind: str, blob: bytes, known: Sequence[KnownKey]) -> None:
        if self._settings.strictness is Strictness.BELIEVE:
            _logger.warning(
                "%s: its host key has changed, and is believed all the same: %s %s",
                *(self._settings, kind, fingerprint(blob)),
            )
            return
        lines = "".join(
            f"        {key.kind} {key.fingerprint} ({key.path}, line {key.line})\n" for key in known
        )
        text = (
            f"its host key has changed, or somebody else answers: {kind} {fingerprint(blob)}\n"
            f"    Known are:\n{lines}"
            "    Ask its administrator, or compare on the host itself:\n"
            f"        ssh-keygen -lf {_public_key_file(kind)}\n"
            "    Only if the new key is the host's own, forget the old one and connect by hand:\n"
            f"        ssh-keygen -R '{self._name}' -f {known[0].path}\n"
            f"        {ssh_command(self._settings)}"
        )
        raise HostKeyRefused(explained(text, "host-key-changed"))

    # ---- certificates

    def _check_certificate(self, kind: str, blob: bytes, revoked: set[bytes]) -> None:
        try:
            text = f"{kind} {base64.b64encode(blob).decode()}".encode()
            certificate = load_ssh_public_identity(text)
        except ValueError as problem:
            raise HostKeyRefused(f"its certificate can't be read: {problem}") from None
        if not isinstance(certificate, SSHCertificate):
            raise HostKeyRefused("its certificate is none")
        why = self._why_not(certificate, revoked)
        if why:
            raise HostKeyRefused(
                f"its certificate ({fingerprint(blob)}) {why}\n"
                "    Its administrator can renew it; ssh-keygen -Lf shows what is in one"
            )

    def _why_not(self, certificate: SSHCertificate, revoked: set[bytes]) -> str:
        signer, own = _blob_of(certificate.signature_key()), _blob_of(certificate.public_key())
        authorities = {key.blob for key in self._known if key.marker == _AUTHORITY}
        now = time.time()
        name = self._settings.known_as or self._settings.host
        principals = [entry.decode(errors="replace") for entry in certificate.valid_principals]
        if own in revoked:
            return f"is for a key that is marked as revoked: {fingerprint(own)}"
        if signer in revoked:
            return f"was signed by a key that is marked as revoked: {fingerprint(signer)}"
        if signer not in authorities:
            return f"was signed by an authority that is not known: {fingerprint(signer)}"
        try:
            certificate.verify_cert_signature()
        except InvalidSignature:
            return "has a bad signature"
        if certificate.type is not SSHCertificateType.HOST:
            return "is no certificate of a host"
        if not certificate.valid_after <= now < certificate.valid_before:
            return "is not valid yet, or not any more"
        if certificate.critical_options:
            return f"asks for what isn't known here: {sorted(certificate.critical_options)}"
        if not any(fnmatch.fnmatchcase(name.lower(), entry.lower()) for entry in principals):
            return f"is for {', '.join(principals) or 'no host'}, not for {name}"
        return ""


def _blob_of(key: SSHCertPublicKeyTypes) -> bytes:
    """Return a public key as it travels."""
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def _kind_of(algorithm: str) -> str:
    """Return the type of key that a signature algorithm uses."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def _public_key_file(kind: str) -> str:
    short = kind.removeprefix("ssh-").split("-")[0]
    return f"/etc/ssh/ssh_host_{short}_key.pub"


def ssh_command(settings: HostSettings) -> str:
    """Return the command by which a person would connect to a host."""
    if settings.name != settings.host:
        return f"ssh {settings.name}"  # an alias: the configuration knows the rest
    port = "" if settings.port == 22 else f"-p {settings.port} "
    return f"ssh {port}{settings.user}@{settings.host}"
