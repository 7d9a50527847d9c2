"""Slaves on hosts that answer to SSH: their descriptions, their launch, and the way to each.

The plugin's hook calls :mod:`.launch` with a description.

Read :mod:`.descriptions` first, then :mod:`.launch`, :mod:`.remote_slave` (one slave, with its
:mod:`.progress`) and :mod:`.shared_host` (what the slaves of a host share). :mod:`.bridge_client`
talks to the program that runs on the host (:mod:`.._programs.bridge`), which :mod:`.command_line`
starts, and which is given a :mod:`.start_order`. :mod:`.watched_stream` is a slave's stream, and
:mod:`.output_files` writes what slaves print.
"""
