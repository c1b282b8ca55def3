"""The commands of das-ag, one module for each; `das_ag.cli` finds them."""
