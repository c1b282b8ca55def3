"""Makes a film of the ascent: of one sample, or of all samples of an experiment side by side.

    das-ag film outputs/wonders                           # outputs/wonders/film.gif
    das-ag film image.png --to volcano.mp4                # .gif, .webp, or .mp4, for which ffmpeg must be installed
    das-ag film outputs/wonders/samples/das_ag/*          # some samples: film.gif in this folder
    das-ag film outputs/wonders --levels                  # levels.gif: the pyramids instead, from coarse to fine

The pictures of an ascent lie beside a sample that was made with film=true. If they are missing, the sample is made
again from its recipe; an experiment keeps them for the next time. The film ends with the stored image.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from das_ag.commands.arguments import add_yes, command_parser, complain, divide
from das_ag.errors import UserError, counted
from das_ag.generation.cost import Cost, confirm
from das_ag.generation.frames import Frame, Frames
from das_ag.generation.outlook import clock
from das_ag.generation.recipe import Recipe, read_recipe
from das_ag.generation.regenerate import describe_difference, regenerate
from das_ag.report.film import Clip, ascent_clip, check_number, check_target, encode, film_of, levels_clip
from das_ag.store.atomic import StoreError
from das_ag.store.samples import IMAGE, Placement, Record, Sample
from das_ag.store.store import Store


@dataclass(frozen=True)
class Source:
    """A sample of a store, or a PNG with its recipe somewhere else.

    Attributes:
        placement: None if an earlier version made the sample, which cannot be made again.
        read: returns the pixels of the image.
    """

    sample: Sample
    placement: Placement | None
    read: Callable[[], UInt8[np.ndarray, "h w 3"]]
    store: Store | None = None
    record: Record | None = None

    def frames(self) -> list[Frame]:
        """The stored pictures of the ascent; empty if there are none."""
        return self.store.read_frames(self.record) if self.store and self.record else []

    @property
    def seconds(self) -> float:
        """About how long it takes to make the sample again, with its batch; 0 if unknown."""
        per_sample = float((self.record and self.record.provenance.get("duration_s")) or 0)
        return per_sample * (self.placement.samples_per_batch if self.placement else 1)


def main(argv: Sequence[str]) -> int:
    """Writes the film, and prints its path; returns 1 if a sample is left out, or differs when it is made again."""
    arguments, overrides = _parsed(argv)
    check_target(arguments.to)
    sources, told = _sources(arguments.paths)
    check_number(len(sources) or len(told))
    if arguments.levels:
        clip: Callable[[Source], Clip] = _levels
    else:
        _announce(sources)
        allow = functools.partial(confirm, yes=arguments.yes)
        clip = functools.partial(_ascent, overrides=overrides, allow=allow, told=told)
    clips = list(_each(sources, clip, told))
    if not clips:
        raise UserError(" ".join(told))
    pictures = film_of(clips, arguments.side)
    arguments.to.write_bytes(encode(pictures, arguments.to.suffix, round(1000 / arguments.fps)))
    print(f"{arguments.to}: {counted(len(clips), 'sample')}, {counted(len(pictures), 'picture')}")
    return complain(told)


def _parsed(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The arguments, and the overrides of settings among them."""
    parser = command_parser("film", __doc__)
    parser.add_argument("paths", nargs="+", metavar="path", help="experiments, folders of samples, or PNGs")
    parser.add_argument(
        "--to", type=Path, help="the film; default: film.gif or levels.gif in the experiment, or in this folder"
    )
    parser.add_argument("--levels", action="store_true", help="show the levels of the pyramids instead of the steps")
    parser.add_argument("--fps", type=float, help="pictures in a second; default: 10, and 2 with --levels")
    parser.add_argument(
        "--side", type=int, metavar="PX", help="side of each image; default: 256, less for many samples"
    )
    add_yes(parser)
    parser.epilog = "Overrides may follow for samples that are made again, for instance runtime.device=cpu."
    arguments = parser.parse_intermixed_args(argv)
    paths, overrides = divide(arguments.paths)
    arguments.paths = list(map(Path, paths))
    arguments.fps = arguments.fps or (2 if arguments.levels else 10)
    if not 0.1 <= arguments.fps <= 50:
        parser.error(f"--fps: expected 0.1 to 50, got {arguments.fps:g}; browsers show no more.")
    if arguments.side is not None and not 32 <= arguments.side <= 512:
        parser.error(f"--side: expected 32 to 512, got {arguments.side}; the pictures of an ascent have at most 256.")
    if not arguments.paths:
        parser.error("expected an experiment or an image, got only overrides.")
    if arguments.to is None:
        first, *others = arguments.paths
        is_experiment = first.is_dir() and not _is_image(first)
        folder = first if is_experiment and not others else Path()
        arguments.to = folder / ("levels.gif" if arguments.levels else "film.gif")
    return arguments, overrides


