"""Direct Ascent Synthesis with aesthetic guidance."""
