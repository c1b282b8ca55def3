"""From settings to finished samples."""
