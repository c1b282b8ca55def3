"""The method itself: it takes tensors and returns tensors. Read `reference` first."""
