"""Films: the ascent of samples, or the levels of their pyramids, side by side by prompt and method."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from das_ag.errors import UserError
from das_ag.report.labels import divide, labels_of, natural, shortened
from das_ag.report.plots.grid import GAP_PX, LINE_PX, page_of
from das_ag.report.plots.pyramid import contributions
from das_ag.report.plots.style import groups_of
from das_ag.report.plots.text import wrapped
from das_ag.store.samples import Sample

Frame = UInt8[np.ndarray, "_ _ 3"]  # the last of a film may be larger than the others

MOST_CLIPS = 64
"""Most samples in one film; more would be too small to see."""
SUFFIXES = (".gif", ".webp", ".mp4")
"""The formats of a film."""
FRAME_MS = 100
"""How long a film shows each picture, if nothing else is asked."""
PAUSE_S = 1.5
"""How long a film rests on its last picture."""
_PAGE_PX, _MOST_PX, _LEAST_PX = 640, 256, 96
"""Longer side of all images of a film together, largest and smallest default side of one. A GIF of twelve samples
with 640 px has 8 MB, with 1000 px 19 MB."""
_LETTER_PX = 7.5
"""Mean width of a letter of a caption."""


@dataclass(frozen=True)
class Clip:
    """A sample's part of a film.

    Attributes:
        frames: its pictures in order; the last is the finished image.
        captions: what each shows, for instance "step 3 of 100".
    """

    sample: Sample
    frames: Sequence[Frame]
    captions: Sequence[str]


def ascent_clip(sample: Sample, frames: Sequence[Frame], image: Frame) -> Clip:
    """The ascent.

    Args:
        frames: evenly spaced over the steps, from the first to the last.
        image: the finished image, in place of the last frame, which may be coded with loss.
    """
    steps = int(sample.settings["ascent"]["steps"])
    shown = np.linspace(1, steps, len(frames)).round().astype(int)
    return Clip(sample, [*frames[:-1], image], [f"step {step} of {steps}" for step in shown])


def levels_clip(sample: Sample, levels: Sequence[Float[np.ndarray, "3 _ _"]], image: Frame) -> Clip:
    """The image from ever more levels, coarse to fine.

    Raises:
        UserError: see `contributions`.
    """
    parts = contributions(levels, sample.all_settings["pyramid"], image.shape[0])
    frames = [(np.clip(total, 0, 1) * 255).astype(np.uint8) for total in parts.sums]
    captions = [f"levels up to {parts.sizes_px[place]} px" for place in parts.shown]
    return Clip(sample, [*frames[:-1], image], captions)


def film_of(clips: Sequence[Clip], side_px: int | None = None) -> list[Image.Image]:
    """The pictures of a film: a row for each prompt and seed, a column for each method and its settings.

    The longest clip sets their number; a shorter one stays longer on each of its frames.

    Args:
        side_px: side of each image; by default at most 256, and less for many samples.

    Raises:
        UserError: there are no clips, or too many.
    """
    check_number(len(clips))
    grid = _Grid([clip.sample for clip in clips], side_px)
    n = max(len(clip.frames) for clip in clips)
    return [_picture(clips, grid, number / max(n - 1, 1)) for number in range(n)]


def check_number(n: int) -> None:
    """Checks that so many samples fit into a film.

    Raises:
        UserError: there are none, or too many.
    """
    if not 1 <= n <= MOST_CLIPS:
        raise UserError(
            f"film: expected 1 to {MOST_CLIPS} samples, got {n}; give an experiment with samples, or some of its "
            "folders under samples/."
        )


class _Grid:
    """The still part of a film, and the places of its images.

    Attributes:
        page: white, with headings and prompts.
        side_px: side of each image.
        corners: left upper corner of each sample's image.
        foot: left upper corner of the line below all images.
    """

    def __init__(self, samples: Sequence[Sample], side_px: int | None) -> None:
        labels = [divide(label)[0] for label in labels_of(samples)]
        groups = groups_of(pd.DataFrame({"method": [s.method for s in samples], "settings": labels}))
        rows = sorted({_row_of(sample) for sample in samples}, key=lambda row: (natural(row[0]), row))
        columns = [(group.method, group.settings) for group in groups]
        self.side_px = side_px or int(np.clip(_PAGE_PX // max(len(columns), len(rows)), _LEAST_PX, _MOST_PX))
        pitch = self.side_px + GAP_PX
        heads = [group.heading(int(self.side_px / _LETTER_PX)) for group in groups]
        prompts = _prompts(rows, int((pitch * len(columns)) / _LETTER_PX))
        top = GAP_PX + LINE_PX * max(head.count("\n") + 1 for head in heads)
        label_px = LINE_PX * max(prompt.count("\n") + 1 for prompt in prompts) + GAP_PX // 2
        lefts = [GAP_PX + pitch * place for place in range(len(columns))]
        tops = [top + (label_px + pitch) * place for place in range(len(rows))]
        self.foot = GAP_PX, tops[-1] + label_px + pitch
        texts = [(left, GAP_PX, head) for left, head in zip(lefts, heads, strict=True)]
        texts += [(GAP_PX, y, prompt) for y, prompt in zip(tops, prompts, strict=True)]
        width, height = lefts[-1] + pitch, self.foot[1] + LINE_PX + GAP_PX
        even = width + width % 2, height + height % 2  # as MP4 needs them
        self.page = page_of(pd.DataFrame(texts, columns=["x", "y", "text"]), even)
        self.corners = [
            (lefts[columns.index((sample.method, label))], tops[rows.index(_row_of(sample))] + label_px)
            for sample, label in zip(samples, labels, strict=True)
        ]


def _row_of(sample: Sample) -> tuple[str, str, int]:
    return " | ".join(sample.positive), " | ".join(sample.negative), sample.seed


def _prompts(rows: Sequence[tuple[str, str, int]], wide: int) -> list[str]:
    """The text above each row, in at most two lines; seed and negative text only if they distinguish rows."""
    has_seeds, has_negatives = len({seed for *_, seed in rows}) > 1, len({negative for _, negative, _ in rows}) > 1
    found = []
    for positive, negative, seed in rows:
        extra = f", seed {seed}" if has_seeds else ""
        extra += f", without {negative}" if has_negatives and negative else ""
        text = shortened(positive, max(2 * wide - len(extra) - 4, 12)) + shortened(extra, 2 * wide)
        found.append("\n".join(wrapped(text, wide, break_words=True)[:2]))
    return found


def _picture(clips: Sequence[Clip], grid: _Grid, part: float) -> Image.Image:
    """The picture after this part of the film, 0…1."""
    page, captions = grid.page.copy(), set()
    for clip, corner in zip(clips, grid.corners, strict=True):
        number = round(part * (len(clip.frames) - 1))
        frame = Image.fromarray(clip.frames[number])
        page.paste(frame.resize((grid.side_px, grid.side_px), Image.Resampling.LANCZOS), corner)
        captions.add(clip.captions[number])
    text = captions.pop() if len(captions) == 1 else f"{part:.0%}"
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 12)
    ImageDraw.Draw(page).text(grid.foot, text, fill="black", font=font)
    return page


def check_target(path: Path) -> None:
    """Checks that a film can be written in the format of this name, before work is spent on it.

    Raises:
        UserError: the format is unknown, its program is missing, or there is no such folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}; change --to.")
    if path.suffix.lower() == ".mp4" and shutil.which("ffmpeg") is None:
        raise UserError(
            f"{path}: MP4 needs the program ffmpeg, found none; install it, for instance with apt install ffmpeg, or "
            "write a .webp or .gif."
        )
    if not path.parent.is_dir():
        raise UserError(f"{path}: found no folder {path.parent}; create it.")


