"""Real stories: the bAbI tasks of Weston et al., read from files that the reader has."""

import hashlib
import re
from collections import Counter, namedtuple
from itertools import zip_longest
from pathlib import Path

import numpy as np

from rrnn.checks import OneOf, Place, Whole, checked, floats
from rrnn.model import Batch
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot

MOST_BYTES = 200_000_000  # of a file: the published ones have a few million
# A sentence, or a question; \ufffd stands for bytes that are not UTF-8.
LINE = re.compile(r"([0-9]{1,6}) (?:([^\t\ufffd]*[^\t\ufffd ?]) *|"
                  r"([^\t\ufffd]+)\t *([^\t\ufffd]*[^\t\ufffd ]) *\t([0-9 ]*[0-9]) *)")  # fmt: skip
# The words of each sentence before it and its own; and which of them, from 0, are its facts.
Question = namedtuple("Question", "steps answer facts")


def find(folder, name):
    """The one file folder/name or folder/*/name."""
    found = [*Path(folder).glob(name)] or [*Path(folder).glob(f"*/{name}")]
    if len(found) == 1:
        return found[0]
    wanted = f"{Path(folder).resolve()}, or a folder of it, must hold one {name}, has {len(found)}"
    source = "tasks_1-20_v1-2.tar.gz, https://research.facebook.com/downloads/babi"
    error = ValueError if found else FileNotFoundError
    raise error(f"{wanted}. The authors of the tasks (arXiv:1502.05698) give them in {source}")


