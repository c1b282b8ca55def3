"""The choices of `evaluator=`: one file with options and loading code for each."""
