import subprocess
import sys

import pytest

from das_ag.settings.resolvers import half


@pytest.mark.parametrize(("px", "expected"), [(320, 160), (7, 3), (1, 1), ("large", "large")])
def test_half(px, expected):
    assert half(px) == expected


def test_a_process_that_a_launcher_started_knows_the_resolvers():
    """It imports neither run.py nor what composes configurations."""
    program = "import das_ag.settings.plan; from omegaconf import OmegaConf; assert OmegaConf.has_resolver('half')"
    subprocess.run([sys.executable, "-c", program], check=True)