def read_stories(path):
    """A list of Questions for each story; ValueError, with the line, for what is damaged."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} must have at most {MOST_BYTES} bytes, has {path.stat().st_size}")
    stories, told, last, asked = [], {}, 0, True
    for at, line in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), 1):
        where, line = f"{path}, line {at}:", line.decode("utf-8-sig", "replace").removesuffix("\r")
        found = LINE.fullmatch(line)
        words = found and re.findall(r"\w+(?:['-]\w+)*", (found[2] or found[3]).lower())
        if not words:
            form = "number sentence, or number question<tab>answer<tab>numbers of facts, in UTF-8"
            raise ValueError(f"{where} must be {form}; got {line[:80]!r}")
        number, right = int(found[1]), [1, last + 1] if asked else [last + 1]
        if number not in right:  # a story begins with 1, and ends with a question
            raise ValueError(f"{where} its number must be one of {right}, got {number}")
        if number == 1:
            told = {}
            stories.append([])
        last, asked = number, found[2] is None
        if not asked:
            told[number] = tuple(words)
            continue
        facts = {*map(int, found[5].split())}
        if not facts <= {*told}:
            raise ValueError(f"{where} facts must be earlier sentences of it, got {found[5]}")
        facts = tuple(step for step, number in enumerate(told) if number in facts)
        stories[-1].append(Question((*told.values(), tuple(words)), found[4].lower(), facts))
    if not asked:
        raise ValueError(f"{where} must be a question, as the last line")
    return stories


class BabiQA(Task):
    """Where is the football? Task 1 to 20 of bAbI (Weston et al. 2015, arXiv:1502.05698), read from
    its files, folder/size/qa{number}_*_{train,test}.txt or folder/*/size/..., in UTF-8.

    Each sentence before a question is a step, the question the last. The input is a one-hot for
    each place in a sentence ("word 1", "word 2", ...) of the words that occur there, in lower case,
    no punctuation, empty beyond the end; then a flag: question. Words and answers are those of both
    files, so that both can be encoded: of the published ones no test file has a word in a new
    place, one a new answer (task 8, en), and no two that look alike have different answers. Targets
    are (batch, 1) answers; each is one class, "apple,football" too.

    sample draws with replacement from a split: "train", the training file without the last tenth of
    its stories; "tuning", that tenth; "test", the test file. Nothing is padded: a question is
    drawn, then a batch from those with as many steps. So all come equally often, but one without
    its like fills a batch alone; train and evaluate score questions of all lengths. num_inputs is
    their mean number of steps, rounded. `tuning` and `held_out` (the test file) hold every question
    once, in lists of Batches, one a length. Raises FileNotFoundError, and ValueError with file and
    line. Taught in notebook 04."""

    picture = pictures.babi_qa
    tuning = property(lambda self: self.batches("tuning"))
    held_out = property(lambda self: self.batches("test"))

    @checked
    def __init__(self, folder: Place("folder"), number: Whole(1, 20),
                 split: OneOf("train", "tuning", "test") = "train",
                 size: OneOf("en", "en-10k") = "en"):  # fmt: skip
        files = [find(folder, f"{size}/qa{number}_*_{part}.txt") for part in ("train", "test")]
        stories, test = map(read_stories, files)
        cut = len(stories) * 9 // 10
        if not cut:
            raise ValueError(f"{files[0]} must hold two stories or more, the last for tuning")
        parts = {"train": stories[:cut], "tuning": stories[cut:], "test": test}
        self.questions = {part: [q for story in parts[part] for q in story] for part in parts}
        self.answers = sorted({q.answer for part in parts for q in self.questions[part]})
        self.output_size, self._groups, self._known, rows = len(self.answers), {}, {}, {}
        for part, questions in self.questions.items():  # as numbers of rows, and of the answer
            groups = {steps: [] for steps in sorted({len(q.steps) for q in questions})}
            for q in questions:
                story = tuple(rows.setdefault(words, len(rows)) for words in q.steps)
                groups[len(story)].append([*story, self.answers.index(q.answer)])
                self._known.setdefault(story, q)
            self._groups[part] = {steps: np.array(group) for steps, group in groups.items()}
        self._lengths = [len(q.steps) for q in self.questions[split]]
        self.num_inputs = round(np.mean(self._lengths))
        places = [(place, sorted({*place} - {None})) for place in zip_longest(*rows)]
        self.parts = {f"word {i}": len(words) for i, (_, words) in enumerate(places, 1)}
        self.parts["question"] = 1  # all zeros in the rows
        places.append(([None] * len(rows), ["question"]))
        self._rows = np.concatenate([
            one_hot([*map([*words, None].index, place)], len(words)) for place, words in places
        ], axis=1)  # fmt: skip

    @property
    def identity(self):
        """What a run learns from, wherever the files lie."""
        digest = hashlib.sha256(repr(self.questions).encode()).hexdigest()[:16]
        return repr(self).replace(repr(self.folder), digest)

    @property
    def scored(self):
        """What train and evaluate score: for a task to learn from, the questions for tuning."""
        return BabiQA(**self.config | {"split": self.split.replace("train", "tuning")})

    def batches(self, split):
        """All questions of a split, a Batch for each number of steps."""
        return [Batch(*self._encode(group)) for group in self._groups[split].values()]

    def _encode(self, group):
        inputs = self._rows[group[:, :-1]]
        inputs[:, -1, -1] = 1
        return inputs, group[:, -1:]

    def make(self, batch_size, rng):
        group = self._groups[self.split][rng.choice(self._lengths)]
        return self._encode(rng.choice(group, batch_size))

    def sets(self, examples, rng):
        """Batches of `examples` questions in all, one for each number of steps among them."""
        steps, counts = np.unique(rng.choice(self._lengths, examples), return_counts=True)
        groups = self._groups[self.split]
        return [Batch(*self._encode(rng.choice(groups[length], count)))
                for length, count in zip(steps, counts)]  # fmt: skip

    def example(self, inputs_i):
        return floats("inputs_i", inputs_i, ("steps", self.input_size), np.float32)[None]

    def read(self, inputs):
        """The Questions that inputs (batch, steps, input_size) encode."""
        inputs = floats("inputs", inputs, ("batch", "steps", self.input_size), np.float32) + 0
        inputs[:, -1, -1] -= 1  # as in the rows
        index = {row.tobytes(): i for i, row in enumerate(self._rows)}
        stories = [tuple(index.get(step.tobytes()) for step in story) for story in inputs]
        if not {*stories} <= {*self._known}:
            raise ValueError(f"inputs must hold questions of {self!r}: one is in neither file")
        return [self._known[story] for story in stories]

    def solve(self, inputs):
        """The recorded answers (batch, 1): no oracle, but proof that the encoding loses nothing."""
        return np.array([[self.answers.index(q.answer)] for q in self.read(inputs)])

    def score_rules(self):
        """On the test file. The last three take the last sentence that names an answer (of the
        training file, not in the question): of all, of those with a word of the question, of those
        with most words of it."""
        counts = Counter(q.answer for part in ("train", "tuning") for q in self.questions[part])
        often, hits, test = counts.most_common(1)[0][0], Counter(), self.questions["test"]
        caps = {"the last answer named": 0, "the last mention": 1, "the most words in common": 99}
        for (*told, asked), answer, _ in test:
            named = [(0, often)] + [(len({*words} & {*asked}), word) for words in told
                                    for word in words if word in {*counts} - {*asked}]  # fmt: skip
            hits["most frequent answer"] += often == answer
            for rule, cap in caps.items():
                best = max((min(common, cap), i) for i, (common, _) in enumerate(named))
                hits[rule] += named[best[1]][1] == answer
        shares = {rule: count / len(test) for rule, count in hits.items()}
        return {"chance": 1 / self.output_size} | shares

    def words(self, batch):
        (((*told, asked), answer, facts),) = self.read(batch)
        marks = [" (supporting fact)" * (t in facts) for t in range(len(told))]
        lines = [" ".join(line) + mark for line, mark in zip(told, marks)]
        return [*lines, f"{' '.join(asked)}? {answer}"]
