"""Mission Control Desktop: watch, steer and stop many AI agents at once."""

__version__ = "0.1.0"
