"""Training: it learns, it repeats itself to the last bit, it survives being killed, and it stops
where it should."""

import json
import subprocess
import sys
from pathlib import Path

import models
import numpy as np
import pytest
from models import each_model

from rrnn import training
from rrnn.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from rrnn.lstm import LSTM
from rrnn.model import Batch
from rrnn.tasks import NthFarthest, ProgramEvaluation
from rrnn.training import Adam, History, evaluate, train

SMALL = NthFarthest(2, 3)
EASY = NthFarthest(2, 1, dims=3)
SETTINGS = {
    "batch_size": 8, "warmup": 5, "eval_every": 10, "eval_examples": 50, "checkpoint_every": 10,
    "progress": False,
}  # fmt: skip


def new(name, **options):
    """A model of the size of the task, in the kind of numbers that training has."""
    sizes = {"input_size": SMALL.input_size, "output_size": SMALL.output_size}
    return models.MODELS[name](**(sizes | {"dtype": np.float32} | options))


def lstm(**options):
    return new("lstm", **options)


def run(model, steps=30, task=SMALL, **changes):
    return train(model, task, steps, **(SETTINGS | changes))


def same_history(one, other):
    """Equal but for the seconds."""
    for name in set(History._fields) - {"seconds"}:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


class Fixed:
    """A task that always gives the same batch, and notes which batches were asked for."""

    input_size, output_size = SMALL.input_size, SMALL.output_size

    def __init__(self, kind="class", size=16, seed=0):
        self.target_kind, self.sizes = kind, []
        self.batch = SMALL.sample(size, np.random.default_rng(seed))
        if kind == "number":
            numbers = np.sin(self.batch.inputs.sum(axis=1))[:, None, :2]
            self.batch = Batch(self.batch.inputs, numbers)

    def sample(self, batch_size, rng):
        self.sizes.append(batch_size)
        return self.batch

    def __repr__(self):
        return f"Fixed({self.target_kind!r})"


class Hooked:
    """SMALL, which calls hook(step) before training step number `step` gets its batch."""

    input_size, output_size, target_kind = SMALL.input_size, SMALL.output_size, "class"

    def __init__(self, hook):
        self.hook, self.step = hook, -1  # the first sample is the held-out set

    def sample(self, batch_size, rng):
        self.step += 1
        if self.step and batch_size == SETTINGS["batch_size"]:
            self.hook(self.step)
        return SMALL.sample(batch_size, rng)

    def __repr__(self):
        return "Hooked()"


# --- Adam ------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_as_the_paper_writes_it(dtype):
    rng = np.random.default_rng(0)
    flat = rng.normal(size=20).astype(dtype)
    adam, theta = Adam(flat, 0.01, betas=(0.8, 0.95), eps=1e-6), flat.astype(float)
    m, v = np.zeros(20), np.zeros(20)
    for t, rate in enumerate([0.01, 0.01, 0.5, 0.0, 0.01], 1):
        g = rng.normal(size=20).astype(dtype)
        kept = g.copy()
        adam.step(g) if rate == 0.01 else adam.step(g, learning_rate=rate)
        np.testing.assert_array_equal(g, kept)
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g.astype(float) ** 2
        theta -= rate * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)
        rtol = 1e-5 if dtype == np.float32 else 1e-13
        np.testing.assert_allclose(flat, theta, rtol=rtol, atol=1e-6)
    assert adam.flat is flat and flat.dtype == dtype


def test_the_first_step_of_adam_is_the_learning_rate():
    flat = np.zeros(3)
    Adam(flat).step(np.array([1e-3, -5.0, 100.0]))
    np.testing.assert_allclose(flat, [-1e-3, 1e-3, -1e-3], rtol=1e-4)


# --- Learning --------------------------------------------------------------------------------
@each_model
def test_overfits_one_batch(name):
    task = Fixed()
    history = run(new(name), 300, task, learning_rate=0.02, eval_every=100)
    assert history.loss[-1] < 0.05 and history.score[-1] == 1
    assert set(task.sizes) == {8, 50}  # batches, and the held-out set


