"""Real stories: the bAbI tasks of Weston et al., read from files that the reader has."""

import os
import re
from collections import Counter, defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rrnn.checks import OneOf, Whole, checked, floats
from rrnn.model import Batch
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot

MOST_BYTES = 200_000_000  # of a file: the published ones have a few million
WORD = re.compile(r"\w+(?:['-]\w+)*")
LINE = re.compile(r"([0-9]{1,6}) (?:([^\t]*[^\t ?]) *|"  # a sentence, or a question:
                  r"([^\t]+)\t *([^\t]*[^\t ]) *\t *([0-9]{1,6}(?: [0-9]{1,6})*) *)")  # fmt: skip


class Question(NamedTuple):
    """steps: the words of each sentence before it and, last, its own; facts: the steps, from 0,
    that support the answer; story: the story of the file, from 0, that it belongs to."""

    story: int
    steps: tuple
    answer: str
    facts: tuple


def a_path(name, value):
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {value!r}")
    return os.fspath(value)


def find(folder, size, number, part):
    """The file, in folder/size or folder/*/size."""
    name = f"qa{number}_*_{part}.txt"
    for place in (f"{size}/{name}", f"*/{size}/{name}"):
        found = sorted(path for path in Path(folder).glob(place) if path.is_file())
        if len(found) > 1:
            raise ValueError(f"{folder} must hold one {place}, has {found[0]} and {found[1]}")
        if found:
            return found[0]
    raise FileNotFoundError(
        f"no {size}/{name} in {Path(folder).resolve()} or in a folder of it. The files come in "
        "tasks_1-20_v1-2.tar.gz, from the page of the authors of arXiv:1502.05698, "
        "https://research.facebook.com/downloads/babi"
    )


def read_questions(path):
    """The Questions of a file; ValueError, with the line, for what is damaged."""
    if not 0 < path.stat().st_size <= MOST_BYTES:
        right = f"1 to {MOST_BYTES} bytes"
        raise ValueError(f"{path} must have {right}, has {path.stat().st_size}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}, is damaged: not UTF-8") from None
    questions, story, last, told, asked = [], -1, 0, {}, True
    for at, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        where, line = f"{path}, line {at}, is damaged:", line.removesuffix("\r")
        found = LINE.fullmatch(line)
        words = found and tuple(WORD.findall((found[2] or found[3]).lower()))
        if not words:
            right = "number sentence, or number question<tab>answer<tab>numbers of facts"
            raise ValueError(f"{where} must be {right}, got {line[:80]!r}")
        number = int(found[1])
        if number not in (1, last + 1):
            right = " or ".join(map(str, sorted({1, last + 1})))
            raise ValueError(f"{where} its number must be {right}, got {number}")
        if number == 1:
            if not asked:
                raise ValueError(f"{where} the story before must end with a question")
            story, told = story + 1, {}
        last, asked = number, found[2] is None
        if not asked:
            told[number] = words
            continue
        facts, known = [int(fact) for fact in found[5].split()], list(told)
        for fact in facts:
            if fact not in told:
                right = "the number of an earlier sentence of the story"
                raise ValueError(f"{where} a supporting fact must be {right}, got {fact}")
        facts = tuple(sorted(map(known.index, facts)))
        questions.append(Question(story, (*told.values(), words), found[4].lower(), facts))
    if not asked:
        raise ValueError(f"{path}, line {at}, is damaged: the last story must end with a question")
    return questions


