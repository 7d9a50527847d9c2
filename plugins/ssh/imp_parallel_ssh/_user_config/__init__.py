"""What ``~/.ssh/config`` says of a host. Read :mod:`.settings` first."""