@each_model
def test_numbers_are_learned_too(name):
    task, model = Fixed("number"), new(name)
    before = evaluate(model, task)
    assert before.keys() == {"loss", "error"}
    assert before["error"] == pytest.approx(np.sqrt(before["loss"]))
    history = run(model, 300, task, learning_rate=0.02, eval_every=100)
    assert history.score[-1] < 0.15 < 0.3 < before["error"]
    assert history.score[-1] == pytest.approx(np.sqrt(history.loss[-1]))
    assert evaluate(model, task)["error"] == pytest.approx(history.score[-1])


def test_every_step_draws_new_examples():
    seen = []

    class Task(Hooked):
        def sample(self, batch_size, rng):
            batch = super().sample(batch_size, rng)
            seen.append(batch.inputs.copy())
            return batch

    run(lstm(), 5, Task(lambda step: None))
    assert [len(inputs) for inputs in seen] == [50, 8, 8, 8, 8, 8]
    assert len({inputs[:8].tobytes() for inputs in seen}) == 6


@pytest.mark.parametrize("clip_norm", [None, 1e-3, 1e6])
@pytest.mark.parametrize("warmup", [0, 4])
def test_train_is_adam_with_warmup_and_clipping(warmup, clip_norm):
    """The whole loop written out."""
    task, model, copy = Fixed(), lstm(dtype=np.float64), lstm(dtype=np.float64)
    run(model, 7, task, warmup=warmup, clip_norm=clip_norm, learning_rate=0.01)
    adam = Adam(copy.flat, 0.01)
    for step in range(1, 8):
        _, grads, _ = copy.loss_and_grads(task.batch)
        grad = np.concatenate([grads[name].ravel() for name in copy.params])
        length = np.linalg.norm(grad)
        assert 1e-3 < length < 1e6
        if clip_norm is not None and length > clip_norm:
            grad *= clip_norm / length
        adam.step(grad, 0.01 * min(1, step / max(warmup, 1)))
    np.testing.assert_allclose(model.flat, copy.flat, rtol=1e-9, atol=1e-12)


@pytest.fixture
def rates(monkeypatch):
    """The learning rates that Adam is given, step by step."""
    given, honest = [], Adam.step

    def step(self, grad_flat, learning_rate=None):
        given.append(learning_rate)
        return honest(self, grad_flat, learning_rate)

    monkeypatch.setattr(Adam, "step", step)
    return given


@pytest.mark.parametrize(
    ("steps", "warmup", "schedule"),
    [(50, 5, "decay"), (10, 20, "decay"), (20, 0, "decay"), (50, 5, "constant"),
     (20, 0, "constant"), (20, 1, "constant")],
)  # fmt: skip
def test_the_rate_of_every_step(rates, steps, warmup, schedule):
    """Up in a straight line, then constant; with a decay, down in a straight line over the last 40%
    of the steps. Neither line waits for the other."""
    run(lstm(), steps, learning_rate=0.01, warmup=warmup, schedule=schedule)
    step = np.arange(1, steps + 1)
    up = np.minimum(1, step / max(warmup, 1))
    down = np.minimum(1, (steps - step) / (0.4 * steps)) if schedule == "decay" else 1
    np.testing.assert_allclose(rates, 0.01 * up * down, rtol=1e-12, atol=1e-18)


def test_the_first_the_turning_and_the_last_step_of_a_decay(rates):
    run(lstm(), 50, learning_rate=0.01, schedule="decay")
    first, turning, after, last = (rates[step - 1] for step in (1, 30, 31, 50))
    assert [first, turning, after] == pytest.approx([0.002, 0.01, 0.0095])
    assert last == 0 < rates[-2] == pytest.approx(0.01 / 20)
    decayed, rates[:] = list(rates), []
    run(lstm(), 50, learning_rate=0.01)  # by default the rate stays
    assert rates[:30] == decayed[:30] and set(rates[4:]) == {0.01}


@each_model
def test_two_workers_train_to_the_same_parameters(name):
    one, two = (new(name, dtype=np.float64) for _ in range(2))
    history, other = run(one, 15), run(two, 15, workers=2)
    np.testing.assert_allclose(two.flat, one.flat, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.loss, history.loss, rtol=1e-6)


@each_model
def test_training_repeats_itself(name):
    one, two, other = (new(name) for _ in range(3))
    history = run(one)
    same_history(history, run(two))
    np.testing.assert_array_equal(one.flat, two.flat)
    run(other, seed=1)
    assert not np.array_equal(one.flat, other.flat)


