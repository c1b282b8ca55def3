"""Makes tables, plots and the gallery from finished samples; reads only the store, and needs no torch and no model."""

from das_ag.report.report import read_scores, write_comparison, write_report, write_tables
from das_ag.report.statistics import method_summary, paired_differences, score_table
from das_ag.report.table import prompt_results, results

__all__ = [
    "method_summary",
    "paired_differences",
    "prompt_results",
    "read_scores",
    "results",
    "score_table",
    "write_comparison",
    "write_report",
    "write_tables",
]
