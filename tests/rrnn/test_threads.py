"""Whatever is called from four threads at once gives what it gives in one, or says why not; and
leaves no file and no limit behind."""

import functools
import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from models import (
    MODELS,
    Watched,
    assert_same,
    core,
    each_model,
    each_variant,
    everything,
    lstm,
    make,
    make_batch,
    own_memory,
    sequence,
    shake,
)

import rrnn_helpers as rh
from rrnn import parallel
from rrnn.blas import blas, kernels, one_blas_thread
from rrnn.model import Batch
from rrnn.tasks import NthFarthest
from rrnn.training import train

THREADS = 4
TASK = NthFarthest(2, 3)


def at_once(calls):
    """What the calls return, all of them begun at the same moment, each in a thread of its own."""
    begin = threading.Barrier(len(calls))

    def wait_and_call(call):
        begin.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(wait_and_call, c) for c in calls]]


# --- Models ----------------------------------------------------------------------------------
@each_variant
def test_a_model_of_any_kind(variant):
    """Its outputs, states, traces and gradients, with one worker and with two: each thread with
    other inputs of another length."""
    model = own_memory(shake(make(variant)))
    inputs = [sequence(batch=2 + i, time=3 + i, seed=i) for i in range(THREADS)]

    def call(x):
        found = everything(model, x)
        return found | {"loss": model.metrics(Batch(x, np.full((len(x), 2), 1)))["loss"]}

    calls = [functools.partial(call, x) for x in inputs]
    for found, right in zip(at_once(calls), [call() for call in calls], strict=True):
        assert_same(found, right, "in a thread")


def test_a_cell():
    cell = rh.RelationalRNNCell(3, 5, 3, 4, 2, seed=1, dtype=np.float64)
    rng = np.random.default_rng(0)
    shapes = (3,), (5,), (5,), (3, 4)
    given = [[rng.normal(size=(n, *shape)) for shape in shapes] for n in (1, 2, 3, 4)]
    calls = [lambda state=state: [cell.forward(*state) for _ in range(20)] for state in given]
    for found, right in zip(at_once(calls), [call() for call in calls], strict=True):
        for step, same in zip(found, right, strict=True):
            for array, other in zip(step, same, strict=True):
                np.testing.assert_array_equal(array, other)


@each_model
def test_gradients_checked_beside_other_calls(name):
    """check_gradients asks at other parameters: nobody else may meet them."""
    model, inputs = MODELS[name](), sequence()
    right, before, done = model.forward(inputs), model.flat.copy(), threading.Event()

    def check():
        errors = rh.check_gradients(model, make_batch(), per_parameter=2)
        done.set()
        return max(errors.values())

    def look():
        found = [model.forward(inputs)]
        while not done.is_set():
            found.append(model.forward(inputs))
        return all(np.array_equal(one, right) for one in found)

    *errors, seen = at_once([check, check, check, look])
    assert max(errors) < 1e-6 and seen
    np.testing.assert_array_equal(model.flat, before)


def trained(model, steps=6, task=TASK, **options):
    small = {"batch_size": 8, "eval_every": 3, "eval_examples": 20, "warmup": 0}
    return train(model, task, steps, progress=False, **(small | options))


def test_one_model_is_in_one_training_at_a_time(tmp_path):
    """The second call says so, and the first ends as if it had been alone."""
    model, alone, path = lstm(9, 4, 2), lstm(9, 4, 2), tmp_path / "run.npz"
    refused = []

    def watch():
        for options in ({}, {"checkpoint": path}):
            with ThreadPoolExecutor(1) as other:
                refused.append(other.submit(trained, model, **options).exception())

    trained(model, task=Watched(watch))
    trained(alone)
    np.testing.assert_array_equal(model.flat, alone.flat)
    assert len(refused) == 12 and not path.exists()
    assert all(type(error) is RuntimeError for error in refused)
    assert all("model must be in one training" in str(error) for error in refused)
    trained(model)  # and afterwards it can be trained again


