"""The exit codes by which a bridge tells the master what became of the slave."""

STREAM_ENDED = 240
"""The slave lives, but has ended the stream."""
ENDED_UNSEEN = 241
"""The slave has ended, nobody knows how. Any other code is the slave's own."""
FAILED = 242
"""The bridge itself failed, and has said how."""
