"""Programs that are sent to hosts and run there by whatever Python there is.

Nothing of the plugin imports them: they are read as text, and need the standard library alone.
"""
