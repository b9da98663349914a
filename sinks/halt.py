"""The end of a program that must not go on: offsets stay where they are, the process exits non-zero, a person looks."""


class HaltError(Exception):
    """Nothing that could be done from here is safe. The message says what happened and what to do."""
