"""Text, a character a step: what comes next?"""

import copy
import hashlib
import platform

import numpy as np

from rrnn.checks import Number, OrNone, Place, Rng, Whole, checked, floats
from rrnn.model import check_model
from rrnn.tasks import pictures
from rrnn.tasks.base import Task, one_hot

OTHER = "\ufffd"  # what stands for every character that is not in the alphabet
ASCII = "\n" + "".join(map(chr, range(32, 127))) + OTHER


def manual():
    """The reference texts behind Python's help(), which every Python carries: 0.5 M characters."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def read_text(path):
    """The text of a file; ValueError with its name if it is no text in UTF-8."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        where = f"it has byte {data[error.start]} at place {error.start}"
        raise ValueError(f"text must be a file in UTF-8, and {path} is not: {where}") from None


class CharacterText(Task):
    """Which character comes next? A text is read a character a step, and asked for the one that
    follows at every step.

    text is the path of a file in UTF-8, or None: the reference texts that every Python carries, of
    0.5 million characters, which differ from version to version (`source` says which these are).
    A step's input is the one-hot of a character, (batch, steps, characters), targets are the next
    ones, (batch, steps). The alphabet is that of the file, at most 256 characters; without a file
    it is the printable characters of ASCII, the end of a line and one that stands for all others,
    the same for every version. sample draws windows evenly from the first nine tenths of the text;
    the last tenth, `held_out`, is for bits. Raises TypeError or ValueError for what is no text, or
    one too short for ten windows in either part. Taught in notebook 07."""

    picture = pictures.character_text

    @checked
    def __init__(self, text: OrNone(Place()) = None, steps: Whole(2) = 64):
        whole = manual() if text is None else read_text(text)
        self.characters = ASCII if text is None else "".join(sorted({*whole}))
        if len(self.characters) > 256 or "\0" in whole:
            kinds = f"{len(self.characters)} different characters" + ", \\0 too" * ("\0" in whole)
            raise ValueError(f"text must be writing with at most 256 of them; {text} has {kinds}")
        cut = len(whole) * 9 // 10
        if len(whole) - cut < 10 * (steps + 1):
            least = f"at least {100 * (steps + 1)} characters for {steps} steps"
            raise ValueError(f"text must have {least}, got {len(whole)}")
        codes = self.encode(whole)
        self.learned, self.held_out = codes[:cut], codes[cut:]
        digest = hashlib.sha256(whole.encode()).hexdigest()
        origin = "a file" if text else f"the reference of Python {platform.python_version()}"
        self.source = {"text": origin, "characters": len(whole), "sha256": digest}
        self.parts = {"character": len(self.characters)}
        self.num_inputs, self.output_size = steps, len(self.characters)

    @property
    def identity(self):
        """What a run learns from, wherever the file lies."""
        return f"CharacterText({self.source['sha256'][:16]}, {self.steps})"

    def encode(self, text):
        """The places of characters in the alphabet."""
        places = {character: place for place, character in enumerate(self.characters)}
        return np.array([places.get(character, len(places) - 1) for character in text])

    def decode(self, codes):
        return "".join(self.characters[code] for code in codes)

    @property
    def scored(self):
        """This task, but with windows of the held-out text: what train and evaluate score."""
        other = copy.copy(self)
        other.learned = self.held_out
        return other

    def make(self, batch_size, rng):
        starts = rng.integers(len(self.learned) - self.steps, size=batch_size)
        windows = self.learned[starts[:, None] + np.arange(self.steps + 1)]
        return one_hot(windows[:, :-1], self.output_size), windows[:, 1:]

    @checked
    def bits(self, model, length: OrNone(Whole(2)) = None):
        """Bits a character, -log2 of what the model gave the right one, over the held-out text:
        read as 16 streams side by side, each from a first memory on, the state carried through
        them, or in pieces of `length` characters that each start anew."""
        check_model(model)
        size = (len(self.held_out) - 1) // 16 if length is None else length
        rows = (len(self.held_out) - 1) // size
        if not rows:
            most = len(self.held_out) - 1
            raise ValueError(f"length must be at most {most}, what is held out, got {length}")
        read, asked = (self.held_out[i : i + rows * size].reshape(rows, size) for i in (0, 1))
        total, state = 0.0, None
        for start in range(0, size, 64):
            piece = one_hot(read[:, start : start + 64], self.output_size)
            outputs, *state = model.forward(piece, return_state=True, state=state)
            right = np.take_along_axis(outputs, asked[:, start : start + 64, None], axis=-1)
            total += np.logaddexp.reduce((outputs - right).astype(float), axis=-1).sum()
        return float(total / np.log(2) / asked.size)

    def table_bits(self, order):
        """{characters before: bits a character} on the held-out text, of tables from none to
        `order` characters: how often each followed in the learned part. Where a table has seen
        little it leans on the one before, by as many imagined characters as suit the last tenth of
        the learned part best."""
        cut = len(self.learned) * 9 // 10
        found = {}
        strengths = []
        for used in range(order + 1):
            tried = {strength: self._bits(self.learned[:cut], self.learned[cut:],
                                          [*strengths, strength])
                     for strength in (0.1, 0.3, 1, 3, 10, 30)}  # fmt: skip
            strengths.append(min(tried, key=tried.get))
            found[used] = self._bits(self.learned, self.held_out, strengths)
        return found

    def _bits(self, learned, asked, strengths):
        size = self.output_size
        p = np.full(len(asked), 1 / size)
        for used, strength in enumerate(strengths):
            before, now = self._contexts(learned, used), self._contexts(asked, used)
            pairs = np.bincount(before * size + learned[used:], minlength=size ** (used + 1))
            seen = pairs.reshape(-1, size).sum(axis=1)[now]
            p[used:] = (pairs[now * size + asked[used:]] + strength * p[used:]) / (seen + strength)
        return float(-np.log2(p[len(strengths) - 1 :]).mean())

    def _contexts(self, codes, used):
        """The `used` characters before each, as one number."""
        ends = [codes[i : len(codes) - used + i] for i in range(used)]
        return sum((end * self.output_size**i for i, end in enumerate(ends[::-1])),
                   np.zeros(len(codes) - used, int))  # fmt: skip

    def score_rules(self):
        """Shares of the held-out text: the commonest character, and the commonest after the last
        one or two."""
        scores, size = {"chance": 1 / self.output_size}, self.output_size
        for used, rule in enumerate(("commonest", "after the last", "after the last two")):
            before, now = (self._contexts(x, used) for x in (self.learned, self.held_out))
            pairs = np.bincount(before * size + self.learned[used:], minlength=size ** (used + 1))
            best = pairs.reshape(-1, size).argmax(axis=1)
            scores[rule] = float((best[now] == self.held_out[used:]).mean())
        return scores

    @checked
    def write(self, model, start, length: Whole(), temperature: Number(0), rng: Rng()):
        """The `length` characters that model writes after the text `start`: each is drawn from its
        logits over temperature (0: always the likeliest), and read before the next."""
        check_model(model)
        if not isinstance(start, str) or not start:
            raise ValueError(f"start must be a text of at least one character, got {start!r}")
        codes, state = self.encode(start), None
        written = []
        for _ in range(length):
            piece = one_hot(codes[None], self.output_size)
            logits, *state = model.forward(piece, False, return_state=True, state=state)
            noise = rng.gumbel(size=self.output_size)  # the largest sum is a draw of the softmax
            codes = (logits[0] + temperature * noise).argmax(keepdims=True)
            written.append(codes[0])
        return self.decode(written)

    def example(self, inputs_i):
        return floats("inputs_i", inputs_i, ("steps", self.input_size), np.float32)[None]

    def describe(self, inputs_i):
        """The window, as text."""
        return self.decode(self.example(inputs_i)[0].argmax(axis=-1))
