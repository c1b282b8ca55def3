"""Makes an image again from the recipe in its PNG, and says whether the result is the same.

    das-ag regenerate image.png
    das-ag regenerate image.png --to again.png runtime.device=cpu

Exit status: 0 if the new file has the bytes of the old one, 1 if not, 2 if it could not be made.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from das_ag.commands.arguments import add_yes, command_parser
from das_ag.errors import UserError, printable, writing
from das_ag.generation.cost import confirm
from das_ag.generation.recipe import read_recipe
from das_ag.generation.regenerate import describe_difference, regenerate

_writing = functools.partial(writing, what="the new image", remedy="give another file with --to")


def main(argv: Sequence[str]) -> int:
    """Writes the new image."""
    parser = command_parser("regenerate", __doc__)
    parser.add_argument("image", type=Path, help="a PNG that das-ag wrote")
    parser.add_argument("overrides", nargs="*", help="overrides of settings, for instance runtime.device=cpu")
    parser.add_argument("--to", type=Path, help="the new image; default: the same name with -again, in this folder")
    add_yes(parser)
    arguments = parser.parse_intermixed_args(argv)
    path = arguments.to or Path(f"{arguments.image.stem}-again.png")
    try:
        _check_target(path)
        recipe, stored = read_recipe(arguments.image), arguments.image.read_bytes()
        print(f"{recipe.sample.name}: {printable(' / '.join(recipe.sample.positive))}", flush=True)
        again = regenerate(recipe, arguments.overrides, allow=functools.partial(confirm, yes=arguments.yes))
        with _writing(path):
            path.write_bytes(again.png)
    except (UserError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    if again.is_in(stored):
        words = "" if stored == again.png else ", except for the wording of the text in the PNG"
        print(f"{path}: the same bytes{words}")
        return 0
    with Image.open(io.BytesIO(stored)) as image:
        print(f"{path}: {describe_difference(np.array(image.convert('RGB')), again.image)}")
    return 1


def _check_target(path: Path) -> None:
    """Checks that the new image can be written, before minutes of work."""
    with _writing(path):
        is_new = not path.exists()
        path.open("ab").close()
        if is_new:
            path.unlink()
