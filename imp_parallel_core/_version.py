"""The version of the package. That of the protocol is in :mod:`._wire.protocol`."""

__version__ = "0.1.0"
