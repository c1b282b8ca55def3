"""The recipes of the two embedded models, which share neither architecture, nor seed, nor training."""

from das_ag.models.embedded import Role
from das_ag.training.train import Recipe

RECIPES: dict[Role, Recipe] = {
    # Robust, so that its gradients draw shapes instead of smears.
    "guide": Recipe(
        seed=11,
        image_tower="convolution",
        options={"channels": [32, 64, 128, 192]},
        updates=3200,
        plain_updates=500,
        radius=2.0,
    ),
    # Robust enough not to be led astray by a picture that no camera took.
    "judge": Recipe(
        seed=23,
        image_tower="transformer",
        options={"width": 128, "depth": 4},
        updates=1400,
        plain_updates=700,
        radius=0.75,
        dreams=16,
        learning_rate=1e-3,
    ),
}