def test_random_state_of_the_process_does_not_matter():
    one, two = lstm(), lstm()
    run(one, 5)
    state = np.random.get_state()[1].copy()
    np.random.seed(3)
    run(two, 5)
    np.testing.assert_array_equal(one.flat, two.flat)
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    run(lstm(), 5)
    assert np.random.random() == expected and state.size


# --- The history, the held-out set, the curriculum and patience ------------------------------
def test_history():
    history = run(lstm(), 35)
    assert isinstance(history, History)
    assert history._fields[:5] == ("step", "examples", "seconds", "loss", "score")
    assert all(isinstance(column, np.ndarray) and column.shape == (4,) for column in history)
    assert history.step.tolist() == [10, 20, 30, 35]
    np.testing.assert_array_equal(history.examples, 8 * history.step)
    assert history.seconds[0] > 0 and (np.diff(history.seconds) > 0).all()
    assert ((0 <= history.score) & (history.score <= 1)).all() and (history.loss > 0).all()


def test_the_held_out_set_is_fixed():
    """The same for every model, however it is trained; so a model that does not move has the same
    score for ever."""
    standing = run(lstm(), 40, learning_rate=1e-30)
    assert len(set(standing.loss)) == len(set(standing.score)) == 1
    other = run(lstm(), 1, learning_rate=1e-30, batch_size=3, eval_every=7)
    assert other.loss[0] == standing.loss[0]
    assert run(lstm(), 1, learning_rate=1e-30, seed=5).loss[0] != standing.loss[0]


def test_how_often_it_is_scored_changes_nothing():
    one, two = lstm(), lstm()
    run(one, 20, eval_every=3, eval_examples=7)
    run(two, 20)
    np.testing.assert_array_equal(one.flat, two.flat)


def test_the_curriculum_moves_on_at_its_score():
    """A stage that no score is too low for takes about 100 steps; one that asks too much lasts for
    ever."""
    history = run(lstm(), 400, curriculum=[(EASY, 0.0), (SMALL, 0.0)], eval_every=20)
    assert set(np.diff(history.stage)) <= {0, 1}
    assert history.stage[0] == 0 and history.stage[-1] == 2
    first = history.step[(history.stage == 1).argmax()]
    second = history.step[(history.stage == 2).argmax()]
    assert 60 <= first <= 160 and 60 <= second - first <= 160
    assert (run(lstm(), 300, curriculum=[(EASY, 1.01)], eval_every=50).stage == 0).all()


def test_the_curriculum_draws_from_its_tasks():
    """Until it moves on, training is on the first task: the same parameters as without what
    follows."""
    one, two, three = lstm(), lstm(), lstm()
    run(one, 20, task=EASY)
    run(two, 20, curriculum=[(EASY, 2.0)])
    run(three, 20)
    np.testing.assert_array_equal(one.flat, two.flat)
    assert not np.array_equal(three.flat, two.flat)


def test_the_score_of_a_curriculum_of_numbers_is_an_error():
    for error, stage in ((100.0, 1), (-1.0, 0)):  # below 100: good enough
        curriculum = [(Fixed("number"), error)]
        history = run(lstm(), 200, Fixed("number"), curriculum=curriculum, eval_every=200)
        assert history.stage[-1] == stage


def test_patience():
    history = run(lstm(), 1000, learning_rate=1e-30, patience=3)
    assert history.step.tolist() == [10, 20, 30, 40]  # the first is the best, three more no better
    history = run(lstm(), 60, task=Fixed("number"), learning_rate=1e-3, patience=1)
    assert history.step[-1] == 60  # an error that falls is a better score
    history = run(lstm(), 50, learning_rate=1e-30, patience=1, curriculum=[(EASY, 2.0)])
    assert history.step[-1] == 50  # not before the last stage


def test_patience_and_resume(tmp_path):
    path = tmp_path / "run.npz"
    options = {"learning_rate": 1e-30, "patience": 2, "checkpoint_every": 10_000}
    history = run(lstm(), 1000, checkpoint=path, **options)
    again = run(lstm(), 2000, checkpoint=path, **options)
    same_history(history, again)
    assert history.step[-1] == 30


