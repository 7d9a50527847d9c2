"""SSH as paramiko speaks it, in this process.

Slaves and login nodes reach it through :mod:`.._clients`.

Read :mod:`.connect` first, then :mod:`.connection`, :mod:`.stream` and :mod:`.receive_buffer`.
:mod:`.transport` notices the end of a connection, :mod:`.proxy_command` connects through the
standard streams of a command, and :mod:`.load` imports paramiko.
"""
