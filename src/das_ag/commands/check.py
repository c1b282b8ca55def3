"""Says whether an experiment can start here, where its weights are, and how much time and memory it needs.

das-ag check                        # the published experiment
das-ag check experiment=laptop      # or other overrides, as for das-ag run
das-ag check --download             # downloads missing weights; resumes partial downloads

Without --download it makes no network requests. The exit status is 0 if the experiment can start.
"""

from __future__ import annotations

import importlib.util
import logging
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from das_ag.benchmark.random_weights import ARCHITECTURES, random_weights
from das_ag.benchmark.steps import time_steps
from das_ag.commands.arguments import command_parser
from das_ag.errors import UserError, counted
from das_ag.evaluation.readiness import (
    KNOWN_ANSWER,
    KNOWN_TEXTS,
    RATING_SCORES,
    Finding,
    caches,
    heads_at_hand,
    is_known_answer,
    known_answer,
    known_answer_files,
    look,
    rates_as_known,
    sources,
)
from das_ag.generation.machine import memory_bytes, provenance
from das_ag.models.files import WeightFile, size_in_words
from das_ag.models.hub import HubFolder
from das_ag.models.registry import EvaluatorChoice, GuideChoice
from das_ag.report.published import RESULTS
from das_ag.settings.choices import choose_evaluators, choose_guide
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.settings.runtime import choose_device

Sources = Sequence[WeightFile | HubFolder]
WIDTH = 80


def main(argv: Sequence[str]) -> int:
    """Prints the findings; returns 0 if the experiment can start."""
    parser = command_parser("check", __doc__)
    parser.add_argument("overrides", nargs="*", help="overrides as for das-ag run; without experiment=, of the paper")
    parser.add_argument(
        "--download", action="store_true", help="download missing weights, and OpenAI's example with ViT-B/32 (354 MB)"
    )
    parser.add_argument("--no-estimate", action="store_true", help="do not measure the time and memory of a step")
    arguments = parser.parse_intermixed_args(argv)
    overrides = list(arguments.overrides)
    if not any(override.startswith("experiment=") for override in overrides):
        overrides.insert(0, "experiment=paper")
    config = compose_config(overrides)
    guide, evaluators = choose_guide(config.models), choose_evaluators(config.evaluator).values()
    needed = list(sources(guide, *evaluators))
    if needed and arguments.download:
        download([*needed, *known_answer_files()])
    findings = [look(source) for source in needed]
    ready = all(finding.usable for finding in findings)
    print(*described(findings, overrides), sep="\n")
    if ready and (misfit := why_not(guide, evaluators)):
        print("", *wrapped(misfit, ""), sep="\n")
        ready = False
    if needed:
        ready = report_known_answers(needed) and ready
    if not arguments.no_estimate:
        guide_is_there = all(look(source).usable for source in sources(guide))
        report_cost(overrides, guide_is_there, len(RESULTS) if guide.rates else 1)
    print(*about_disk(), sep="\n")
    print(f"\nThe experiment {'can' if ready else 'cannot'} start here.")
    return 0 if ready else 1


def download(needed: Iterable[WeightFile | HubFolder]) -> None:
    """Downloads missing weights one after the other; reports a failed download and continues with the next."""
    for source in needed:
        try:
            source.fetch()
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)


def why_not(guide: GuideChoice, evaluators: Iterable[EvaluatorChoice]) -> str | None:
    """A sentence on files that are here but do not fit each other; None if they do."""
    try:
        guide.digests()
        for evaluator in evaluators:
            evaluator.weights()
    except UserError as error:
        return str(error)
    return None