def test_progress_false_prints_nothing(capfd):
    run(lstm(), 12)
    assert capfd.readouterr() == ("", "")


def test_progress_shows_a_bar(capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    run(lstm(), 12, progress=True)
    out, err = capfd.readouterr()
    assert "12/12" in out + err and "score" in out + err


# --- evaluate --------------------------------------------------------------------------------
@each_model
def test_evaluate(name):
    model = new(name)
    before = model.flat.copy()
    found = evaluate(model, SMALL, examples=700, seed=4)
    assert found == evaluate(model, SMALL, examples=700, seed=4)
    assert found != evaluate(model, SMALL, examples=700, seed=5)
    np.testing.assert_array_equal(model.flat, before)
    assert found.keys() == {"loss", "accuracy"}
    batch = SMALL.sample(700, np.random.default_rng(4))
    outputs = model.forward(batch.inputs, return_sequences=False)
    right = (outputs.argmax(axis=1) == batch.targets[:, 0]).mean()
    assert found["accuracy"] == pytest.approx(right)
    assert found["loss"] == pytest.approx(model.loss_and_grads(batch)[0], rel=1e-5)


def test_evaluate_weighs_every_asked_target_alike():
    """700 examples go through the model in parts; those that ask less must not count more."""

    class Uneven(Fixed):
        def __init__(self):
            super().__init__(size=700)
            targets = np.concatenate([1 - self.batch.targets, self.batch.targets], axis=1)
            targets[:400, 0] = targets[600:] = -1
            self.batch = Batch(self.batch.inputs, targets)

    model, task = lstm(dtype=np.float64), Uneven()
    loss, _, metrics = model.loss_and_grads(task.batch)
    assert evaluate(model, task) == pytest.approx(metrics | {"loss": loss}, rel=1e-10)


# --- Checkpoints -----------------------------------------------------------------------------
CURRICULUM = [(EASY, 0.0)]
KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
import test_training as t

class Killer(t.NthFarthest):
    step = -1
    def sample(self, batch_size, rng):
        if batch_size == 8:
            Killer.step += 1
            if Killer.step == {at}:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(batch_size, rng)

t.run(t.new({name!r}), {steps}, Killer(2, 3), checkpoint={checkpoint!r}, schedule={schedule!r},
      curriculum=[(Killer(2, 1, dims=3), 0.0)] if {curriculum} else None)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("name", "curriculum", "schedule", "at", "steps"),
    [("core", False, "constant", 27, 40), ("lstm", True, "constant", 97, 130),
     ("normed lstm", False, "decay", 37, 45)],
)  # fmt: skip
def test_killed_and_resumed(tmp_path, name, curriculum, schedule, at, steps):
    """SIGKILL between two checkpoints: with a curriculum while its running score is half gathered,
    with a decay after its turning point."""
    checkpoint, here = tmp_path / "run.npz", Path(__file__).parent
    paths = [str(here), str(here.parent), str(Path(training.__file__).parent.parent)]
    code = KILLED.format(path=paths, at=at, name=name, checkpoint=str(checkpoint), steps=steps,
                         curriculum=curriculum, schedule=schedule)  # fmt: skip
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert process.returncode == -9, process.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]
    saved, _ = load_checkpoint(checkpoint)
    resumed, whole = new(name), new(name)
    options = {"curriculum": CURRICULUM if curriculum else None, "schedule": schedule}
    history = run(resumed, steps, checkpoint=checkpoint, **options)
    expected = run(whole, steps, **options)
    assert not np.array_equal(saved.flat, whole.flat)
    np.testing.assert_array_equal(resumed.flat, whole.flat)
    same_history(history, expected)
    assert (np.diff(history.seconds) > 0).all()
    assert set(expected.stage) == ({0, 1} if curriculum else {0})


