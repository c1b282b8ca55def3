"""From configuration files to a plan: typed settings, prompts, and the samples that they ask for."""