def described(findings: Sequence[Finding], overrides: Sequence[str]) -> list[str]:
    """A table of the files, each with its place in a second line, and then what to do.

    Args:
        overrides: of the experiment, for the command that downloads its files.
    """
    if not findings:
        return ["Weights   all come with Python packages; nothing to download"]
    heads = ("weights", "size", "licence", "checksum")
    rows = [heads, *((named(f), size_in_words(f.size_bytes), f.licence, state(f)) for f in findings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    for place, finding in reversed(list(enumerate(findings, start=2))):
        origin = f"from {finding.origin} to " if finding.origin and not finding.usable else ""
        lines[place:place] = wrapped(f"{origin}{short(finding.place)}")
    missing = [finding for finding in findings if not finding.usable]
    if missing:
        size = sum(finding.size_bytes or 0 for finding in missing)
        lines += ["", *wrapped(f"Missing or unusable: {', '.join(map(named, missing))}; {size_in_words(size)}", "")]
        no_download = [f for f in missing if f.problem or not f.origin]
        lines += [line for f in no_download for line in wrapped(f.problem or f"{named(f)}: {f.remedy}")]
        if len(no_download) < len(missing):
            command = shlex.join(["das-ag", "check", *overrides, "--download"])
            lines += wrapped(f"To get what is missing: {command}")
            lines += wrapped("To use copies: paths in .env, see note/models.md")
    return lines


def named(finding: Finding) -> str:
    """The model's name without its path, which the table has in another line."""
    return finding.what.partition(" (")[0]


def state(finding: Finding) -> str:
    """What is known about the file, in a cell."""
    if finding.sha256 is None:
        return "unusable" if finding.problem else "missing"
    kind = {True: "published", False: "not the published file", None: "own or unlisted"}[finding.published]
    return f"{finding.sha256[:8]}, {kind}"


def short(path: Path) -> str:
    """A path with ~ for the home folder."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def wrapped(text: str, indent: str = "  ") -> list[str]:
    """Lines of at most `WIDTH` characters, except for longer words, so that paths can be copied."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def report_known_answers(needed: Sources) -> bool:
    """Compares heads and CLIP with their known answers, as far as the files are here; returns False if one differs."""
    at_hand = heads_at_hand(needed)
    right = {name: rates_as_known(name, path) for name, path in at_hand.items()}
    print("\nknown answers")
    for name in RATING_SCORES:
        verdict = {True: "right", False: "WRONG", None: "not here"}[right.get(name)]
        print(f"  {name:32}  ten real features   {verdict}")
    return all(right.values()) & report_clips_example()


def report_clips_example() -> bool:
    """Compares CLIP's answer with the example in OpenAI's README; returns False if it differs."""
    answer = known_answer() if importlib.util.find_spec("clip") else None
    if answer is None:
        print(f"  {'CLIP ViT-B/32':32}  OpenAI's example    not here")
        return True
    right = is_known_answer(answer)
    print(f"  {'CLIP ViT-B/32':32}  OpenAI's example    {'right' if right else 'WRONG'}")
    if not right:
        for text, got, expected in zip(KNOWN_TEXTS, answer, KNOWN_ANSWER, strict=True):
            print(f"    {text:10} {got:.5f}, expected {expected:.5f}")
    return right


def report_cost(overrides: Sequence[str], guide_is_there: bool, methods: int) -> None:
    """Prints time, memory and device, measured on two steps; uses random weights if the guide's are missing."""
    config = compose_config(list(overrides))
    name, family = str(config.models.name), config.models.family
    if not guide_is_there and (family != "openai_clip" or name not in ARCHITECTURES):
        print("\nTime      not measured, since the weights of the guide are missing")
        return
    if not guide_is_there:
        logging.disable(logging.WARNING)  # hides the warning that the head's weights are not the published ones
    with ExitStack() as stack:
        weights = [] if guide_is_there else stack.enter_context(random_weights(name))
        plan = make_plan(compose_config([*overrides, *weights, "steps=3"]))
        step_s, peak_mb = time_steps(plan)
    device, size = choose_device(plan.runtime.device), plan.samples_per_batch
    images = len(plan.samples) * methods
    image_s, batches = step_s * config.steps / size, -(-len(plan.samples) // size) * methods
    hours = step_s * config.steps * batches / 3600
    lines = [
        f"Time      {image_s:.1f} s an image ({config.steps} steps of {step_s:.2f} s"
        + (f" for {counted(size, 'image')})" if size > 1 else ")"),
        f"          {counted(images, 'image')} with {counted(methods, 'method')}: about {hours:.1f} h",
        f"Memory    {peak_mb / 1e3:.1f} GB; a smaller runtime.views_per_pass needs less",
        f"Device    {provenance(device)['device']}, {memory_bytes(device) / 1e9:.1f} GB of memory",
    ]
    if not guide_is_there:
        lines.insert(2, f"          measured with random weights of the size of {name}")
    print("", *lines, sep="\n")


def about_disk() -> list[str]:
    """Free space, and where downloads lie."""
    *some, last = map(short, caches())
    return [
        "",
        f"Disk      {shutil.disk_usage('.').free / 1e9:.0f} GB free",
        *textwrap.wrap(
            f"Downloads are in {', '.join(some)} and {last}. To free the disk, delete files or folders there; other "
            "programs may use them too.", WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 10,
            break_long_words=False, break_on_hyphens=False,
        ),
    ]  # fmt: skip