@each_model
def test_a_model_that_is_trained_shows_whole_steps(name, tmp_path):
    """Whoever calls or saves it meanwhile meets the parameters of one step, not of two halves."""
    model, twin = (MODELS[name](9, output_size=2) for _ in range(2))
    inputs, done, steps = sequence(size=9), threading.Event(), []
    trained(twin, 20, Watched(lambda: steps.append(twin.forward(inputs))))
    steps.append(twin.forward(inputs))

    def fit():
        trained(model, 20)
        done.set()

    def look():
        found = [model.forward(inputs)]
        while not done.is_set():
            found.append(model.forward(inputs))
        return found

    def save():
        found = []
        while not done.is_set():
            rh.save_checkpoint(tmp_path / "model.npz", model)
            found.append(rh.load_checkpoint(tmp_path / "model.npz")[0].forward(inputs))
        return found

    _, *seen = at_once([fit, look, look, save])
    for outputs in sum(seen, []):
        assert any(np.array_equal(outputs, right) for right in steps)
    np.testing.assert_array_equal(model.flat, twin.flat)


# --- Functions and tasks ---------------------------------------------------------------------
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 8))
SQUARE = {name: RNG.normal(size=(8, 8)) for name in ("W_q", "W_k", "W_v")}
SCORES = [0.5, 0.6, 0.8], [0.4, 0.5, 0.5]
CALLS = {
    "softmax": lambda: rh.softmax(X), "sigmoid": lambda: rh.sigmoid(X),
    "layer_norm": lambda: rh.layer_norm(X, X[0, 0], X[0, 1]),
    "attention": lambda: rh.scaled_dot_product_attention(X, X, X),
    "multi_head_attention": lambda: rh.multi_head_attention(X, X, SQUARE, 2),
    "core_step": lambda: rh.core_step(X[0, 0, :3], np.eye(3, 4), core().params, 2),
    "glorot_uniform": lambda: rh.glorot_uniform((5, 6), np.random.default_rng(1)),
    "orthogonal": lambda: rh.orthogonal(6, np.random.default_rng(1)),
    "mean_interval": lambda: rh.mean_interval(SCORES[0]),
    "mean_difference": lambda: rh.mean_difference(*SCORES),
    "verdict": lambda: rh.verdict(*SCORES),
    "evaluate": lambda: sorted(rh.evaluate(lstm(9, 4, 2), TASK, 50).items()),
    "train": lambda: trained(lstm(9, 4, 2))._replace(seconds=0),
    "kernels": kernels,
}  # fmt: skip


def plain(result):
    """Numbers and text, to be compared."""
    return json.dumps(result, default=lambda thing: np.asarray(thing).tolist())


@pytest.mark.parametrize("name", CALLS)
def test_a_function(name):
    right = plain(CALLS[name]())
    found = at_once([lambda: [plain(CALLS[name]()) for _ in range(2)]] * THREADS)
    assert found == [[right] * 2] * THREADS


def test_the_functions_are_all_there():
    """Every public function that computes: what shows pictures or writes files stands below."""
    small = {name for name in rh.__all__ if name[0].islower()}
    below = {"load_checkpoint", "save_checkpoint", "load_records", "run_experiments",
             "check_gradients"}  # fmt: skip
    shown = {name for name in small if name.startswith(("plot_", "show_"))}
    shown |= {"label_cells", "about", "claim", "ink"}
    named = {"attention" if "scaled" in name else name for name in small - below - shown}
    assert named == CALLS.keys() - {"kernels"}


TASKS = [
    NthFarthest(3, 2), rh.PairMatching(2, 4), rh.Sorting(), rh.ObjectTracking(),
    rh.StoryQA(num_facts=5), rh.ProgramEvaluation("control", 1, 2),
]  # fmt: skip


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return bytes(canvas.buffer_rgba())


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_a_task(task):
    """Batches, answers, words and, asked for by all at the same time, shortcuts."""

    def call(seed):
        inputs, targets = task.sample(20, np.random.default_rng(seed))
        np.testing.assert_array_equal(task.solve(inputs), targets)
        return inputs.tobytes(), task.describe(inputs[0])

    calls = [functools.partial(call, seed) for seed in range(THREADS)]
    assert at_once(calls) == [call() for call in calls]
    fresh = eval(repr(task), vars(rh))
    assert at_once([fresh.shortcuts] * THREADS) == [task.shortcuts()] * THREADS


