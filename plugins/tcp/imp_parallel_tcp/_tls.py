"""TLS 1.3 between two ends that have the same credentials; used by both, so no cryptography here.

Master and slaves of a run share one certificate and its key. Each end shows it, and accepts no
other: whoever completes the handshake has the key.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct

INDEX = Struct("!I")
"""The first that a slave sends over TLS, in a record of its own: which slave it is."""

_END = b"-----END CERTIFICATE-----"


class Credentials:
    """A run's certificate and key, ready for use.

    Args:
        pem: both as PEM, the certificate first.
        is_master: which of the two ends this is.
    """

    def __init__(self, pem: bytes, *, is_master: bool) -> None:
        certificate = pem[: pem.index(_END) + len(_END)].decode()
        self._certificate = ssl.PEM_cert_to_DER_cert(certificate)
        protocol = ssl.PROTOCOL_TLS_SERVER if is_master else ssl.PROTOCOL_TLS_CLIENT
        self.context = context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the certificate names no host: a master has many
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=certificate)
        with _as_file(pem) as path:
            context.load_cert_chain(path)
        if is_master:
            context.num_tickets = 0  # every stream proves itself anew

    def check(self, secured: ssl.SSLSocket) -> None:
        """Raise ssl.SSLError if the peer of a completed handshake showed another certificate."""
        if secured.getpeercert(binary_form=True) != self._certificate:
            raise ssl.SSLError("the peer showed another certificate")


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
