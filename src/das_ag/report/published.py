"""The published results, for comparison."""

EVALUATOR = "aesthetic_v2_5"
"""Name of the only evaluator whose scores can be compared with the published ones."""

RESULTS = {"das": (3.406, 0.230), "das_ag": (3.783, 0.203), "das_rag": (2.988, 0.282)}
"""Mean and standard deviation by method. Source: DAS-AG v1, Aesthetic Predictor v2.5, n = 6 each."""

REMARK = (
    "Published: DAS-AG v1, scored by Aesthetic Predictor v2.5, six samples for each method. DAS-AG v1 does not name "
    "them, and its published examples cannot all be among them. Expect the same order of the methods and similar "
    "differences, not the same digits."
)
