"""The tests of this folder install plugins."""

from tests.support.installed import install as install
