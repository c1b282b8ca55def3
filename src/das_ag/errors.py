"""The one exception that is meant for a person."""


class UserError(ValueError):
    """Something a person can put right. Its message is one sentence: what was expected, what was got, the remedy."""
