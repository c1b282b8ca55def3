"""The choices of `models=`: one file with options and loading code for each."""
