"""Text: what is read of a file, windows, bits a character beside a slow count, and writing."""

import hashlib
from collections import Counter
from math import log2

import numpy as np
import pytest
from models import core, lstm
from task_checks import drawn, sample

from rrnn.tasks import CharacterText
from rrnn.training import evaluate, train

SAYING = "the cat sat on the mat, and the dog sat on the log.\n"


@pytest.fixture
def saying(tmp_path):
    path = tmp_path / "saying.txt"
    path.write_text(SAYING * 40)
    return path


def reader(kind, task, **sizes):
    return kind(input_size=task.input_size, output_size=task.output_size, **sizes)


def test_the_text_that_every_python_carries():
    task = CharacterText()
    assert task.input_size == task.output_size == 97 and task.num_inputs == 64
    whole = np.concatenate([task.learned, task.held_out])
    assert len(whole) == task.source["characters"] > 300_000
    assert len(task.held_out) == pytest.approx(len(whole) / 10, abs=1)
    assert len(task.source["sha256"]) == 64 and "Python 3" in task.source["text"]
    # what is not of the alphabet is one character
    assert task.decode(task.encode("aé\nß")) == "a\ufffd\n\ufffd"
    assert (whole == 96).mean() < 0.01


def test_the_text_of_a_file(saying):
    task = CharacterText(saying, steps=8)
    assert task.characters == "".join(sorted({*SAYING}))
    assert task.decode([*task.learned, *task.held_out]) == SAYING * 40
    digest = hashlib.sha256((SAYING * 40).encode()).hexdigest()
    assert task.source == {"text": "a file", "characters": len(SAYING) * 40, "sha256": digest}
    assert str(saying) not in task.identity and task.source["sha256"][:16] in task.identity
    saying.write_bytes(b"\xef\xbb\xbf" + (SAYING * 40).replace("\n", "\r\n").encode())
    assert CharacterText(saying, 8).source == task.source


@pytest.mark.parametrize(("data", "said"), [
    (b"\xff\xfe" + bytes(50), "in UTF-8, and .*saying.txt is not: it has byte 255 at place 0"),
    (bytes(5000), "at most 256 of them; .*saying.txt has 1 different.* .0 too"),
    ("".join(map(chr, range(1000, 1300))).encode() * 20, "saying.txt has 300 different"),
    (b"", "at least 900 characters for 8 steps, got 0"), (b"ab" * 400, "at least 900 .* got 800"),
])  # fmt: skip
def test_what_is_no_text_is_refused(saying, data, said):
    saying.write_bytes(data)
    with pytest.raises(ValueError, match=f"^text must .*{said}"):
        CharacterText(saying, 8)


def test_other_arguments_are_refused(saying, tmp_path):
    with pytest.raises(FileNotFoundError, match="text must be a file"):
        CharacterText(tmp_path / "missing.txt")
    for bad in ({"text": 3}, {"steps": 1}, {"steps": "8"}):
        [name] = bad
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            CharacterText(**{"text": saying} | bad)
    task, rng = CharacterText(saying, 8), np.random.default_rng(0)
    model = reader(lstm, task)
    for bad in ({"start": ""}, {"start": 3}, {"length": 0}, {"temperature": -1}, {"rng": 0}):
        [name] = bad
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            task.write(**{"model": model, "start": "the", "length": 3, "temperature": 1, "rng": rng}
                       | bad)  # fmt: skip
    with pytest.raises(TypeError, match="must be a Rel"):
        task.bits("model")
    with pytest.raises(ValueError, match="length must be at most 207, what is held out, got 208"):
        task.bits(model, 208)


def test_windows(saying):
    task = CharacterText(saying, steps=8)
    inputs, targets = sample(task, 500, 0)
    assert inputs.shape == (500, 8, task.input_size) and targets.shape == (500, 8)
    assert (inputs.sum(axis=-1) == 1).all()
    np.testing.assert_array_equal(inputs.argmax(axis=-1)[:, 1:], targets[:, :-1])
    text = SAYING * 40
    starts = Counter(text.find(task.describe(window)) for window in inputs)
    # the text repeats, and some words in it
    assert min(starts) >= 0 and max(starts) < len(SAYING) and len(starts) > 40
    # what train and evaluate score was never learned
    half = CharacterText(saying, steps=8)
    half.held_out = half.held_out * 0
    assert (half.scored.sample(20, np.random.default_rng(0)).targets == 0).all()


