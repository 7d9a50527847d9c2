"""TLS 1.3 as both ends use it, and the slave's credentials; no cryptography here.

The master shows the run's certificate, whose key never leaves its process; a slave accepts that
certificate alone. The slave's first bytes over TLS are its proof: its index and its token. The
master alone can make tokens, a different one for each index. So the holder of one slave's
credentials can be that slave, but neither another slave nor the master.
"""

from __future__ import annotations

import ssl
from struct import Struct

TOKEN_BYTES = 32
PROOF = Struct(f"!I{TOKEN_BYTES}s")
"""What a slave sends first, in a record of its own: its index and its token."""


def tls_context(protocol: int) -> ssl.SSLContext:
    """Return a context for TLS 1.3 and nothing older; its certificates name no hosts."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a master has many names
    return context


class SlaveCredentials:
    """What one slave needs in order to recognize its master, and to prove which slave it is.

    Args:
        secret: the slave's token and the run's certificate (DER), as
            :meth:`~._credentials.RunCredentials.secret` returns them.
        index: the slave's number.
    """

    def __init__(self, secret: bytes, index: int) -> None:
        token, self._certificate = secret[:TOKEN_BYTES], secret[TOKEN_BYTES:]
        self.proof = PROOF.pack(index, token)
        """The first bytes to send, once :meth:`check` has found the master at the other end."""
        self.context = tls_context(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(cadata=self._certificate)

    def check(self, secured: ssl.SSLSocket) -> None:
        """Raise ssl.SSLError if the peer of a completed handshake is not the run's master."""
        if secured.getpeercert(binary_form=True) != self._certificate:
            raise ssl.SSLError("the peer showed another certificate")
