"""The method: tensors in, tensors out. Read `reference` first."""