def _sources(paths: Sequence[Path]) -> tuple[list[Source], list[str]]:
    """The samples at these paths, each once, and a sentence for each damaged one."""
    found: dict[str, Source] = {}
    told: list[str] = []
    for path in paths:
        if _is_image(path):
            source = _of_png(path)
            found[source.sample.key] = source
        else:
            store = Store(path)
            store.check_exists()
            records, damaged = store.records()
            told += damaged
            found |= {record.sample.key: _of_record(store, record) for record in records}
    return list(found.values()), told


def _is_image(path: Path) -> bool:
    """Whether this is a PNG, missing or not, or the folder of a sample; else it should be an experiment."""
    return path.is_file() or (path / IMAGE).is_file() or (path.suffix.lower() == ".png" and not path.is_dir())


def _of_record(store: Store, record: Record) -> Source:
    return Source(record.sample, record.placement, lambda: store.read_image(record.image), store, record)


def _of_png(path: Path) -> Source:
    """The sample of a PNG, or of its folder in an experiment."""
    if path.is_dir():
        path /= IMAGE
    recipe = read_recipe(path)
    folder = path.resolve().parent
    root = next(filter(Store.is_store, folder.parents), None)
    if root and folder == root / recipe.sample.folder:
        store = Store(root)
        return _of_record(store, store.record_of(recipe.sample))

    def read() -> UInt8[np.ndarray, "h w 3"]:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))

    return Source(recipe.sample, recipe.placement, read)


def _each(sources: Sequence[Source], clip: Callable[[Source], Clip], told: list[str]) -> Iterator[Clip]:
    """The part of each sample; adds a sentence to `told` for one that is left out."""
    for source in sources:
        try:
            yield clip(source)
        except UserError as error:
            told.append(str(error))


def _announce(sources: Sequence[Source]) -> None:
    """Says which samples are made again, and how long that takes if they have recorded their time."""
    if missing := [source for source in sources if not source.frames()]:
        seconds = sum(source.seconds for source in missing)
        about = f"; this takes about {clock(seconds)}" if seconds else ""
        which = f"{len(missing)} of {counted(len(sources), 'sample')}"
        print(f"No pictures of the ascent for {which}: made again from the recipe{about}", file=sys.stderr, flush=True)


def _levels(source: Source) -> Clip:
    levels = source.store.read_levels(source.record) if source.store and source.record else []
    if not levels:
        raise UserError(
            f"{source.sample.name}: found no levels of the pyramid beside the image; give its folder in an experiment, "
            "or leave out --levels."
        )
    return levels_clip(source.sample, levels, source.read())


def _ascent(source: Source, *, overrides: Sequence[str], allow: Callable[[str, Cost], None], told: list[str]) -> Clip:
    """The ascent, from the stored pictures, or else made again."""
    image = source.read()
    return ascent_clip(source.sample, source.frames() or _made_again(source, image, overrides, allow, told), image)


def _made_again(
    source: Source,
    image: UInt8[np.ndarray, "h w 3"],
    overrides: Sequence[str],
    allow: Callable[[str, Cost], None],
    told: list[str],
) -> list[Frame]:
    """The pictures of the ascent, made again. Keeps them in the store if they lead to the stored image."""
    name = source.sample.name
    if source.placement is None:
        raise UserError(f"{name}: cannot be made again: an earlier version did not record its row in the batch.")
    frames = Frames()
    again = regenerate(Recipe(source.sample, source.placement), overrides, allow=allow, watch=frames)
    if not np.array_equal(again.image, image):
        told.append(f"{name}: the last picture is the stored image, but the ascent made another here: "
                    f"{describe_difference(image, again.image)}.")  # fmt: skip
    elif source.store and source.record:
        try:
            source.store.write_frames(source.record, frames.of(source.placement.row))
        except StoreError as error:
            told.append(str(error))
    return frames.of(source.placement.row)
