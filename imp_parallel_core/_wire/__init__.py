"""Bytes, frames, messages, sessions: what both ends of a connection share.

docs/protocol.md describes it and is authoritative. The fleet and the supervisor hold links.

Read :mod:`.stream` first (bytes), then :mod:`.protocol` and :mod:`.decoder` (frames and messages,
sans-I/O), :mod:`.heads` (what each kind of message carries), :mod:`.session` (numbered messages
that survive a broken stream), :mod:`.handshake` and :mod:`.link` (a session over a stream in a
loop). :mod:`.shared_memory`, :mod:`.descriptors`, :mod:`.segments` and :mod:`.memory` are for large
payloads. :mod:`.types` holds types that the others share.
"""
