"""Bytes, frames, messages and sessions: the code of the protocol that both ends share.

docs/protocol.md describes the protocol and is authoritative. The fleet has a link to each slave;
a supervisor has one to its master and one to its runner.

Read :mod:`.stream` first (bytes), then :mod:`.protocol` and :mod:`.decoder` (frames and messages,
sans-I/O), :mod:`.heads` (the layout of each kind of message) and :mod:`.value_records` (of VALUES),
:mod:`.session` (numbered messages that survive a broken stream), :mod:`.handshake`, and
:mod:`.link` (a session over a stream in an event loop).

Large payloads need :mod:`.partial_message`, :mod:`.segments`, :mod:`.shared_memory`,
:mod:`.descriptors` and :mod:`.memory` (how much is left). :mod:`.types` holds types that the other
modules share.
"""
