"""The bridge: a program that runs on the host, one for each slave, between the SSH channel and it.

Sent through the channel and run by any Python of the master's minor version: it has nothing but the
standard library, and of that only what starts fast. The master's end of the channel is
:mod:`..._slaves.bridge_client`.

    SSH channel                 bridge                          slave
    standard input   ──────>    copies    ──────>   ┐ Unix socket, which the slave listens
    standard output  <──────    copies    <──────   ┘ at; its standard input
    standard error   <──────    copies    <──────     FIFO, its standard output and error

A slave outlives its bridge: when the channel has gone, the master can start another bridge, which
ends the old one and takes its place. A bridge without a channel waits for the slave's end, to
remove the files. They lie in one folder for each run, of mode 0700: the last bridge removes it.

Read :mod:`.main` first, which obeys the master's orders over :mod:`.channel`. :mod:`.run_folder`,
:mod:`.preparation` and :mod:`.listeners` are about the folder; :mod:`.slave`, :mod:`.slave_start`
and :mod:`.processes` about the slave; :mod:`.copying` moves the bytes.
"""
