"""The credentials of one run: a key and a certificate that are made for it and never stored."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# The end of a run is not for clocks to decide: those of master and slaves may differ by years.
# Without a time zone, since cryptography takes them for UTC.
VALID_FROM = datetime(1970, 1, 1)
VALID_UNTIL = datetime(9999, 12, 31, 23, 59, 59)


def new_credentials() -> bytes:
    """Return a new certificate and its key as PEM, in this order."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a run of imp_parallel")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
