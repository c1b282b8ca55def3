"""Makes tables, plots and the gallery from finished samples; reads only the store, and needs no torch and no model.

`das_ag.report.plots` has a function for each figure. Tables need no matplotlib, so import it separately.
"""

from das_ag.report.report import read_scores, write_comparison, write_report, write_tables
from das_ag.report.statistics import method_summary, paired_differences, score_table
from das_ag.report.table import prompt_results, results
from das_ag.report.traces import trace_table

__all__ = [
    "method_summary",
    "paired_differences",
    "prompt_results",
    "read_scores",
    "results",
    "score_table",
    "trace_table",
    "write_comparison",
    "write_report",
    "write_tables",
]
