"""The folder of results: finished samples, failures, claims, and the command that makes a sample again."""