def encode(pictures: Sequence[Image.Image], suffix: str, frame_ms: int = FRAME_MS) -> bytes:
    """The film in the format of one of `SUFFIXES`; it rests on the last picture, and GIF and WebP loop.

    Raises:
        UserError: ffmpeg fails.
    """
    if suffix.lower() == ".mp4":
        return _mp4(pictures, frame_ms)
    if suffix.lower() == ".gif":
        return _animation("GIF", [picture.quantize(256) for picture in pictures], frame_ms)
    return _animation("WEBP", pictures, frame_ms, quality=85)


def _animation(form: str, pictures: Sequence[Image.Image], frame_ms: int, **options: int) -> bytes:
    buffer, (first, *others) = io.BytesIO(), pictures
    durations = [frame_ms] * len(others) + [round(1000 * PAUSE_S)]
    first.save(buffer, form, save_all=True, append_images=others, duration=durations, loop=0, **options)
    return buffer.getvalue()


def _mp4(pictures: Sequence[Image.Image], frame_ms: int) -> bytes:
    """H.264, if ffmpeg has it, in the only colour format that every player reads."""
    width, height = pictures[0].size
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(1000 / frame_ms), "-i", "-"]
    pause = ["-vf", f"tpad=stop_mode=clone:stop_duration={PAUSE_S}", "-pix_fmt", "yuv420p"]
    # A pipe cannot be searched, so the film goes out in fragments.
    target = ["-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "-"]
    done = subprocess.run(
        ["ffmpeg", "-loglevel", "error", *source, *pause, *target],
        input=b"".join(picture.tobytes() for picture in pictures),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        *_, reason = ["no reason given", *done.stderr.decode(errors="replace").strip().splitlines()]
        raise UserError(f"ffmpeg: cannot write MP4 ({reason}); update it, or write a .webp or .gif.")
    return done.stdout
