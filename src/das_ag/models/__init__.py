"""Frozen networks that guide or rate images, behind the protocols of `contracts`."""
