"""Launchers and a sweeper of this project, where Hydra looks for such; imported by Hydra alone."""
