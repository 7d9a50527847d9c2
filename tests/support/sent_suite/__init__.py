"""Tests that hold for each system that runs functions: the test files of plugins import them.

Each test gets a ``home``, a fixture of the plugin's (:mod:`.home` says what it has). In
:mod:`.stories`, slaves start, work and wait; in :mod:`.ends`, nothing is lost, left or shown.
"""
