"""Evaluation with models that did not guide; `readiness` checks that all models are available."""
