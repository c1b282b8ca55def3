"""Measures time and memory of the rest of the package; note/benchmarks.md has the figures."""