@each_model
@pytest.mark.parametrize("checkpoint_every", [7, 10, 1000])
def test_in_two_parts_is_the_same_as_at_once(tmp_path, name, checkpoint_every):
    """steps, progress, checkpoint and checkpoint_every are not part of the run's identity."""
    path, parts, whole = tmp_path / "run.npz", new(name), new(name)
    first = run(parts, 25, checkpoint=path, checkpoint_every=checkpoint_every)
    assert first.step.tolist() == [10, 20, 25]
    path = path.rename(tmp_path / "moved.npz")
    history = run(new(name), 40, checkpoint=str(path), checkpoint_every=3)
    expected = run(whole, 40)
    same_history(history, expected)
    np.testing.assert_array_equal(load_checkpoint(path)[0].flat, whole.flat)
    assert history.seconds[0] == first.seconds[0]  # seconds add up
    done = new(name)
    same_history(run(done, 40, checkpoint=path), expected)  # a finished run is only loaded
    np.testing.assert_array_equal(done.flat, whole.flat)


def test_a_first_memory_that_was_assigned_is_resumed_too(tmp_path):
    own = lambda: models.own_memory(new("core"))
    resumed, whole, path = new("core"), own(), tmp_path / "run.npz"
    run(own(), 10, checkpoint=path)
    run(resumed, 20, checkpoint=path)
    run(whole, 20)
    np.testing.assert_array_equal(resumed.flat, whole.flat)
    np.testing.assert_array_equal(resumed.first_memory, whole.first_memory)


def test_asking_for_the_step_at_which_it_was_interrupted(tmp_path):
    """A run for 1000 steps stops at 27, after the checkpoint of step 20 or 15; then that many steps
    are asked for."""

    def stop(step):
        if step == 27:
            raise KeyboardInterrupt

    for steps, every in ((20, 10), (15, 15)):
        path = tmp_path / f"{steps}.npz"
        with pytest.raises(KeyboardInterrupt):
            run(lstm(), 1000, Hooked(stop), checkpoint=path, checkpoint_every=every)
        history = run(lstm(), steps, Hooked(stop), checkpoint=path, checkpoint_every=every)
        same_history(history, run(lstm(), steps, Hooked(stop)))


