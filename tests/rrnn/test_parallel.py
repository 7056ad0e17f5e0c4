"""Workers: the same numbers as one process, for whatever model it is, and whatever befalls them;
and the threads of the matrix products."""

import contextlib
import copy
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from models import (
    MODELS,
    Watched,
    each_model,
    each_variant,
    lstm,
    make,
    make_batch,
    own_memory,
    shake,
)

from rrnn import parallel
from rrnn.blas import blas, kernels, one_blas_thread
from rrnn.gradcheck import check_gradients
from rrnn.layers import Identity, Layer
from rrnn.lstm import LSTM
from rrnn.model import Batch
from rrnn.training import train

ROOT = Path(parallel.__file__).parent.parent


def close(found, right):
    """Loss, gradient and metrics are the same to rounding."""
    assert found[0] == pytest.approx(right[0], rel=1e-13)
    np.testing.assert_allclose(found[1], right[1], rtol=1e-10, atol=1e-14)
    assert found[2] == pytest.approx(right[2], rel=1e-13)


@pytest.mark.parametrize("kind", ["class", "number"])
@each_model
def test_workers_agree(name, kind):
    model, batch = make(name), make_batch(kind, examples=4)
    if kind == "class":
        batch.targets[1] = -1  # with three workers one of them has nothing asked
    right = model.loss_and_flat(batch)
    for workers in (1, 2, 3, 9):
        close(model.loss_and_flat(batch, workers=workers), right)


@each_variant
def test_a_worker_makes_the_same_model(variant):
    """Whatever its options, with the parameters and the first memory that it has now."""
    model, batch = make(variant), make_batch(examples=4)
    for seed in (1, 2):
        own_memory(shake(model, seed=seed))
        close(model.loss_and_flat(batch, workers=2), model.loss_and_flat(batch))


def test_one_worker_serves_models_of_all_kinds_in_turn():
    """Of two sizes and of both kinds of numbers: its shared file is made anew."""
    batch = make_batch(examples=4)
    for _ in range(2):
        for name in MODELS:
            for options in ({}, {"readout_sizes": (5,)}, {"dtype": np.float32}):
                model = make(name, **options)
                loss, flat, _ = model.loss_and_flat(batch, workers=2)
                right_loss, right, _ = model.loss_and_flat(batch)
                assert loss == pytest.approx(right_loss, rel=1e-5) and flat.dtype == model.dtype
                np.testing.assert_allclose(flat, right, rtol=1e-3, atol=1e-5)
    assert len(parallel.Worker.idle) >= 1 and parallel.Worker.possible


class Doubled(LSTM):
    """A reader's own model, which no other process knows."""

    def features(self, answers):
        return 2 * super().features(answers)

    def unroll_back(self, d_features):
        super().unroll_back(2 * d_features)


def test_a_class_of_the_readers_own_is_computed_here():
    model, batch = shake(Doubled(3, 5, 3, dtype=np.float64)), make_batch(examples=4)
    right = model.loss_and_flat(batch)
    close(model.loss_and_flat(batch, workers=2), right)
    plain = lstm()
    plain.flat = model.flat
    assert abs(plain.loss_and_flat(batch)[0] - right[0]) > 1e-3


class Halved:
    """A reader's own layer, in the place of a readout."""

    def __init__(self, readout):
        self.readout = readout

    def forward(self, t, x):
        return self.readout.forward(t, x) / 2

    def backward(self, t, dy):
        return self.readout.backward(t, dy / 2)


@each_model
def test_a_layer_of_the_readers_own_is_computed_here(name):
    """A worker would make the model of the configuration, without it."""
    model, batch = make(name), make_batch(examples=4)
    plain = model.loss_and_flat(batch)[0]
    model.readout = Halved(model.readout)
    right = model.loss_and_flat(batch)
    close(model.loss_and_flat(batch, workers=2), right)
    assert abs(plain - right[0]) > 1e-3
    assert max(check_gradients(model, batch).values()) < 1e-6
    with pytest.raises(TypeError, match="cannot be copied with .*Halved"):
        copy.deepcopy(model)
    single = make(name, dtype=np.float32)
    single.readout = Halved(single.readout)
    with pytest.raises(ValueError, match="float64 to be checked with .*Halved"):
        check_gradients(single, batch)


@each_variant
def test_no_layer_is_exchanged_in_a_model_as_made(variant):
    """Nor is one exchanged for another of the package unseen, however deep it stands."""
    model = make(variant)
    model.loss_and_flat(make_batch(examples=4))
    assert not model.exchanged() and model.is_known()
    for owner in (model, *model.layers):
        parts = {name: part for name, part in vars(owner).items() if isinstance(part, Layer)}
        for name, part in parts.items():
            setattr(owner, name, Identity())
            assert len(model.exchanged()) == 1 and not model.is_known()
            setattr(owner, name, part)
    assert model.is_known()


