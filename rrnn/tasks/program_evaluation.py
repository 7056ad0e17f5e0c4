"""Computing: characters in, digits out. The paper's second task, Learning to Execute."""

import operator
import re

import numpy as np

from rrnn.checks import OneOf, Whole, checked
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot

OPERATIONS = {"add": ("+",), "control": ("if", "for"), "program": ("+", "-", "*", "if", "for")}
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul}
# One operation; N is a literal, or in braces the value of the operation that stood in parentheses.
FORMS = r"N([-+*])N|N if N([<>])N else N|x=N for\[(\d)\] x\+=N".replace("N", r"(\d+|{\d+})")


def characters(texts, width, alphabet):
    """Strings (batch,) as indices into alphabet (batch, width), -1 where there is no such one."""
    index = np.full(128, -1)
    index[[ord(character) for character in alphabet]] = range(len(alphabet))
    return index[texts.astype(f"U{width}").view(np.uint32).reshape(len(texts), width)]


def add_without_carries(a, b):
    """The sum of each column, without its tens; the leftmost column is written in full."""
    if a < 10 and b < 10:
        return a + b
    return 10 * add_without_carries(a // 10, b // 10) + (a + b) % 10


class ProgramEvaluation(Task):
    """What does a short program come to? Section 4.1 and appendix A.2 of the paper.

    kind "add": A+B; "control": A if B>C else D (or <), x=A for[3] x+=B (1 to 9 rounds: A + 3*B);
    "program": both, A-B and A*B. All literals of a text have `length` digits, the first 1-9. Of
    `nesting` operations each but the innermost holds the one before, in parentheses, as its first
    or last operand. "copy", "reverse", "double": the digits of one literal again, backwards, twice;
    nesting plays no part in them. Values are taken mod 10**(length + 1) at every operation.

    sizes="mix": length and nesting are drawn for each example, uniform from 1 to the largest, and
    the modulus is that of the drawn length, which the first literal shows (2-9 gives 93). "batch":
    drawn once for a whole batch, with the modulus of the largest length. "fixed": the largest.
    The authors' code trains with a mix and tests the largest; train, evaluate and shortcuts() score
    the `scored`, too. Their generator differs in this: an earlier result is always the first
    operand, nesting repeats "reverse" and "double", texts have no spaces, empty steps come last,
    and the length of an answer is given, so that no end mark is asked for.

    A step's input is a one-hot of 29 characters, then a flag: all kinds and sizes share input_size
    30 and output_size 11. Empty steps fill up text_steps, the longest possible text, from the left;
    then answer_steps flagged steps: the longest answer and its end. Targets (batch, answer_steps):
    the digits, the end mark (class 10), then -1. Raises ValueError or TypeError for sizes that do
    not fit: length <= 8 and nesting <= 100 where there is something to compute (int64 holds every
    product). Taught in notebook 04."""

    CHARACTERS = "0123456789+-*=<>()[] xifelsor"  # the columns of the one-hot, in this order
    parts, input_size, output_size = {"character": len(CHARACTERS), "flag": 1}, 30, 11
    picture = pictures.program_evaluation

    @checked
    def __init__(self, kind: OneOf(*OPERATIONS, "copy", "reverse", "double") = "add",
                 nesting: Whole() = 1, length: Whole() = 2, *,
                 sizes: OneOf("mix", "batch", "fixed") = "mix"):  # fmt: skip
        self._operations, text, answer = OPERATIONS.get(kind, ()), length, length
        if self._operations:
            Whole(1, 100)("nesting", nesting), Whole(1, 8)("length", length)
            one = 2 * length + 1 if kind == "add" else 4 * length + 11  # "if" is the longest
            text = one + (nesting - 1) * (one - length + 2)  # "(...)" instead of a literal
            answer = length + 1
        elif kind == "double":
            answer = 2 * length
        self.text_steps, self.answer_steps = text, answer + 1
        self.num_inputs = self.text_steps + self.answer_steps

    @property
    def scored(self):
        """This task at its largest sizes only."""
        return ProgramEvaluation(self.kind, self.nesting, self.length, sizes="fixed")

    def make(self, batch_size, rng):
        sizes, T = np.array([[self.length], [self.nesting]]), self.text_steps
        if self.sizes != "fixed":
            sizes = rng.integers(1, sizes + 1, (2, batch_size if self.sizes == "mix" else 1))
        texts, answers = self._write(*np.broadcast_to(sizes, (2, batch_size)), rng)
        steps = np.full((batch_size, self.num_inputs), self.input_size - 1)  # the flag, or the text
        steps[:, :T] = characters(np.strings.rjust(texts, T, "_"), T, self.CHARACTERS)
        return one_hot(steps, self.input_size), self._targets(answers)

    def _write(self, length, nesting, rng):
        """Texts of such sizes (batch,), and their answers, both as strings (batch,)."""
        count, longest = len(length), length.max()
        if not self._operations:  # one literal, cut to its length
            digits = ord("0") + rng.integers(10, size=(count, longest), dtype=np.uint32)
            digits[:, 0] = ord("0") + rng.integers(1, 10, count)
            digits[np.arange(longest) >= length[:, None]] = ord(" ")
            both = (part.view(f"U{longest}")[:, 0] for part in (digits, digits[:, ::-1].copy()))
            text, backward = map(np.strings.strip, both)
            return text, {"copy": text, "reverse": backward, "double": text + text}[self.kind]

        modulus = 10 ** ((length if self.sizes == "mix" else np.full(count, self.length)) + 1)
        text, value = np.zeros(count, f"U{self.text_steps}"), np.zeros(count, int)
        for level in range(nesting.max()):
            # Operands: literals and, from the second level on, the operation before.
            rows = np.flatnonzero(nesting > level)
            size, low = len(rows), 10 ** (length[rows] - 1)
            values = rng.integers(low, 10 * low, (4, size))
            texts = values.astype(text.dtype)
            if level:
                place = 3 * rng.integers(2, size=size), np.arange(size)
                values[place], texts[place] = value[rows], "(" + text[rows] + ")"

            # Operations, each for the rows that drew it.
            which = rng.integers(len(self._operations), size=size)
            rounds, greater = rng.integers(1, 10, size), rng.integers(2, size=size) == 1
            for i, operation in enumerate(self._operations):
                of = which == i
                (a, b, c, d), (A, B, C, D) = values[:, of], texts[:, of]
                if operation == "if":
                    result = np.where(np.where(greater[of], b > c, b < c), a, d)
                    said = A + " if " + B + np.where(greater[of], ">", "<") + C + " else " + D
                elif operation == "for":
                    result = a + rounds[of] * d
                    said = "x=" + A + " for[" + rounds[of].astype("U1") + "] x+=" + D
                else:
                    result, said = ARITHMETIC[operation](a, d), A + operation + D
                text[rows[of]], value[rows[of]] = said, result % modulus[rows[of]]
        return text, value.astype(f"U{self.length + 1}")

    def _targets(self, answers):
        """Strings (batch,) as targets (batch, answer_steps); "." is the end mark, class 10."""
        return characters(answers + ".", self.answer_steps, "0123456789.")

    def read(self, inputs):
        """The texts as a list of strings."""
        index = super().read(inputs)[0][:, : self.text_steps]
        return ["".join(row) for row in np.array([*self.CHARACTERS, ""])[index]]

    def _steps(self, text, naive=False):
        """The operations of a text, innermost first, as (what it says, result, modulus, value).
        naive does without what makes them hard: the carries of "add"; in the other kinds the
        comparison, and all rounds of a loop but one."""
        length = len(re.search(r"\d+|$", text)[0]) if self.sizes == "mix" else self.length
        rest, steps, modulus = f"({text})", [], 10 ** (length + 1)
        plus = add_without_carries if naive and self.kind == "add" else operator.add
        while inner := re.search(r"\(([^()]*)\)", rest):
            found = re.fullmatch(FORMS, inner[1])
            if not found or length > self.length:
                break
            parts = [part.strip("{}") for part in found.groups() if part]
            match [int(part) if part.isdigit() else part for part in parts]:
                case a, b, sign, c, d:
                    result = a if naive or (b > c if sign == ">" else b < c) else d
                case a, str(sign), d:
                    result = (ARITHMETIC | {"+": plus})[sign](a, d)
                case a, rounds, d:
                    result = a + (1 if naive else rounds) * d
            value = result % modulus
            steps.append((re.sub("[{}]", "", inner[1]), result, modulus, value))
            rest = rest.replace(inner[0], f"{{{value}}}", 1)
        if not re.fullmatch(r"{\d+}", rest):
            raise ValueError(f"inputs must hold texts of {self!r}, got {text!r}")
        return steps

    def answer(self, text):
        """The answer to a text, as a string."""
        if self._operations:
            return str(self._steps(text)[-1][-1])
        if not re.fullmatch(r"\d+", text) or len(text) > self.length:
            raise ValueError(f"inputs must hold texts of {self!r}, got {text!r}")
        return {"copy": text, "reverse": text[::-1], "double": text + text}[self.kind]

    def solve(self, inputs):
        """The right answers (batch, answer_steps), from the encoded inputs alone."""
        return self._targets(np.array([self.answer(text) for text in self.read(inputs)]))

    def score_rules(self):
        """Shares of the asked characters, end marks included, at the largest sizes; all but chance
        are measured on 10,000 examples."""
        sizes = np.broadcast_to([[self.length], [self.nesting]], (2, 10_000))
        texts, answers = self._write(*sizes, np.random.default_rng(0))
        targets = self._targets(answers)
        asked = targets != -1

        # Rules that read no text. The first is found on one half and scored on the other.
        mode = (targets[::2, :, None] == np.arange(11)).sum(axis=0).argmax(axis=1)
        mode, ends = (targets == mode)[1::2][asked[1::2]].mean(), len(targets) / asked.sum()
        scores = {"chance": 1 / 11, "most likely character of each place": mode,
                  "right length, digits at random": ends + (1 - ends) / 10}  # fmt: skip

        # Rules that do, as what they answer to it.
        naive = "without carries" if self.kind == "add" else "first branch, loop run once"
        rules = {naive: lambda text: self._steps(text, naive=True)[-1][-1]}
        if self.nesting > 1:
            rules["innermost operation only"] = lambda text: self._steps(text)[0][-1]
        if not self._operations:
            again = lambda text: text[0] * len(self.answer(text))
            rules = {"the first digit again and again": again}
        if self.kind == "double":
            once = "the digits once, then the first again and again"
            rules[once] = lambda text: text + text[0] * len(text)
        for name, rule in rules.items():
            guesses = self._targets(np.array([str(rule(text)) for text in texts]))
            scores[name] = (guesses == targets)[asked].mean()
        return {name: float(score) for name, score in scores.items()}

    def describe(self, inputs_i):
        """One example (num_inputs, 30) in words: what each operation comes to, innermost first."""
        (text,) = self.read(self.example(inputs_i))
        steps, lines = self._steps(text) if self._operations else [], [f"{self.kind}: {text}"]
        for i, (says, result, modulus, value) in enumerate(steps, 1):
            reduced = "" if value == result else f", mod {modulus}: {value}"
            lines.append(f"operation {i}: {says} gives {result}{reduced}")
        answer = f"{self.answer(text)}, then the end mark."
        return "\n".join([*lines, f"What are the characters of the answer? {answer}"])
