"""The version of the package; the protocol's is in :mod:`._wire.protocol`."""

__version__ = "0.1.0"
