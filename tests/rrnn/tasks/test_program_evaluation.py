"""ProgramEvaluation against an evaluator that rewrites the text from the innermost parentheses
outward, on whole numbers without bounds that are taken modulo once, at the very end."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from task_checks import assert_even, drawn, few, hot, quick, sample, seeds

from rrnn.tasks import ProgramEvaluation

NUMBERS, COPIES = ["add", "control", "program"], ["copy", "reverse", "double"]
ALPHABET = "0123456789+-*=<>()[] xifelsor"
FORMS = {
    "if": r"(N) if (N)([<>])(N) else (N)",
    "for": r"x=(N) for\[([1-9])\] x\+=(N)",
    "binary": r"(N)([-+*])(N)",
}
PATTERNS = {name: re.compile(form.replace("N", r"-?\d+|R")) for name, form in FORMS.items()}


@st.composite
def tasks(draw):
    kind, nesting = draw(st.sampled_from(NUMBERS + COPIES)), draw(st.integers(1, 4))
    length = draw(st.integers(1, 8 if kind in NUMBERS else 30))
    sizes = draw(st.sampled_from(["mix", "batch", "fixed"]))
    return ProgramEvaluation(kind, nesting, length, sizes=sizes)


def texts_of(task, inputs):
    """The texts, with what the encoding promises: blanks, then characters, then flagged steps."""
    texts = []
    for inputs_i in inputs:
        text = ""
        for row in inputs_i[: task.text_steps]:
            character = hot(row)
            assert character is not None or not text  # no blank after the first character
            text += "" if character is None else ALPHABET[character]
        flagged = np.eye(30)[[29] * task.answer_steps]
        np.testing.assert_array_equal(inputs_i[task.text_steps :], flagged)
        texts.append(text)
    return texts


def match(text):
    """The name and the parts of one operation."""
    found = {name: pattern.fullmatch(text) for name, pattern in PATTERNS.items()}
    (name,) = [name for name in found if found[name]]
    return name, found[name].groups()


def carry_free(a, d):
    """The units of each column; the leftmost column is written in full."""
    if a < 10 and d < 10:
        return a + d
    return 10 * carry_free(a // 10, d // 10) + (a % 10 + d % 10) % 10


def work_out(text, first_branch=False, rounds=None, plus=None):
    name, parts = match(text)
    if name == "binary":
        a, sign, d = int(parts[0]), parts[1], int(parts[2])
        return {"-": int.__sub__, "*": int.__mul__, "+": plus or int.__add__}[sign](a, d)
    if name == "for":
        a, count, d = map(int, parts)
        return a + (rounds or count) * d
    b, c = int(parts[1]), int(parts[3])
    true = first_branch or (b > c and parts[2] == ">") or (b < c and parts[2] == "<")
    return int(parts[0] if true else parts[4])


def rewrite(text, modulus=None, **rule):
    """The value of a text. With a modulus every operation is reduced by it, else none is."""
    reduce = (lambda value: value % modulus) if modulus else (lambda value: value)
    value = lambda found: str(reduce(work_out(found[1], **rule)))
    while "(" in text:
        text = re.sub(r"\(([^()]*)\)", value, text)
    return reduce(work_out(text, **rule))


def modulus_of(task, text):
    """In a mix that of the text's own length, which its first literal shows."""
    length = len(re.search(r"\d+", text)[0]) if task.sizes == "mix" else task.length
    return 10 ** (length + 1)


def right_answer(task, text):
    if task.kind in COPIES:
        return {"copy": text, "reverse": "".join(reversed(text)), "double": 2 * text}[task.kind]
    return str(rewrite(text) % modulus_of(task, text))


def answer_of(targets_i):
    """The answer in a row of targets: digits, then 10, then only -1."""
    end = targets_i.tolist().index(10)
    assert (targets_i[:end] >= 0).all() and (targets_i[:end] <= 9).all()
    assert (targets_i[end + 1 :] == -1).all()
    return "".join(map(str, targets_i[:end]))