class BabiQA(Task):
    """Where is the football? A bAbI task, 1 to 20, as published (Weston et al. 2015,
    arXiv:1502.05698): folder/size/qa{number}_*_{train,test}.txt, or folder/*/size/..., in UTF-8.

    Stories of simple sentences and questions about them. Each sentence before a question is a step,
    the question the last; earlier questions are left out. A step's input is, for each place in a
    sentence, a one-hot of the words that occur there ("word 1", "word 2", ...; in lower case,
    without punctuation), empty beyond the end, then a flag: question. That loses nothing: in the
    published files (en, en-10k) no two questions with other answers look alike. Words and answers
    are those of both files, so that both can be encoded; the published test files have no word in a
    place where the training file has it not, and one answer (task 8, en). Targets are (batch, 1)
    answers, each a class, "apple,football" too.

    split: what sample draws from, "train", the training file without the last tenth of its stories,
    "tuning", these, or "test", the test file. Stories differ in length, and nothing is padded: a
    batch is drawn, with replacement, from the questions with as many steps as one that was drawn
    first. So each question comes as often as any other, but one without its like fills a batch
    alone. num_inputs is the mean number of steps, rounded. `tuning` and `held_out`, the test file,
    are lists of Batches, one a length, for score; train and evaluate see one length.

    Raises FileNotFoundError, and ValueError with file and line for what is damaged. Taught in
    notebook 04."""

    picture = pictures.babi_qa

    @checked
    def __init__(self, folder: a_path, number: Whole(1, 20),
                 split: OneOf("train", "tuning", "test") = "train",
                 size: OneOf("en", "en-10k") = "en"):  # fmt: skip
        path = find(folder, size, number, "train")
        learnt, test = map(read_questions, (path, find(folder, size, number, "test")))
        cut = (learnt[-1].story + 1) * 9 // 10
        if not cut:
            raise ValueError(f"{path} must hold two stories or more: the last tenth is for tuning")
        self.questions = {"train": [one for one in learnt if one.story < cut],
                          "tuning": [one for one in learnt if one.story >= cut],
                          "test": test}  # fmt: skip
        self.answers = sorted({one.answer for one in learnt + test})
        self.output_size, self._known, rows = len(self.answers), {}, {}

        # Each sentence and question once, as a row; a story is their indices.
        self._groups = {part: defaultdict(list) for part in self.questions}  # by number of steps
        for part, questions in self.questions.items():
            for one in questions:
                story = tuple(rows.setdefault((words, t == len(one.steps)), len(rows))
                              for t, words in enumerate(one.steps, 1))  # fmt: skip
                self._known.setdefault(story, one)
                self._groups[part][len(story)].append([*story, self.answers.index(one.answer)])
            self._groups[part] = {steps: np.array(group)
                                  for steps, group in sorted(self._groups[part].items())}  # fmt: skip
        self._steps = [len(one.steps) for one in self.questions[split]]
        self.num_inputs = round(np.mean(self._steps))

        # The rows, encoded.
        places = [*zip_longest(*(words for words, _ in rows))]
        self.vocabulary = [sorted({*place} - {None}) for place in places]
        self.parts = {f"word {i}": len(words) for i, words in enumerate(self.vocabulary, 1)}
        self.parts["question"] = 1
        parts = [one_hot([words.index(word) if word else -1 for word in place], len(words))
                 for place, words in zip(places, self.vocabulary)]  # fmt: skip
        flags = np.array([[asked] for _, asked in rows], np.float32)
        self._rows = np.concatenate([*parts, flags], axis=1)

    @property
    def largest(self):
        """What train and evaluate score: for a task to learn from, the questions for tuning."""
        learning = self.split == "train"
        return BabiQA(self.folder, self.number, "tuning", self.size) if learning else self

    @property
    def tuning(self):
        return self._batches("tuning")

    @property
    def held_out(self):
        return self._batches("test")

    def _batches(self, part):
        groups = self._groups[part].values()
        return [Batch(self._rows[group[:, :-1]], group[:, -1:]) for group in groups]

    def score(self, model, batches):
        """{"loss", "accuracy"} of model on a list of Batches, each question weighing the same."""
        scores = [model.metrics(batch) for batch in batches]
        sizes = [len(batch.targets) for batch in batches]
        return {name: float(np.average([score[name] for score in scores], weights=sizes))
                for name in ("loss", "accuracy")}  # fmt: skip

    def make(self, batch_size, rng):
        group = self._groups[self.split][rng.choice(self._steps)]
        drawn = group[rng.integers(len(group), size=batch_size)]
        return self._rows[drawn[:, :-1]], drawn[:, -1:]

    def example(self, inputs_i):
        return floats("inputs_i", inputs_i, ("steps", self.input_size), np.float32)[None]

    def read(self, inputs):
        """The Questions that are encoded in inputs (batch, steps, input_size)."""
        inputs = floats("inputs", inputs, ("batch", "steps", self.input_size), np.float32) + 0
        index, found = {row.tobytes(): i for i, row in enumerate(self._rows)}, []
        for i, steps in enumerate(inputs):
            story = tuple(index.get(step.tobytes()) for step in steps)
            if story not in self._known:
                raise ValueError(f"inputs must hold questions of {self!r}, number {i} is not one")
            found.append(self._known[story])
        return found

    def solve(self, inputs):
        """The recorded answers (batch, 1): no oracle, but proof that nothing was lost. ValueError
        for a question that stands in neither file."""
        return np.array([[self.answers.index(one.answer)] for one in self.read(inputs)])

    def score_rules(self):
        """On the test file: the most frequent answer of the training file, and what the last of
        some sentences names, a word that is an answer there and not in the question: of all that
        name one, of those with a word of the question, of those with most words of it. Where no
        sentence names one, the most frequent answer again."""
        counts = Counter(one.answer for part in ("train", "tuning") for one in self.questions[part])
        often, hits = counts.most_common(1)[0][0], Counter()
        rules = {"the last answer named": lambda found: 0, "the last mention": lambda found: found[0] > 0,
                 "the most words in common": lambda found: found[0]}  # fmt: skip
        for _, (*told, question), answer, _ in self.questions["test"]:
            found = [(0, often)]  # words in common, name
            for words in told:
                names = [word for word in words if word in counts and word not in question]
                found += [(len({*words} & {*question}), name) for name in names[-1:]]
            hits["most frequent answer"] += often == answer
            for rule, rank in rules.items():
                hits[rule] += max(found[::-1], key=rank)[1] == answer
        return {rule: count / len(self.questions["test"]) for rule, count in hits.items()}

    def words(self, batch):
        (one,) = self.read(batch)
        *told, question = (" ".join(words) for words in one.steps)
        lines = [f"{line}{' (supporting fact)' * (t in one.facts)}" for t, line in enumerate(told)]
        return [*lines, f"{question}? {one.answer}"]
