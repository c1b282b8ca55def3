"""The networks that can evaluate, one file each: options, and how they are loaded."""
