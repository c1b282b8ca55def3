"""The networks that can guide, one file each: options, and how they are loaded."""
