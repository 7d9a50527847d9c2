"""The live view of runs: a script answers ``imp-parallel top``, and its own user alone.

:mod:`.plugin` is ``Live``, the observer in the script. It listens on a socket in the folder that
:mod:`.folder` finds, and answers each caller with the run as it is, which :mod:`.snapshot` takes
from the model. :mod:`.command` is ``imp-parallel top``: it asks all scripts, by :mod:`.calls`, each
in a thread of its own, by :mod:`.call`, and shows what :mod:`.drawing` draws of their answers,
until :mod:`.keys` says that the user has typed ``q``.
"""
