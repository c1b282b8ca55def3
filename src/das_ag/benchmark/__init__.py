"""Time and memory of what the rest of the package does; the figures stand in note/benchmarks.md."""
