"""How the quality heads of the ImageNet models are trained."""
