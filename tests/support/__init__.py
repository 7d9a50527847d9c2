"""What the tests of several folders share; they all import it as ``tests.support``."""
