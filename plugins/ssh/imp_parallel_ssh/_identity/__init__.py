"""Who the user is, and who a host is: keys, agents, certificates, known hosts.

Read :mod:`.authentication` and :mod:`.host_keys` first; the others serve them.
"""