@pytest.mark.parametrize("kind", [core, lstm])
def test_bits_beside_a_slow_count(saying, kind):
    task = CharacterText(saying, steps=8)
    model = reader(kind, task, dtype=np.float64)
    codes = task.held_out

    def bits_of(piece):
        inputs = np.eye(task.input_size)[piece[None, :-1]]
        logits = model.forward(inputs)[0]
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        return [-log2(p[t, code]) for t, code in enumerate(piece[1:])]

    for length in (8, 70, 100):
        rows = (len(codes) - 1) // length
        slow = [bits_of(codes[i * length : i * length + length + 1]) for i in range(rows)]
        assert task.bits(model, length) == pytest.approx(np.mean(sum(slow, [])), rel=1e-6)
    assert task.bits(model) == pytest.approx(task.bits(model, (len(codes) - 1) // 16))


def test_tables_beside_a_slow_count(saying):
    task = CharacterText(saying, steps=8)
    found = task.table_bits(2)
    assert found[0] > found[1] > found[2] > 0
    learned, asked = task.decode(task.learned), task.decode(task.held_out)
    counts, size = Counter(learned), task.output_size
    tried = []
    for strength in (0.1, 0.3, 1, 3, 10, 30):
        p = {c: (counts[c] + strength / size) / (len(learned) + strength) for c in task.characters}
        tried.append(np.mean([-log2(p[c]) for c in asked]))
    assert min(abs(found[0] - bits) for bits in tried) < 1e-9
    scores = task.shortcuts()
    after = {c: Counter(b for a, b in zip(learned, learned[1:]) if a == c) for c in {*learned}}
    hits = [b == min(after[a], key=lambda c: (-after[a][c], c)) for a, b in zip(asked, asked[1:])]
    assert scores["after the last"] == pytest.approx(np.mean(hits))
    assert scores["commonest"] == pytest.approx(asked.count(" ") / len(asked))
    assert list(scores) == ["chance", "commonest", "after the last", "after the last two"]


def test_a_model_learns_to_write_it(saying):
    task = CharacterText(saying, steps=16)
    model = reader(lstm, task, hidden_size=32)
    history = train(model, task, 250, learning_rate=1e-2, batch_size=16, eval_every=250,
                    progress=False)  # fmt: skip
    assert history.score[-1] > 0.85 and evaluate(model, task, 50)["accuracy"] > 0.85
    assert task.bits(model) < 0.6 < task.table_bits(1)[1]
    rng = np.random.default_rng(0)
    text = task.write(model, "the cat", 60, 0, rng)
    assert len(text) == 60 and ("the cat" + text).startswith("the cat sat on the ")
    again = [task.write(model, "the ", 40, 1.0, np.random.default_rng(3)) for _ in range(2)]
    assert again[0] == again[1] != task.write(model, "the ", 40, 1.0, np.random.default_rng(4))


def test_a_temperature_of_one_draws_as_the_model_says(saying):
    task = CharacterText(saying, steps=8)
    model = reader(lstm, task)
    model.params["b_out"][:3] += [3, 2, 2]
    logits = model.forward(np.eye(task.input_size)[task.encode("the")][None], False)[0]
    p = np.exp(logits) / np.exp(logits).sum()
    rng = np.random.default_rng(0)
    drawn_codes = [task.encode(task.write(model, "the", 1, 1.0, rng))[0] for _ in range(3000)]
    shares = np.bincount(drawn_codes, minlength=len(p)) / 3000
    assert np.abs(shares - p).max() < 4 * np.sqrt(0.25 / 3000)


def test_the_picture(saying):
    task = CharacterText(saying, steps=18)
    [axis] = drawn(task, sample(task, 1, 0).inputs[0])
    assert "␣" in [label.get_text() for label in axis.get_xticklabels()]