def test_a_batch_that_no_worker_can_compute_leaves_no_worker_behind():
    """What is wrong is said in this process, and later calls are as good as ever."""
    model, batch = make("core"), make_batch(examples=4)
    right = model.loss_and_flat(batch)
    with pytest.raises(ValueError, match="targets"):
        model.loss_and_flat(Batch(batch.inputs, batch.targets + 7), workers=2)
    close(model.loss_and_flat(batch, workers=2), right)


@each_model
def test_workers_in_four_threads(name):
    """Each thread with a model of its own."""
    models = [shake(make(name), seed=seed) for seed in range(4)]
    batch = make_batch(examples=4)
    alone = [model.loss_and_flat(batch) for model in models]
    call = lambda model: [model.loss_and_flat(batch, workers=2) for _ in range(10)]
    with ThreadPoolExecutor(4) as threads:
        for found, right in zip(threads.map(call, models), alone, strict=True):
            for one in found:
                close(one, right)


# --- Workers that come to harm ---------------------------------------------------------------
WORKERS = """
import multiprocessing, os, signal, sys, warnings
sys.path.insert(0, {root!r})
import numpy as np
from rrnn.lstm import LSTM
from rrnn.tasks import NthFarthest

model, task = LSTM(9, 4, 2), NthFarthest(2, 3)
batch = task.sample(64, np.random.default_rng(0))
expected = model.loss_and_grads(batch)[1]["W_x"]

def agrees():
    found = model.loss_and_grads(batch, workers=2)[1]["W_x"]
    return bool(np.allclose(found, expected, atol=1e-6))

def child(answers):
    answers.put(all([agrees() for _ in range(100)]))

print(agrees())
"""
FORKED = """
context = multiprocessing.get_context("fork")
answers = context.Queue()
children = [context.Process(target=child, args=(answers,), daemon=True) for _ in range(2)]
for process in children:
    process.start()
print(all([agrees() for _ in range(100)]))
print(*[answers.get(timeout=15) for _ in children])
"""
KILLED = """
with open(f"/proc/self/task/{os.getpid()}/children") as file:
    for pid in file.read().split():
        os.kill(int(pid), signal.SIGKILL)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(agrees(), agrees())
print(sum("ended without an answer" in str(one.message) for one in caught) == 1)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork and /proc")
@pytest.mark.parametrize("harm", [FORKED, KILLED], ids=["forked", "killed"])
def test_workers_survive(harm):
    """An executor that forks copies whatever the workers stand on; and workers can be killed."""
    code = WORKERS.format(root=str(ROOT)) + harm
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **pipes)
    try:
        out, err = process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        pytest.fail("it hangs")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whoever hangs, and all it started
    assert out.split() == ["True"] * 4, out + err


# --- The threads of the matrix products ------------------------------------------------------
def threads_of_blas():
    return [pool["num_threads"] for pool in blas().info() if pool["user_api"] == "blas"]


def let_any_thread_decide():
    """threadpoolctl 3.8 does nothing in a thread while another that has set a limit is alive."""
    for library in blas().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@pytest.fixture
def two_threads():
    """Two threads for matrix products, whatever the environment says."""
    let_any_thread_decide()
    with blas().limit(limits=2, user_api="blas"):
        if set(threads_of_blas()) != {2}:
            pytest.skip("the matrix products of this NumPy cannot take two threads")
        let_any_thread_decide()
        yield
        let_any_thread_decide()


def test_one_thread_while_anybody_is_inside(two_threads):
    with one_blas_thread():
        with one_blas_thread():
            assert set(threads_of_blas()) == {1}
        assert set(threads_of_blas()) == {1}
    assert set(threads_of_blas()) == {2}
    with one_blas_thread(False):
        assert set(threads_of_blas()) == {2}
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert set(threads_of_blas()) == {2}


@pytest.mark.parametrize("first_out", ["the first one in", "the last one in"])
def test_overlapping_trainings_leave_the_threads_as_they_were(two_threads, first_out):
    """Two trainings in threads that live on; then the second thread trains again."""
    at_work, done = ([threading.Event(), threading.Event()] for _ in range(2))
    seen, stays = [], first_out == "the first one in"

    def training(i):
        def watch():
            seen.append(set(threads_of_blas()))
            at_work[i].set()
            at_work[1 - i].wait(10)
            if i == stays:
                done[1 - i].wait(10)

        model = lstm(9, 4, 2)
        train(model, Watched(watch), 3, batch_size=8, eval_examples=10, progress=False)
        done[i].set()
        return model

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first = one.submit(training, 0)
        at_work[0].wait(10)
        models = [other.submit(training, 1).result(), first.result()]
        after = set(threads_of_blas())
        models.append(other.submit(training, 1).result())
    assert (after, set(threads_of_blas())) == ({2}, {2})
    assert len(seen) == 9 and all(threads == {1} for threads in seen)
    for model in models:
        np.testing.assert_array_equal(model.flat, models[0].flat)


def test_the_library_of_the_matrix_products_has_a_name():
    assert kernels() and "None" not in kernels()
