"""What ``~/.ssh/config`` says of a host.

Read :mod:`.settings` first, then :mod:`.text`, which makes one text of the files.
"""
