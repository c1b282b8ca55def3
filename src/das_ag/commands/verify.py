"""Makes some finished samples of an experiment again and compares them with the stored ones, byte by byte.

    das-ag verify outputs/wonders
    das-ag verify outputs/paper --samples 1 runtime.device=cuda

Exit status: 0 if all are the same, 1 if one differs, 2 if none differs but one could not be made again or a file of
the experiment is damaged.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from das_ag import __version__
from das_ag.commands.arguments import add_yes, command_parser, complain
from das_ag.errors import UserError, counted
from das_ag.generation.cost import confirm
from das_ag.generation.verify import verify
from das_ag.store.samples import KEY_LENGTH, Record
from das_ag.store.store import Store


def main(argv: Sequence[str]) -> int:
    """Prints a verdict for each sample."""
    parser = command_parser("verify", __doc__)
    parser.add_argument("folder", type=Path, help="folder of an experiment, for instance outputs/wonders")
    parser.add_argument("overrides", nargs="*", help="overrides of settings, for instance runtime.device=cpu")
    parser.add_argument("--samples", type=int, default=3, metavar="K", help="number of random samples; default 3")
    parser.add_argument("--draw", type=int, metavar="SEED", help="seed of the choice; default: a new one each time")
    add_yes(parser)
    arguments = parser.parse_intermixed_args(argv)
    if arguments.samples < 1:
        parser.error(f"--samples: expected at least 1, got {arguments.samples}")
    store = Store(arguments.folder)
    try:
        records, damaged = read(store)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    complain(damaged)
    chosen = random.Random(arguments.draw).sample(records, min(arguments.samples, len(records)))
    verdicts, allow = [], functools.partial(confirm, yes=arguments.yes)
    for record in chosen:
        verdict = verify(store, record, arguments.overrides, allow=allow)
        verdicts.append(dataclasses.replace(verdict, name=_name_of(record, records)))
        print(verdicts[-1], flush=True)
    same = sum(verdict.is_same is True for verdict in verdicts)
    print(f"Same as the stored files: {same} of {counted(len(verdicts), 'sample')} (das-ag {__version__})")
    if any(verdict.is_same is False for verdict in verdicts):
        return 1
    return 0 if same == len(verdicts) and not damaged else 2


def read(store: Store) -> tuple[list[Record], list[str]]:
    """The finished samples, and a sentence for each damaged file.

    Raises:
        UserError: the folder is no experiment, or no sample is finished and whole.
    """
    store.check_exists()
    records, damaged = store.records()
    if not records:
        found = damaged[0] if damaged else "make some with das-ag run."
        raise UserError(f"{store.root}: expected at least one finished sample, found none; {found}")
    return records, [*damaged, *store.damage(records)]


def _name_of(record: Record, records: Sequence[Record]) -> str:
    """The sample's name, with its key if another sample has the same name, in other settings."""
    sample = record.sample
    is_alone = sum(other.sample.name == sample.name for other in records) == 1
    return sample.name if is_alone else f"{sample.name}, key {sample.key[:KEY_LENGTH]}"
