"""Adds tests/conf to the places where Hydra looks for groups, in every process that has tests/ on its path."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class TinyConfiguration(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("tests", f"file://{Path(__file__).parents[1] / 'conf'}")