def layers(text):
    """(operation, its parts) from the outermost inward, the earlier result written as R."""
    found = []
    while "(" in text:
        start, end = text.index("("), text.rindex(")")
        found.append(match(text[:start] + "R" + text[end + 1 :]))
        text = text[start + 1 : end]
    return [*found, match(text)]


@quick
@given(tasks(), seeds, few)
def test_targets_solve_and_rewriter_agree(task, seed, batch_size):
    inputs, targets = sample(task, batch_size, seed)
    texts = texts_of(task, inputs)
    assert [right_answer(task, text) for text in texts] == list(map(answer_of, targets))
    solved = task.solve(inputs)
    np.testing.assert_array_equal(solved, targets)
    assert solved.dtype == targets.dtype == np.int64


@quick
@given(tasks(), seeds, few)
def test_encoding(task, seed, batch_size):
    """Sizes as promised: literals of one length in each text, or in each batch, and no deeper."""
    inputs, targets = sample(task, batch_size, seed)
    longest = {"copy": task.length, "reverse": task.length, "double": 2 * task.length}
    assert (task.input_size, task.output_size, task.target_kind) == (30, 11, "class")
    assert task.answer_steps == longest.get(task.kind, task.length + 1) + 1
    assert task.num_inputs == task.text_steps + task.answer_steps
    assert inputs.dtype == np.float32 and inputs.shape == (batch_size, task.num_inputs, 30)
    assert targets.shape == (batch_size, task.answer_steps)
    sizes = set()
    for text in texts_of(task, inputs):
        if task.kind in COPIES:
            assert re.fullmatch(r"[1-9]\d*", text)
            sizes.add((1, len(text)))
            continue
        lengths = set()
        for name, parts in layers(text):
            counted = parts[:1] + parts[2:] if name == "for" else parts  # without its rounds
            literals = [part for part in counted if part[0].isdigit()]
            assert all(part[0] != "0" for part in literals)
            lengths |= set(map(len, literals))
        (length,) = lengths
        sizes.add((len(layers(text)), length))
        assert text.count("(") == len(layers(text)) - 1
    largest = (1 if task.kind in COPIES else task.nesting), task.length
    if task.sizes == "fixed":
        assert sizes == {largest}
    assert task.sizes == "mix" or len(sizes) == 1
    assert all(nesting <= largest[0] and length <= largest[1] for nesting, length in sizes)


SIZES = [("add", 2, 8), ("control", 1, 5), ("program", 2, 3), ("copy", 1, 9),
         ("reverse", 2, 25), ("double", 1, 1)]  # fmt: skip


@pytest.mark.parametrize("sizes", ["mix", "batch", "fixed"])
@pytest.mark.parametrize("kind, nesting, length", SIZES)
def test_answers_at_the_largest_sizes(kind, nesting, length, sizes):
    task = ProgramEvaluation(kind, nesting, length, sizes=sizes)
    inputs, targets = sample(task, 300, 3)
    texts = texts_of(task, inputs)
    assert [right_answer(task, text) for text in texts] == list(map(answer_of, targets))
    assert task.read(inputs) == texts
    assert [task.answer(text) for text in texts] == list(map(answer_of, targets))


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("nesting, length", [(1, 1), (1, 4), (2, 3), (3, 2), (3, 8)])
def test_the_longest_text_is_reached_and_never_exceeded(kind, nesting, length):
    literal, task = "9" * length, ProgramEvaluation(kind, nesting, length, sizes="fixed")
    forms = ["{}+" + literal]
    if kind != "add":
        forms += [f"{{}} if {literal}>{literal} else {literal}", f"x={{}} for[9] x+={literal}"]
    longest = literal
    for level in range(nesting):
        inner = longest if level == 0 else f"({longest})"
        longest = max((form.format(inner) for form in forms), key=len)
    assert len(longest) == task.text_steps
    inputs = sample(task, 3000, 0).inputs
    assert inputs[:, 0, :29].any()  # some text fills the first step
    assert (inputs[:, task.text_steps - 1, :29].sum(axis=-1) == 1).all()


