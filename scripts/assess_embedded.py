"""Measures the embedded models on the images that were made for them; the figures stand in note/embedded_models.md.

python run.py -m method=das,das_ag,das_rag 'seeds=[42,43,44,45,46,47]' name=six_seeds
python scripts/assess_embedded.py outputs/six_seeds
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from das_ag.experiment.samples import Record
from das_ag.experiment.store import Store
from das_ag.models.embedded import EmbeddedJudge
from das_ag.report import METHODS, paired_differences, score_table
from das_ag.world import COLOURS, SHAPES, all_shape_colour_captions


def main() -> int:
    """Prints how many DAS images the judge names rightly, and each method's paired difference to DAS."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    store = Store(parser.parse_args().folder)
    records, damaged = store.records()
    print(*damaged, sep="\n", end="\n" if damaged else "")
    das = [record for record in records if record.sample.method == "das"]
    named = name_images(store, das)
    right = [got == asked(record) for record, got in zip(das, named, strict=True)]
    print(f"The judge names the shape and colour of {sum(right)} of {len(das)} DAS images rightly.")
    for record, got, is_right in zip(das, named, right, strict=True):
        if not is_right:
            print(f"  {record.sample.prompt_id} seed {record.sample.seed}: taken for a {got[1]} {got[0]}")
    for row in paired_differences(score_table(records, "embedded")).itertuples(index=False):
        interval = f"95 % interval {row.low:+.3f} to {row.high:+.3f}, {row.n} pairs of {row.prompts} prompts"
        print(f"{METHODS[row.method]} against DAS: {row.difference:+.3f}, {interval}")
    return 1 if damaged else 0


def name_images(store: Store, records: Sequence[Record]) -> list[tuple[str, str]]:
    """(shape, colour) that the judge finds most fitting, out of all pairs."""
    judge = EmbeddedJudge()
    pairs = all_shape_colour_captions()
    captions = [caption for _, _, caption in pairs]
    return [pairs[judge.name_image(store.read_image(record.image), captions)][:2] for record in records]


def asked(record: Record) -> tuple[str, str]:
    """(shape, colour) of the figure that a prompt asks for: the first of each that it names."""
    words = record.sample.positive[0].split()
    return next(word for word in words if word in SHAPES), next(word for word in words if word in COLOURS)


if __name__ == "__main__":
    sys.exit(main())
