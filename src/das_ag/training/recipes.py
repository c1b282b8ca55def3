"""The recipes of the two embedded models, which share neither architecture, nor seed, nor training."""

from das_ag.models.embedded import Role
from das_ag.training.train import Recipe

RECIPES: dict[Role, Recipe] = {
    # Robust, so that its gradients draw shapes instead of smears.
    "guide": Recipe(
        seed=11,
        image_tower="residual",
        options={"channels": [32, 64, 128, 192]},
        updates=3200,
        plain_updates=500,
        radius=2.0,
    ),
    # Robust enough not to be led astray by a picture that no camera took.
    "judge": Recipe(
        seed=23,
        image_tower="pooling",
        options={"channels": [96, 160]},
        updates=1200,
        plain_updates=500,
        radius=0.5,
        dreams=16,
        dreams_from=500,
        rating_weight=0.5,
    ),
}