def test_room_is_that_of_the_largest_sizes_under_mix():
    for kind in NUMBERS + COPIES:
        fixed = ProgramEvaluation(kind, 2, 3, sizes="fixed")
        for mix in (ProgramEvaluation(kind, 2, 3, sizes=sizes) for sizes in ("mix", "batch")):
            assert (mix.text_steps, mix.answer_steps) == (fixed.text_steps, fixed.answer_steps)
            assert sample(mix, 2, 0).inputs.shape == sample(fixed, 2, 0).inputs.shape
            assert repr(mix.scored) == repr(fixed)


def test_the_answer_steps_tell_nothing():
    """The same flagged steps for every example, whatever its answer."""
    for kind in NUMBERS + COPIES:
        task = ProgramEvaluation(kind, 2, 3)
        steps = [sample(task, 20, seed).inputs[:, task.text_steps :] for seed in range(10)]
        assert np.unique(np.concatenate(steps), axis=0).shape[0] == 1


def test_the_longest_answer_is_reached():
    for kind in NUMBERS + COPIES:
        targets = sample(ProgramEvaluation(kind, 1, 3, sizes="fixed"), 2000, 0).targets
        assert (targets[:, -1] == 10).any()


def write(task, text):
    """A text of one's own, encoded."""
    inputs = np.zeros((1, task.num_inputs, 30), np.float32)
    inputs[:, task.text_steps :, 29] = 1
    start = task.text_steps - len(text)
    inputs[0, range(start, task.text_steps), [*map(ALPHABET.index, text)]] = 1
    return inputs


@pytest.mark.parametrize(
    "text, answer",
    [
        ("12-34", "978"), ("(12-34)*22", "516"), ("99*99", "801"), ("10-10", "0"), ("5+6", "11"),
        ("(90*50)+10", "510"), ("7 if 5>5 else 8", "8"), ("7 if 5<5 else 8", "8"),
        ("17 if 19>20 else 18", "18"), ("17 if 19<20 else 18", "17"), ("x=10 for[3] x+=20", "70"),
        ("x=(2*3) for[9] x+=1", "15"), ("x=1 for[9] x+=(2*3)", "55"), ("2-9", "93"), ("9*9", "81"),
        ("11 if 22<33 else (x=44 for[2] x+=55)", "11"), ("(2-9)*9", "37"),
        ("11 if 22>33 else (x=44 for[2] x+=55)", "154"),
    ],
)  # fmt: skip
def test_texts_worked_out_by_hand(text, answer):
    """In a mix a text of one digit is taken mod 100, one of two digits mod 1000."""
    task = ProgramEvaluation("program", 2, 2)
    assert answer_of(task.solve(write(task, text))[0]) == answer
    assert right_answer(task, text) == answer


@pytest.mark.parametrize("text, answer", [("2-9", "993"), ("9*9", "81"), ("(2-9)*9", "937")])
def test_without_a_mix_the_modulus_is_that_of_the_largest_length(text, answer):
    for sizes in ("batch", "fixed"):
        task = ProgramEvaluation("program", 2, 2, sizes=sizes)
        assert answer_of(task.solve(write(task, text))[0]) == answer == right_answer(task, text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1+", "+1", "(1+2", "(1+2]+3", "1+2+3", "1]2", "1 if 2 else 3", "1 if 2=3 else 4",
     "x=1", "x=1 for[12] x+=3", "100+100"],
)  # fmt: skip
def test_a_text_of_something_else_is_refused(text):
    task = ProgramEvaluation("program", 2, 2)
    inputs = write(task, text)
    with pytest.raises(ValueError, match="inputs must hold texts of ProgramEvaluation"):
        task.solve(inputs)


