"""Turns configuration files into a plan: typed settings, prompts, and the requested samples."""
