"""Story questions against a brute force with dictionaries, for sizes and seeds that hypothesis
chooses."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_checks import assert_even, check_agreement, drawn, few, hot, quick, sample, seeds

from rrnn.tasks import StoryQA


@st.composite
def tasks(draw):
    sizes = st.tuples(*(st.integers(*ends) for ends in ((1, 4), (1, 3), (2, 6), (2, 12))))
    return StoryQA(*draw(sizes), two_hop=draw(st.sampled_from([0, 0.5, 1.0])))


STANDARD = StoryQA()  # one for all tests: it measures its shortcuts once


def read(task, inputs_i):
    """Action, person, object and place (None where there is none) of every step of one example, as
    encoded."""
    cuts = np.cumsum([4, task.num_people, task.num_objects])
    steps = [[hot(part.tolist()) for part in np.split(row, cuts)] for row in inputs_i]
    return [(("went", "took", "dropped", "asked")[action], *rest) for action, *rest in steps]


def play(steps):
    """The world after the facts, with every rule of the world checked on the way: where each person
    is, who holds what, and where what was dropped lies."""
    at, holds, lies = {}, {}, {}
    for action, person, thing, place in steps:
        if action == "went":
            assert thing is None and place is not None
            assert at.get(person) != place
            at[person] = place
            continue
        assert place is None and thing is not None
        if action == "took":
            assert person in at  # a taker has a place
            assert thing not in holds  # nobody takes what is held
            assert lies.get(thing, at[person]) == at[person]  # what lies somewhere is taken there
            holds[thing] = person
            lies.pop(thing, None)
        else:
            assert action == "dropped" and holds[thing] == person  # only the holder drops
            del holds[thing]
            lies[thing] = at[person]
    return at, holds, lies


def brute_force(task, inputs_i):
    *facts, (action, person, thing, place) = read(task, inputs_i)
    at, holds, lies = play(facts)
    assert action == "asked" and place is None and (person is None) != (thing is None)
    if thing is None:
        return at[person]
    return at[holds[thing]] if thing in holds else lies[thing]


@quick
@given(tasks(), seeds, few)
def test_targets_oracle_and_brute_force_agree(task, seed, batch_size):
    check_agreement(task, lambda task, inputs_i: [brute_force(task, inputs_i)], seed, batch_size)


@quick
@given(tasks(), seeds, few)
def test_encoding(task, seed, batch_size):
    inputs, targets = sample(task, batch_size, seed)
    assert task.input_size == 4 + task.num_people + task.num_objects + task.num_places
    assert task.output_size == task.num_places and task.target_kind == "class"
    assert task.num_inputs == task.num_facts + 1
    assert inputs.dtype == np.float32
    assert inputs.shape == (batch_size, task.num_inputs, task.input_size)
    assert targets.dtype == np.int64 and targets.shape == (batch_size, 1)
    assert targets.min() >= 0 and targets.max() < task.num_places
    for inputs_i in inputs:
        steps = read(task, inputs_i)
        assert [action for action, *_ in steps].count("asked") == 1
        if task.two_hop in (0, 1):
            assert (steps[-1][2] is not None) == bool(task.two_hop)


@pytest.mark.parametrize("sizes", [(3, 2, 5, 16), (4, 3, 6, 30), (1, 1, 2, 2), (2, 2, 3, 5)])
def test_solve_is_always_right(sizes):
    inputs, targets = sample(StoryQA(*sizes, two_hop=0.7), 10_000, 3)
    np.testing.assert_array_equal(StoryQA(*sizes).solve(inputs), targets)
    for inputs_i, target in zip(inputs[:100], targets[:100, 0], strict=True):
        assert brute_force(StoryQA(*sizes), inputs_i) == target


@quick
@given(seeds)
def test_new_names_give_the_answer_under_its_new_name(seed):
    """People, objects and places are only names: exchanging them exchanges the answers, whoever
    asks."""
    task, rng = StoryQA(4, 3, 5, 12, two_hop=0.7), np.random.default_rng(seed)
    inputs, targets = sample(task, 30, seed)
    people, things, places = (rng.permutation(size) for size in (4, 3, 5))
    order = np.concatenate([np.arange(4), 4 + people, 8 + things, 11 + places])
    np.testing.assert_array_equal(task.solve(inputs[..., order]), places.argsort()[targets])


def test_the_question_decides():
    """Another object that was touched, another answer."""
    task = StoryQA(4, 3, 6, 20)
    for inputs_i in sample(task, 50, 0).inputs:
        at, holds, lies = play(read(task, inputs_i)[:-1])
        for thing in holds.keys() | lies.keys():
            inputs_i[-1, 8:11] = np.eye(3)[thing]
            right = at[holds[thing]] if thing in holds else lies[thing]
            assert task.solve(inputs_i[None])[0, 0] == right


def test_a_story_by_hand():
    """Held things move along, dropped things stay, and who takes a thing again takes it along."""
    facts = [(0, 0, -1, 2), (1, 0, 1, -1), (0, 0, -1, 0), (2, 0, 1, -1), (0, 1, -1, 0),
             (1, 1, 1, -1), (0, 1, -1, 1)]  # fmt: skip
    for num_facts, answer in [(2, 2), (3, 0), (4, 0), (5, 0), (6, 0), (7, 1)]:
        story = [*facts[:num_facts], (3, -1, 1, -1)]
        parts = zip(zip(*story), (4, 2, 2, 3))
        one_hots = [np.equal.outer(part, np.arange(size)) for part, size in parts]
        inputs = np.concatenate(one_hots, axis=1).astype(np.float32)
        task = StoryQA(2, 2, 3, num_facts)
        assert task.solve(inputs[None]).tolist() == [[answer]]
        assert brute_force(task, inputs) == answer


# --- What is drawn evenly --------------------------------------------------------------------
# the short ones force a "took" often
@pytest.mark.parametrize("sizes", [(3, 2, 5, 16), (2, 1, 2, 2), (3, 2, 4, 3)])
@pytest.mark.parametrize("two_hop", [0.0, 1.0])
def test_answers_names_and_first_walks_are_even(sizes, two_hop):
    task, size = StoryQA(*sizes, two_hop=two_hop), 20_000
    inputs, targets = sample(task, size, 5)
    assert_even(np.bincount(targets[:, 0], minlength=task.num_places))
    cuts = np.cumsum([4, task.num_people, task.num_objects])
    action, people, things, places = np.split(inputs, cuts, axis=-1)
    assert_even((things if two_hop else people)[:, -1].sum(axis=0))
    assert action[:, 0, 0].all()  # the first fact is a "went"
    assert_even(people[:, 0].sum(axis=0))
    assert_even(places[:, 0].sum(axis=0))


def test_choices_among_what_is_possible_are_even():
    """Whoever walks goes to each other place alike; whoever may take something takes each possible
    thing alike; among touched objects each is asked alike, held or not."""
    task, questions = StoryQA(3, 2, 4, 12, two_hop=0.5), 0
    turns, taken, asked = Counter(), Counter(), Counter()
    inputs, _ = sample(task, 2500, 6)
    for inputs_i in inputs:
        *facts, (_, _, thing, _) = read(task, inputs_i)
        at, holds, lies = {}, {}, {}
        for action, person, what, place in facts:
            if action == "went":
                if person in at:
                    turns[(place - at[person]) % 4] += 1
                at[person] = place
            elif action == "took":
                choices = [(p, o) for p in at for o in (0, 1)
                           if o not in holds and lies.get(o, at[p]) == at[p]]  # fmt: skip
                if len(choices) == 4:
                    taken[sorted(choices).index((person, what))] += 1
                holds[what] = person
                lies.pop(what, None)
            else:
                lies[what] = at[holds.pop(what)]
        questions += thing is not None
        if thing is not None and len(holds) == len(lies) == 1:
            asked[thing in holds] += 1
    assert 0 not in turns
    for counts, kinds in ((turns, 3), (taken, 4), (asked, 2)):
        assert len(counts) == kinds and sum(counts.values()) > 300
        assert_even(counts.values())
    assert abs(questions / 2500 - 0.5) < 4 * 0.5 / np.sqrt(2500)


def test_share_of_two_hop_questions():
    inputs, _ = sample(StoryQA(two_hop=0.3), 20_000, 1)
    share = inputs[:, -1, 7:9].any(axis=-1).mean()
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 20_000)


# --- Shortcuts: the rules played out ---------------------------------------------------------
def played_out(task, inputs_i):
    """The answers of the rules of shortcuts(), chance left out, in their order, by walking through
    the story."""
    *facts, (_, _, thing, _) = read(task, inputs_i)
    at, last, who, then, held, carried = {}, None, None, None, False, None
    for action, person, what, place in facts:
        if action == "went":
            at[person] = last = place
            carried = place if held else carried
        elif what == thing:
            who, held = person, action == "took"
            then = carried = at[person]
    if thing is None:
        truth = brute_force(task, inputs_i)
        return last, truth, truth, truth
    return last, then, at[who], carried


@pytest.mark.parametrize(
    "task", [STANDARD, StoryQA(4, 3, 6, 9, two_hop=0.6), StoryQA(2, 2, 3, 5)], ids=repr
)
def test_shortcuts_played_out(task):
    """Each rule on 2,500 examples, within 4 sigma of what shortcuts() measured on 20,000."""
    size = 2500
    inputs, targets = sample(task, size, 7)
    chance, *rules = task.shortcuts().items()
    assert chance == ("chance", 1 / task.num_places) and len(rules) == 4
    answers = np.array([played_out(task, inputs_i) for inputs_i in inputs])
    for (rule, score), guesses in zip(rules, answers.T, strict=True):
        sigma = np.sqrt(score * (1 - score) * (1 / size + 1 / 20_000))
        assert abs((guesses == targets[:, 0]).mean() - score) < 4 * sigma, rule


def test_shortcuts_are_low():
    assert max(STANDARD.shortcuts().values()) < 0.8
    one_hop = StoryQA(num_facts=8, two_hop=0).shortcuts()
    assert one_hop["last place named"] < 0.7 and set(list(one_hop.values())[2:]) == {1}


# --- In words and as a picture ---------------------------------------------------------------
def retold(task, text):
    """The answer to a described story, from its words alone, and the answer that it gives."""
    *lines, question = text.splitlines()
    at, holds, lies = {}, {}, {}
    for t, line in enumerate(lines, 1):
        form = r"step (\d+): (.+) (went to|took|dropped) (.+)\."
        step, person, action, what = re.fullmatch(form, line).groups()
        assert int(step) == t
        if action == "went to":
            at[person] = what
        elif action == "took":
            holds[what] = person
        else:
            lies[what] = at[holds.pop(what)]
    asked, answer = re.fullmatch(r"Where is (.+)\? In (.+)\.", question).groups()
    if asked in at:
        return at[asked], answer
    return at[holds[asked]] if asked in holds else lies[asked], answer


@quick
@given(tasks(), seeds)
def test_describe_tells_the_story_and_the_answer(task, seed):
    inputs, targets = sample(task, 1, seed)
    text = task.describe(inputs[0])
    assert len(text.splitlines()) == task.num_inputs
    by_words, answer = retold(task, text)
    assert by_words == answer == task.NAMES["place"][targets[0, 0]]


def test_names():
    for names in StoryQA.NAMES.values():
        initials = [name.removeprefix("the ")[0] for name in names]
        assert len(set(initials)) == len(names)
    task = StoryQA(30, 30, 30, 60)
    texts = [task.describe(inputs_i) for inputs_i in sample(task, 20, 0).inputs]
    for text in texts:
        by_words, answer = retold(task, text)
        assert by_words == answer
    for name in ("person 9", "person 12", "object 30", "place 11"):
        assert any(re.search(rf"\b{name}\b", text) for text in texts)
    never = r"(person|object) [1-8]\b|place ([1-9]|10)\b|place 31"  # these have names
    assert not re.search(never, "\n".join(texts))


@pytest.mark.parametrize(
    "task",
    [STANDARD, StoryQA(1, 1, 2, 2), StoryQA(9, 9, 12, 45), StoryQA(12, 12, 12, 25),
     StoryQA(two_hop=0.0)],
    ids=repr,
)  # fmt: skip
def test_draw(task):
    inputs, targets = sample(task, 1, 0)
    (axis,) = drawn(task, inputs[0])
    rows = axis.get_yticklabels()
    assert axis.get_xlabel() == "step" and len(rows) == task.num_people + task.num_objects
    assert axis.get_title().splitlines()[0] == task.describe(inputs[0]).splitlines()[-1]
    (asked,) = [label.get_text() for label in rows if label.get_fontweight() == "bold"]
    assert f"Where is {asked}?" in axis.get_title()
    letters = [text.get_text() for text in axis.texts
               if text.get_position()[0] == task.num_inputs]  # fmt: skip
    name = task.names("place")[targets[0, 0]]
    assert letters[0] in (name[4:5].upper(), name.split()[-1])  # the answer, and only that
    assert not any(letters[1:])
    edges = axis.figure.bbox
    for artist in [axis.title, axis.xaxis.label, *axis.get_xticklabels(), *rows, axis.get_legend()]:
        box = artist.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= edges.x1 and box.y1 <= edges.y1, artist


def test_repr_says_every_size():
    said = "num_people=3, num_objects=2, num_places=5, num_facts=16, two_hop=1.0"
    assert repr(StoryQA()) == f"StoryQA({said})"
