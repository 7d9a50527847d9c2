"""SSH as OpenSSH's own client speaks it: processes of ``ssh`` that share a connection.

Read :mod:`.connection` first, then :mod:`.program`, :mod:`.channel` and :mod:`.forward`;
:mod:`.._diagnosis` understands what ``ssh`` says when it fails.
"""
