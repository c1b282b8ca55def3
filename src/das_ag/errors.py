"""The one exception that is meant for a person, and how another's message becomes part of it."""


class UserError(ValueError):
    """Something a person can put right. Its message names the setting or file, what is wrong, and the remedy."""


def first_line(error: Exception) -> str:
    """What an exception of somebody else says, cut to a line; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
