"""Who the user is, and who a host is: keys, agents, certificates, known hosts.

The client in Python (:mod:`.._paramiko`) calls it while it connects; OpenSSH's own client does all
this by itself.

Read :mod:`.authentication` first, which proves who the user is: with the keys of an :mod:`.agent`
or with :mod:`.private_keys`, for which :mod:`.passphrase_prompt` may ask. :mod:`.host_keys` checks
who the host is, against the :mod:`.known_hosts`.
"""