# --- What is drawn ---------------------------------------------------------------------------
def test_everything_is_drawn_evenly():
    task, size = ProgramEvaluation("program", 2, 2, sizes="fixed"), 10_000
    found = [layers(text) for text in task.read(sample(task, size, 0).inputs)]
    name = lambda layer: layer[1][1] if layer[0] == "binary" else layer[0]
    first_last = {"if": (0, 4), "for": (0, 2), "+": (0, 2), "-": (0, 2), "*": (0, 2)}
    both = Counter((name(outer), name(inner)) for outer, inner in found)
    assert len(both) == 25
    assert_even(both.values())
    places = Counter((name(outer), outer[1].index("R")) for outer, _ in found)
    assert set(places) == {(name, place) for name in first_last for place in first_last[name]}
    assert_even(places.values())
    inner = [layer for _, layer in found]
    assert_even(Counter(parts[2] for kind, parts in inner if kind == "if").values())
    rounds = Counter(parts[1] for kind, parts in inner if kind == "for")
    assert sorted(rounds) == list("123456789")
    assert_even(rounds.values())
    binary = [parts for kind, parts in inner if kind == "binary"]
    literals = Counter(int(part) for parts in binary for part in parts[::2])
    assert sorted(literals) == list(range(10, 100))
    assert_even(literals.values())
    # two of 90 numbers, equal once in 90
    bigger = [int(parts[1]) > int(parts[3]) for kind, parts in inner if kind == "if"]
    assert abs(np.mean(bigger) - 89 / 180) < 4 * 0.5 / np.sqrt(len(bigger))


@pytest.mark.parametrize(
    "kind, names", [("add", "+"), ("control", "if for"), ("program", "+ - * if for")]
)
def test_operations_of_each_kind(kind, names):
    task = ProgramEvaluation(kind, 3, 2)
    found = Counter()
    for text in task.read(sample(task, 200, 0).inputs):
        found.update(parts[1] if name == "binary" else name for name, parts in layers(text))
    assert set(found) == set(names.split())


@pytest.mark.parametrize("kind", COPIES)
def test_digits_of_the_copying_kinds(kind):
    task = ProgramEvaluation(kind, 1, 4, sizes="fixed")
    digits = sample(task, 20_000, 0).inputs[:, :4, :10].argmax(axis=-1)
    assert_even(np.bincount(digits[:, 0])[1:])
    for place in (1, 2, 3):
        assert_even(np.bincount(digits[:, place]))


def sizes_of(text):
    """(nesting, length) of a text."""
    return len(layers(text)), len(re.search(r"\d+", text)[0])


def test_mix_draws_length_and_nesting_for_each_example():
    """Evenly, and each example without a look at the one before."""
    task = ProgramEvaluation("program", 3, 4)
    texts = task.read(sample(task, 6_000, 0).inputs)
    sizes = Counter(map(sizes_of, texts))
    assert len(sizes) == 12
    assert_even(sizes.values())
    depths = [nesting for nesting, _ in map(sizes_of, texts)]
    assert_even(Counter(zip(depths[::2], depths[1::2])).values())
    copy = ProgramEvaluation("copy", 1, 5)
    assert_even(Counter(map(len, copy.read(sample(copy, 3_000, 0).inputs))).values())


def test_batch_draws_one_length_and_one_nesting_for_a_batch():
    task, rng = ProgramEvaluation("program", 3, 4, sizes="batch"), np.random.default_rng(0)
    drawn = [set(map(sizes_of, task.read(task.sample(2, rng).inputs))) for _ in range(1200)]
    assert {len(sizes) for sizes in drawn} == {1}
    assert_even(Counter(size for sizes in drawn for size in sizes).values())
    copy = ProgramEvaluation("copy", 1, 5, sizes="batch")
    lengths = [len(copy.read(copy.sample(2, rng).inputs)[0]) for _ in range(600)]
    assert_even(Counter(lengths).values())