def test_pictures():
    example = TASK.sample(1, RNG).inputs[0]
    calls = [
        lambda: drawn(rh.plot_attention(rh.softmax(X))), lambda: drawn(rh.plot_memory(X)),
        lambda: drawn(rh.plot_intervals({"a": {"b": SCORES[0]}}, xlabel="x")),
        lambda: drawn(TASK.draw(example)),
    ]  # fmt: skip
    assert at_once(calls) == [call() for call in calls]


# --- Files, pools and limits -----------------------------------------------------------------
SMALL = {
    "task": ("NthFarthest", {"num_vectors": 2, "num_dims": 3}),
    "model": ("LSTM", {"hidden_size": 4}),
    "train": {"steps": 6, "batch_size": 8, "eval_every": 3, "eval_examples": 20, "seed": 1},
}


def test_one_folder_of_experiments(tmp_path):
    """The same runs in the same folder: each call gets the records, and nothing else is left."""
    plan = {name: SMALL | {"train": SMALL["train"] | {"seed": seed}}
            for seed, name in enumerate("abc")}  # fmt: skip
    call = lambda: rh.run_experiments(plan, folder=tmp_path, progress=False)
    weights = lambda records: [record["sha256"] for record in records.values()]
    right = weights(rh.run_experiments(plan, progress=False))
    assert [weights(records) for records in at_once([call] * THREADS)] == [right] * THREADS
    left = [f"{name}.{kind}" for name in "abc" for kind in ("json", "npz")]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    found = at_once([lambda: weights(rh.load_records(tmp_path))] * THREADS)
    assert found == [right] * THREADS


def test_one_checkpoint_of_four_runs(tmp_path):
    """Four models, the same run, one path: each ends where it would have ended alone."""
    path, alone = tmp_path / "run.npz", lstm(9, 4, 2)
    trained(alone, 30)

    def call():
        model = lstm(9, 4, 2)
        trained(model, 30, checkpoint=path, checkpoint_every=1)
        return model.flat

    for flat in at_once([call] * THREADS):
        np.testing.assert_array_equal(flat, alone.flat)
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An empty folder in the place of the system's for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_workers_leave_no_file(temporary):
    """Nor do those that were killed while they were idle."""
    batch = make_batch(examples=4)
    models = [lstm(hidden_size=size) for size in (5, 6, 7, 8)]
    right = [model.loss_and_flat(batch)[1] for model in models]
    calls = [lambda model=model: model.loss_and_flat(batch, workers=2)[1] for model in models]
    for flat, expected in zip(at_once(calls), right, strict=True):
        np.testing.assert_allclose(flat, expected, rtol=1e-10, atol=1e-14)
    assert not list(temporary.iterdir()) and parallel.Worker.possible
    try:
        for worker in parallel.Worker.idle:
            worker.process.kill()
            worker.process.wait()
        with pytest.warns(UserWarning, match="ended without an answer"):
            flat = lstm(hidden_size=9).loss_and_flat(batch, workers=2)[1]
        np.testing.assert_allclose(flat, lstm(hidden_size=9).loss_and_flat(batch)[1], rtol=1e-10)
        assert not list(temporary.iterdir())
    finally:
        parallel.Worker.idle.clear()
        parallel.Worker.possible = True


def test_limits_of_four_threads_at_once():
    """Each within its own with block, however they overlap: afterwards all is as before."""
    threads = lambda: [pool["num_threads"] for pool in blas().info() if pool["user_api"] == "blas"]
    before = threads()

    def call():
        seen = set()
        for _ in range(50):
            with one_blas_thread(), one_blas_thread():
                seen |= {*threads()}
        return seen

    assert set().union(*at_once([call] * THREADS)) == {1}
    assert threads() == before
