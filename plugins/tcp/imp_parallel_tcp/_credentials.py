"""The credentials of one run: made for it, on the master, and never stored."""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ._tls import TOKEN_BYTES, tls_context

# The end of a run is not for clocks to decide: those of master and slaves may differ by years.
# Without a time zone, since cryptography takes them for UTC.
VALID_FROM = datetime(1970, 1, 1)
VALID_UNTIL = datetime(9999, 12, 31, 23, 59, 59)


class RunCredentials:
    """The master's certificate and key, and the key that its slaves' tokens are made with."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _new_certificate(key)
        self.certificate = certificate.public_bytes(serialization.Encoding.DER)
        """As each slave gets it (DER)."""
        self._token_key = os.urandom(TOKEN_BYTES)
        self.context = tls_context(ssl.PROTOCOL_TLS_SERVER)
        """For the master's end of connections."""
        self.context.num_tickets = 0  # every stream proves itself anew
        with _as_file(_as_pem(certificate, key)) as path:
            self.context.load_cert_chain(path)

    def secret(self, index: int) -> bytes:
        """Return the credentials of one slave: its token and the certificate of its master."""
        return self._token(index) + self.certificate

    def check(self, index: int, token: bytes) -> None:
        """Raise PermissionError if this is not the token of that slave."""
        if not hmac.compare_digest(token, self._token(index)):
            raise PermissionError(f"it does not have the token of slave {index}")

    def _token(self, index: int) -> bytes:
        return hmac.digest(self._token_key, index.to_bytes(8, "big"), hashlib.sha256)


def _new_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a run of imp_parallel")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .sign(key, hashes.SHA256())
    )


def _as_pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """Yield a path to read the PEM from: in memory if the system can, else a private file."""
    if hasattr(os, "memfd_create") and os.path.exists("/proc/self/fd"):  # noqa: PTH110
        descriptor = os.memfd_create("imp_parallel")
        path = f"/proc/self/fd/{descriptor}"
    else:
        import tempfile  # seldom needed, and it loads much

        descriptor, path = tempfile.mkstemp()  # mode 0600
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(pem)
            file.flush()
            yield path
    finally:
        if not path.startswith("/proc/"):
            os.unlink(path)  # noqa: PTH108