OTHER_RUNS = {
    "batch_size": 9, "learning_rate": 2e-3, "warmup": 6, "clip_norm": None, "seed": 1,
    "eval_every": 11, "eval_examples": 51, "curriculum": CURRICULUM, "patience": 100, "workers": 2,
    "task": NthFarthest(2, 2, dims=3), "schedule": "decay",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run.npz"
    run(lstm(), 20, checkpoint=path)
    return path


@pytest.mark.parametrize("argument", OTHER_RUNS)
def test_the_checkpoint_of_another_run_is_refused(finished, argument):
    model, file = lstm(), finished.read_bytes()
    before = model.flat.copy()
    with pytest.raises(CheckpointError, match="another run"):
        run(model, 30, checkpoint=finished, **{argument: OTHER_RUNS[argument]})
    np.testing.assert_array_equal(model.flat, before)
    assert finished.read_bytes() == file
    run(lstm(), 20, checkpoint=finished)


@pytest.mark.parametrize(
    "model",
    [
        new("core"), new("normed lstm"), lstm(seed=1), lstm(dtype=np.float64),
        lstm(readout_sizes=(3,)), lstm(hidden_size=9),
    ],
    ids=repr,
)  # fmt: skip
def test_the_checkpoint_of_another_model_is_refused(finished, model):
    with pytest.raises(CheckpointError, match="another run"):
        run(model, 30, checkpoint=finished)


def test_with_a_decay_how_long_it_is_says_which_run_it_is(tmp_path):
    """Not so without one: then the same path is gone all the way, only further."""
    path = tmp_path / "run.npz"
    identity = lambda steps, kind: training.Run(lstm(), SMALL, steps, schedule=kind).identity
    assert identity(20, "constant") == identity(30, "constant")
    assert len({identity(20, "constant"), identity(20, "decay"), identity(30, "decay")}) == 3
    history = run(lstm(), 20, checkpoint=path, schedule="decay")
    for steps, schedule in ((30, "decay"), (20, "constant"), (10, "decay")):
        with pytest.raises(CheckpointError, match="another run"):
            run(lstm(), steps, checkpoint=path, schedule=schedule)
    same_history(run(lstm(), 20, checkpoint=path, schedule="decay"), history)
    assert json.loads(identity(20, "constant"))[-1] == 1  # the workers: as without a schedule


def test_checkpoints_that_no_run_can_go_on_from(finished, tmp_path):
    with pytest.raises(CheckpointError, match="20.*10"):
        run(lstm(), 10, checkpoint=finished)  # it is past that
    save_checkpoint(tmp_path / "model.npz", lstm())
    with pytest.raises(CheckpointError, match="run"):
        run(lstm(), 10, checkpoint=tmp_path / "model.npz")
    (tmp_path / "text.npz").write_text("step,loss")
    with pytest.raises(CheckpointError):
        run(lstm(), 10, checkpoint=tmp_path / "text.npz")
    assert (tmp_path / "text.npz").read_text() == "step,loss"


def test_numpy_sizes_train(tmp_path):
    """Constructors take NumPy's whole numbers; so do train and its checkpoints."""
    model = LSTM(np.int64(SMALL.input_size), np.int64(5), np.int64(2), seed=np.int64(3))
    sizes = {"batch_size": np.int64(8), "seed": np.int64(0)}
    run(model, np.int64(5), checkpoint=tmp_path / "run.npz", **sizes)
    expected = lstm()
    run(expected, 5)
    np.testing.assert_array_equal(model.flat, expected.flat)


# --- When the numbers go wrong ---------------------------------------------------------------
@each_model
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_stops_the_run_and_keeps_the_last_good_parameters(name, poison):
    """A parameter is poisoned as step 6 begins: steps 1..5 had finite losses, the last at the
    parameters of step 4."""
    model, good = new(name), []

    def hook(step):
        good.append(model.flat.copy())
        if step == 6:
            model.params["W_out"][0, 0] = poison

    with pytest.raises(FloatingPointError, match=r"step 6\b") as caught, np.errstate(all="ignore"):
        run(model, 20, Hooked(hook))
    assert np.isfinite(model.flat).all()
    kept = [step for step, flat in enumerate(good) if np.array_equal(flat, model.flat)]
    assert kept in ([4], [5])
    assert f"parameters of step {kept[0]}" in str(caught.value)


@each_model
def test_a_learning_rate_that_is_far_too_large(name):
    """Whatever overflows, and whenever: an error, and parameters that are finite."""
    for steps in (1, 2, 5):
        model = new(name)
        with pytest.raises(FloatingPointError, match="step"), np.errstate(all="ignore"):
            run(model, steps, learning_rate=1e39, warmup=0)
        assert np.isfinite(model.flat).all()


def test_no_checkpoint_holds_nan(tmp_path):
    """A run that has failed fails again in the same way when it is resumed."""
    path = tmp_path / "run.npz"
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="step"), np.errstate(all="ignore"):
            run(lstm(), 10, learning_rate=1e39, warmup=0, checkpoint=path, checkpoint_every=1)
    if path.exists():
        assert np.isfinite(load_checkpoint(path)[0].flat).all()


def test_a_task_that_raises_leaves_good_parameters():
    def hook(step):
        if step == 4:
            raise RuntimeError("no more data")

    model, expected = lstm(), lstm()
    with pytest.raises(RuntimeError, match="no more data"):
        run(model, 20, Hooked(hook))
    run(expected, 3)
    np.testing.assert_array_equal(model.flat, expected.flat)


def test_gradients_too_long_to_square_in_float32_are_clipped_or_stopped():
    """Targets of 1e18: the gradient is finite, its square is not in float32. Either way no
    parameter is lost."""

    class Huge(Fixed):
        def __init__(self):
            super().__init__("number")
            self.batch = Batch(self.batch.inputs, 1e18 * np.ones_like(self.batch.targets))

    model = lstm()
    try:
        with np.errstate(all="ignore"):
            run(model, 3, Huge())
    except FloatingPointError:
        pass
    assert np.isfinite(model.flat).all()


@pytest.mark.parametrize("sizes", ["mix", "batch"])
def test_a_mix_of_sizes_is_scored_at_the_largest(sizes):
    mix, fixed = (ProgramEvaluation("copy", 1, 3, sizes=kind) for kind in (sizes, "fixed"))
    model = LSTM(mix.input_size, 8, mix.output_size)
    assert evaluate(model, mix, 200) == evaluate(model, fixed, 200)
    held_out = fixed.sample(50, np.random.default_rng([0, 1]))  # of a run with seed 0
    history = run(model, 10, mix)
    assert history.loss[-1] == pytest.approx(model.loss_and_grads(held_out)[0], rel=1e-5)
