"""From finished samples to what a person looks at; reads the store alone, and knows neither torch nor a model."""

from das_ag.report.report import write_report
from das_ag.report.statistics import METHODS, method_summary, paired_differences, score_table

__all__ = ["METHODS", "method_summary", "paired_differences", "score_table", "write_report"]
