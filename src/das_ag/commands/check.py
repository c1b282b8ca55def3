"""Says whether the published experiment can start here, and how much time and memory it needs.

das-ag check               # makes no network requests; exit status 0 if it can start
das-ag check --download    # downloads missing weights; resumes partial downloads
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from das_ag.benchmark.steps import random_weights, time_steps
from das_ag.commands.arguments import command_parser
from das_ag.errors import UserError
from das_ag.evaluation.readiness import (
    KNOWN_ANSWER,
    KNOWN_TEXTS,
    Finding,
    is_known_answer,
    known_answer,
    known_answer_files,
    look,
    sources,
)
from das_ag.generation.machine import memory_bytes, provenance
from das_ag.models.hub import HubFolder
from das_ag.models.sources import WeightFile, size_of
from das_ag.report.published import RESULTS
from das_ag.settings.choices import choose_evaluators, choose_guide
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.settings.runtime import choose_device

METHODS = len(RESULTS)
"""Number of methods in the published experiment."""


def main(argv: Sequence[str]) -> int:
    """Prints the findings; returns 0 if the experiment can start."""
    parser = command_parser("check", __doc__)
    parser.add_argument("overrides", nargs="*", help="overrides as for run.py, after experiment=paper")
    parser.add_argument("--download", action="store_true", help="download missing weights")
    parser.add_argument("--no-estimate", action="store_true", help="do not measure the time and memory of a step")
    arguments = parser.parse_intermixed_args(argv)
    overrides = ["experiment=paper", *arguments.overrides]
    config = compose_config(overrides)
    needed = list(sources(choose_guide(config.models), list(choose_evaluators(config.evaluator).values())))
    if arguments.download:
        download([*needed, *known_answer_files()])
    findings = [look(source) for source in needed]
    report_findings(findings)
    is_right = report_known_answer()
    ready = is_right and all(finding.usable for finding in findings)
    if not arguments.no_estimate:
        report_cost(overrides, ready)
    print(f"\nThe experiment {'can' if ready else 'cannot'} start here.")
    return 0 if ready else 1


def download(needed: Iterable[WeightFile | HubFolder]) -> None:
    """Downloads missing weights one after the other; reports a failed download and continues with the next."""
    for source in needed:
        try:
            source.fetch()
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)


def report_findings(findings: list[Finding]) -> None:
    """Prints a paragraph for each model."""
    for finding in findings:
        state = "found" if finding.usable else "unusable" if finding.problem else "missing"
        print(f"{finding.what}: {state}\n  place    {finding.place}\n  licence  {finding.licence}")
        if finding.size_bytes:
            print(f"  size     {finding.size_bytes / 1e6:,.1f} MB")
        if finding.sha256:
            published = {True: ", the published file", False: ", not the published file", None: ""}[finding.published]
            print(f"  sha256   {finding.sha256}{published}")
        if not finding.usable:
            print(f"  remedy   {finding.problem or finding.remedy}")
    if missing := [finding for finding in findings if not finding.usable]:
        size_mb = sum(finding.size_bytes or 0 for finding in missing) / 1e6
        print(f"\nMissing or unusable: {', '.join(finding.what for finding in missing)}; {size_mb:,.1f} MB in total")


def report_known_answer() -> bool:
    """Compares CLIP's answer with the example in OpenAI's README; returns False if it differs."""
    answer = known_answer()
    if answer is None:
        names = " and ".join(f"{file.path} ({size_of(file)})" for file in known_answer_files() if not file.is_there())
        print(f"\nKnown answer: not checked; missing: {names} (use --download)")
        return True
    right = is_known_answer(answer)
    print(f"\nKnown answer (ViT-B/32, CLIP.png): {'right' if right else 'WRONG'}")
    for text, got, expected in zip(KNOWN_TEXTS, answer, KNOWN_ANSWER, strict=True):
        print(f"  {text:10} {got:.5f}, expected {expected:.5f}")
    return right


def report_cost(overrides: list[str], ready: bool) -> None:
    """Prints device, memory and time, measured on two steps; uses random weights if the real ones are missing."""
    if not ready:
        logging.disable(logging.WARNING)  # hides the warning that the head's weights are not the published ones
    overriding: AbstractContextManager[list[str]] = nullcontext([]) if ready else random_weights()
    with overriding as weights:
        plan = make_plan(compose_config([*overrides, *weights, "steps=3"]))
        step_s, peak_mb = time_steps(plan)
    steps = compose_config(overrides).steps
    device = choose_device(plan.runtime.device)
    batches = -(-len(plan.samples) // plan.samples_per_batch) * METHODS
    hours = step_s * steps * batches / 3600
    with_what = "" if ready else ", measured with random weights of the size of ViT-L/14"
    print(
        f"\nDevice: {provenance(device)['device']}, {memory_bytes(device) / 1e9:.1f} GB of memory\n"
        f"Memory needed: {peak_mb / 1e3:.1f} GB; a smaller runtime.views_per_pass needs less\n"
        f"Time: {step_s:.2f} s per step, {steps} steps, {batches} batches: about {hours:.1f} h{with_what}\n"
        f"Disk: {shutil.disk_usage('.').free / 1e9:.0f} GB free"
    )
