"""SSH as paramiko speaks it, in this process.

Read :mod:`.connect` first, then :mod:`.connection`, :mod:`.stream` and :mod:`.receive_buffer`.
"""
