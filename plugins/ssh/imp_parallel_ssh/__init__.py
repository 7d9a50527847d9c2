"""Slaves on machines that answer to SSH; and clusters behind a login node."""
