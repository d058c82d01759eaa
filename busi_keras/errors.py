"""The exceptions that a user is meant to read."""


class UsageError(Exception):
    """Something outside the program is not as it must be: a file, a folder, an option, a disk.

    The message is one sentence for the user that names the file, the value found and the way out.
    `command.messages` prints it without a traceback and exits with code 2.
    """


class UnwritableError(UsageError):
    """The disk is full, or a place cannot be written to; what was there before is still there."""


class UnreachableError(UsageError):
    """A server does not answer: whatever else is asked of it will not be answered, either."""


def first_line(error: Exception) -> str:
    """What a library's exception says, short enough to stand in a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