@pytest.mark.parametrize("sizes", ["mix", "batch"])
def test_the_modulus_of_the_smallest_length(sizes):
    """Literals of one digit: in a mix nothing is above 99, in a batch nothing above 9999."""
    task, largest = ProgramEvaluation("program", 3, 3, sizes=sizes), 0
    for seed in range(60):
        inputs, targets = sample(task, 100, seed)
        for text, targets_i in zip(task.read(inputs), targets):
            if sizes_of(text) == (3, 1):
                largest = max(largest, int(answer_of(targets_i)))
    assert 90 < largest < 100 if sizes == "mix" else 999 < largest < 10_000


# --- Shortcuts: what their scores say, and the rules played out ------------------------------
def innermost(text):
    return re.search(r"\(([^()]*)\)", f"({text})")[1]


def played(task, name, texts, answers, targets, rng):
    """What a rule answers: strings with "." for the end, one character for each asked place."""
    modulus, double = 10 ** (task.length + 1), 2 if task.kind == "double" else 1

    def draw(characters, count):
        return "".join(characters[i] for i in rng.integers(len(characters), size=count))

    rules = {
        "chance": lambda text, count: draw("0123456789.", count + 1),
        "right length, digits at random": lambda text, count: draw("0123456789", count),
        "the first digit again and again": lambda text, count: double * len(text) * text[0],
        "the digits once, then the first again and again":
            lambda text, count: text + len(text) * text[0],
        "without carries": lambda text, count: rewrite(text, modulus, plus=carry_free),
        "first branch, loop run once":
            lambda text, count: rewrite(text, modulus, first_branch=True, rounds=1),
        "innermost operation only": lambda text, count: work_out(innermost(text)) % modulus,
    }  # fmt: skip
    if name == "most likely character of each place":
        counts = [Counter(column[column != -1].tolist()) for column in targets.T]
        columns = [count.most_common(1)[0][0] for count in counts]
        return ["".join("0123456789."[c] for c in columns)] * len(texts)
    return [f"{rules[name](text, len(answer))}." for text, answer in zip(texts, answers)]


@pytest.mark.parametrize(
    "kind, nesting, length, sizes",
    [("add", 1, 2, "fixed"), ("add", 2, 4, "mix"), ("control", 2, 3, "fixed"),
     ("program", 2, 3, "mix"), ("copy", 1, 4, "batch"), ("reverse", 1, 5, "fixed"),
     ("double", 1, 3, "mix")],
)  # fmt: skip
def test_shortcuts_played_out(kind, nesting, length, sizes):
    """Each rule on 300 batches of 10 examples, within 4 sigma of what shortcuts() says. Batches are
    the units of the interval. A mix is scored at its largest sizes."""
    task, rng = ProgramEvaluation(kind, nesting, length, sizes=sizes), np.random.default_rng(5)
    batches, size = 300, 10
    inputs, targets = task.scored.sample(batches * size, rng)
    texts, answers = task.read(inputs), list(map(answer_of, targets))
    asked = np.array([len(answer) + 1 for answer in answers]).reshape(batches, size).sum(axis=1)
    scores = task.shortcuts()
    assert len(scores) <= 5 and list(scores)[0] == "chance" and scores["chance"] == 1 / 11
    for name, score in scores.items():
        guesses = played(task, name, texts, answers, targets, rng)
        right = [sum(p == q for p, q in zip(guess, answer + "."))
                 for guess, answer in zip(guesses, answers, strict=True)]  # fmt: skip
        right = np.array(right).reshape(batches, size).sum(axis=1)
        sigma = (right - score * asked).std() / asked.mean() / np.sqrt(batches)
        sigma *= np.sqrt(2)  # at most: the score itself comes from as many examples or more
        # the most likely characters are found and scored on the same examples: that flatters
        slack = 0.01 if name.startswith("most") else 1e-9
        found = right.sum() / asked.sum()
        assert abs(found - score) < 4 * sigma + slack, (name, found, score)


