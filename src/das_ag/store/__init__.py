"""The folder of results: finished samples, failures, claims, and the command that reproduces a sample."""
