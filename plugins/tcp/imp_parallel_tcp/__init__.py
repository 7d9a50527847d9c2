"""The transport ``tcp``: slaves dial the master, and both prove that they belong to the run.

Slaves import this package too, so it loads nothing by itself: the plugin is ``_plugin``, the
master's side ``_transport``, the slave's side ``_dial``.
"""