def test_shortcuts_known_in_closed_form():
    for length in (1, 2, 7):
        copy = ProgramEvaluation("copy", 1, length, sizes="fixed").shortcuts()
        score = copy["right length, digits at random"]
        assert score == pytest.approx((length / 10 + 1) / (length + 1))
        again, sigma = (1 + (length - 1) / 10 + 1) / (length + 1), 0.3 / np.sqrt(10_000)
        score = copy["the first digit again and again"]
        assert score == pytest.approx(again, abs=4 * sigma)
    rules = list(ProgramEvaluation("double", 1, 3, sizes="fixed").shortcuts())
    once = "the digits once, then the first again and again"
    assert rules[3:] == ["the first digit again and again", once]
    assert "innermost operation only" not in ProgramEvaluation("add", 1, 3).shortcuts()
    assert "innermost operation only" in ProgramEvaluation("add", 2, 3).shortcuts()


@pytest.mark.parametrize("kind", NUMBERS + COPIES)
def test_no_rule_solves_the_task(kind):
    scores = ProgramEvaluation(kind, 1, 3, sizes="fixed").shortcuts()
    assert all(0 < score < 0.85 for score in scores.values())


# --- In words and as a picture ---------------------------------------------------------------
@quick
@given(tasks(), seeds)
def test_describe_tells_the_answer_and_every_operation(task, seed):
    inputs, targets = sample(task, 1, seed)
    first, *lines, last = task.describe(inputs[0]).splitlines()
    (text,) = texts_of(task, inputs)
    assert first == f"{task.kind}: {text}"
    answer = f"{answer_of(targets[0])}, then the end mark."
    assert last == f"What are the characters of the answer? {answer}"
    if task.kind in COPIES:
        assert not lines
        return
    assert len(lines) == len(layers(text))
    modulus, value = modulus_of(task, text), None
    for i, line in enumerate(lines, 1):
        found = re.fullmatch(rf"operation {i}: (.*) gives (-?\d+)(?:, mod {modulus}: (\d+))?", line)
        says, result, reduced = found.groups()
        assert work_out(says) == int(result)
        assert (reduced is None) == (0 <= int(result) < modulus)
        assert value is None or value in re.findall(r"\d+", says)  # the one before is used
        value = reduced or result
        assert int(value) == int(result) % modulus
    assert value == answer_of(targets[0])


@pytest.mark.parametrize(
    "sizes", [("add", 1, 2), ("program", 2, 3), ("program", 3, 6), ("double", 1, 45)]
)
def test_draw(sizes):
    task = ProgramEvaluation(*sizes)
    inputs, targets = sample(task, 1, 1)
    (axis,) = drawn(task, inputs[0])
    answer, (text,) = answer_of(targets[0]), texts_of(task, inputs)
    note = "grey: empty step"
    shown = re.search("the answer is (.*)", axis.get_title(loc="left"))[1]
    assert shown == answer or (len(answer) > 40 and answer.startswith(shown.split("…")[0]))
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[0] == ("input from step 1" if len(labels) > 2 else "input")
    assert labels[1::2] == ["target"] * (len(labels) // 2)
    places = [cell.get_position() for cell in axis.texts]
    cells = {(round(y), round(x)): cell.get_text() for (x, y), cell in zip(places, axis.texts)}
    in_rows = [cells[y, x] for which in (0, 1) for y, x in sorted(cells) if y % 3 == which]
    given_, wanted = "".join(in_rows[: task.num_inputs]), "".join(in_rows[task.num_inputs :])
    assert given_.strip() == text.replace(" ", "␣") + "?" * task.answer_steps
    assert wanted.rstrip("–") == answer + "■"
    edges = axis.figure.bbox.padded(1)
    words = [child for child in axis.get_children() if isinstance(child, Text)]
    (title,) = (child for child in words if note in child.get_text())
    for artist in (title, axis.xaxis.label, *axis.get_yticklabels()):
        box = artist.get_window_extent()
        assert edges.x0 <= box.x0 and box.x1 <= edges.x1
        assert edges.y0 <= box.y0 and box.y1 <= edges.y1


def test_repr_says_every_size():
    said = "kind='add', nesting=1, length=2, sizes='mix'"
    assert repr(ProgramEvaluation()) == f"ProgramEvaluation({said})"
