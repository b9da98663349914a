"""The hallway: command line, settings and wiring. The only room that knows all others."""

__version__ = "0.1.0"
