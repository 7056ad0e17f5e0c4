"""The verdict: which of two models is better, worse, or not seen to be either; and what a climb
took (notebook 07)."""

import numpy as np

from rrnn.checks import OneOf, Whole, checked
from rrnn.statistics import mean_difference
from rrnn.training import score_of

AXES = "examples", "seconds", "operations"
LEAST = 0.01  # a difference below this is called none


def records_by_name(name, value):
    """What load_records gives."""
    if not isinstance(value, dict):
        right = "a dict {name: record}, such as load_records gives"
        raise TypeError(f"{name} must be {right}, got {value!r}")
    return value


def verdict(a, b, confidence=0.95):
    """1 if scores a, one a seed, are better than scores b in the mean, -1 if worse, 0 if no
    difference is seen: the interval of mean_difference holds zero, or the difference is below 0.01.
    Higher is better. Taught in notebook 07."""
    difference, low, high = mean_difference(a, b, confidence)
    return 0 if low <= 0 <= high or abs(difference) < LEAST else int(np.sign(difference))


class Comparison:
    """The comparison of four models on nine tasks, five seeds each, made from the records of
    load_records. A task, a model and a budget go by their short names, the keys of tasks and models
    ({short name: name in tables}) and "examples" or "seconds"; runs is {(task, model): [record]}.
    Scores are as they were measured: accuracy, or error. Taught in notebook 07."""

    tasks = {
        "nth_3x2": "nth farthest 3x2", "nth_4x4": "nth farthest 4x4", "pairs": "pair matching",
        "stories": "stories", "tracking": "object tracking", "sorting": "sorting",
        "copy": "copying", "reverse": "reversing", "add": "adding",
    }  # fmt: skip
    models = {"core": "core", "rrnn": "LSTM+memory", "lstm": "LSTM", "lstm_wide": "wide LSTM"}
    pairs = ("core", "lstm"), ("core", "lstm_wide"), ("rrnn", "lstm")
    budgets = "examples", "seconds"
    words = {1: "better", -1: "worse", 0: "no difference seen"}
    # Bonferroni: the chance that any of all the intervals misses is at most 5%
    strict = 1 - 0.05 / (len(tasks) * len(pairs) * len(budgets))

    @checked
    def __init__(self, records: records_by_name):
        found = {name: name.rpartition("_seed")[0] for name in records}
        self.runs = {
            (task, model): [records[name] for name in found if found[name] == f"{task}_{model}"]
            for task in self.tasks for model in self.models
        }  # fmt: skip
        if missing := [f"{task}_{model}" for (task, model), runs in self.runs.items() if not runs]:
            raise ValueError(f"records must hold runs of all pairs, got none of {missing}")

    def sign(self, task):
        """1: a higher score is better; -1: a lower one, an error."""
        return -1 if "error" in self.runs[task, "core"][0]["test"] else 1

    def bar(self, task):
        """The score of the best shortcut, a rule that fakes understanding."""
        rules = self.runs[task, "core"][0]["shortcuts"].values()
        return max(rules) if self.sign(task) > 0 else min(rules)

    def final(self, task, model):
        """Scores (seeds,) at the end of each run's own budget, on 10,000 fresh examples."""
        return np.array([score_of(run["test"]) for run in self.runs[task, model]])

    def limit(self, task, budget):
        """The examples or seconds that every run of the task had at least."""
        runs = [run for model in self.models for run in self.runs[task, model]]
        return min(run["curve"][budget][-1] for run in runs)

    def at(self, task, model, budget):
        """Held-out scores (seeds,) there, on the straight line between two looks."""
        limit, curves = self.limit(task, budget), [run["curve"] for run in self.runs[task, model]]
        return np.array([np.interp(limit, curve[budget], curve["score"]) for curve in curves])

    def gain(self, task, one, other, budget, confidence=0.95):
        """(difference, low, high) there of two models; positive: the one is better."""
        a, b = (self.sign(task) * self.at(task, model, budget) for model in (one, other))
        return mean_difference(a, b, confidence)

    def verdict(self, task, one, other, budget, confidence=0.95):
        """1: the one is better there; -1: the other; 0: no difference is seen."""
        a, b = (self.sign(task) * self.at(task, model, budget) for model in (one, other))
        return verdict(a, b, confidence)


class Climb:
    """The climb of four models from 3 vectors of 2 numbers to `top`, made from the records of
    load_records. Of each model there are runs that choose a learning rate, up to `searched_to`
    vectors, and then those that are reported, at that rate and with other seeds. models is {short
    name: name in tables}; a run is a record, with a row for each rung. Taught in notebook 07."""

    models = {"core": "whole core", "apart": "slots apart", "lstm_norm": "LSTM with layer norm",
              "lstm": "LSTM"}  # fmt: skip
    rates, search_seeds, seeds = (5e-4, 1e-3, 2e-3), (100, 101), (1, 2, 3)
    searched_to, top = 5, 8  # the last rung, in vectors
    search_budget, budget = 6_000_000, 20_000_000  # examples

    @checked
    def __init__(self, records: records_by_name):
        self.records = records

    @staticmethod
    @checked
    def passed(run, vectors: Whole(), axis: OneOf(*AXES) = "examples"):
        """What it took to pass the rung of so many vectors of 2 numbers, in "examples", "seconds"
        of the processor or "operations" (multiply-adds), or None."""
        for row in run["rungs"]:
            if (row["vectors"], row["dims"]) == (vectors, 2) and row["passed"]:
                return row[axis]
        return None

    @classmethod
    def names(cls, model, rate=None):
        """Of the reported runs, one a seed; or of those that tried a learning rate."""
        if rate is None:
            return [f"climb_{model}_seed{seed}" for seed in cls.seeds]
        return [f"climb_{model}_search_{rate:g}_{seed}" for seed in cls.search_seeds]

    def runs(self, model, rate=None):
        """The runs of those names; ValueError if one is missing."""
        names = self.names(model, rate)
        if missing := [name for name in names if name not in self.records]:
            raise ValueError(f"records must hold the runs of the climb, got none of {missing}")
        return [self.records[name] for name in names]

    def rate(self, model):
        """The learning rate that passes the last rung of the search after the fewest examples in
        the mean; a run that does not pass it counts with its whole budget."""
        needed = {
            rate: np.mean([self.passed(run, self.searched_to) or self.search_budget
                           for run in self.runs(model, rate)])
            for rate in self.rates
        }  # fmt: skip
        return min(needed, key=needed.get)

    def needed(self, model, vectors, axis="examples"):
        """What each reported run took to pass a rung: an array (seeds,), infinite where its budget
        was not enough."""
        return np.array([self.passed(run, vectors, axis) or np.inf for run in self.runs(model)])

    def span(self, model, vectors, axis="examples", unit=1e6, digits=1):
        """The same in words: from the least to the most of the runs that passed, and how many did
        not."""
        needed = np.sort(self.needed(model, vectors, axis)) / unit
        done = needed[np.isfinite(needed)]
        found = [f"{done[0]:.{digits}f} to {done[-1]:.{digits}f}"] if done.size else []
        late = [f"({needed.size - done.size} not)"] if done.size < needed.size else []
        return " ".join(found + late)
