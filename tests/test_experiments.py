"""run_experiments: the same records from every executor, nothing made twice, nothing that is no experiment."""

import functools
import json
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import distributed
import numpy as np
import pytest
import threadpoolctl
from scipy.stats import t as student

import rrnn_helpers as rh

LSTM = ("LSTM", {"hidden_size": 8})
CORE = ("RelationalMemoryCore", {"num_slots": 2, "slot_size": 8, "num_heads": 2})
TRAIN = {"steps": 6, "batch_size": 8, "eval_every": 3, "eval_examples": 20, "seed": 3}
SMALL = {
    "one": {"task": ("NthFarthest", {"num_vectors": 2, "num_dims": 2}), "model": LSTM, "train": TRAIN},
    "two": {
        "task": ("NthFarthest", {"num_vectors": 3, "num_dims": 2}), "model": CORE, "train": TRAIN, "weights": False,
        "curriculum": [("NthFarthest", {"num_vectors": 2, "num_dims": 2, "labels": 3}, 0.01)],
    },
    "three": {"task": ("ObjectTracking", {"num_steps": 2}), "model": LSTM, "train": TRAIN},
}  # fmt: skip


def run(experiments, executor=None, **options):
    return rh.run_experiments(experiments, executor, progress=False, **options)


def without_seconds(records):
    """The records, but for the times in them."""
    records = json.loads(json.dumps(records))
    for record in records.values():
        assert len(record["curve"].pop("seconds")) == len(record["curve"]["step"])
    return records


@pytest.fixture(scope="module")
def expected():
    return without_seconds(run(SMALL))


def test_a_record_says_what_train_and_evaluate_say(expected):
    experiment, record = SMALL["one"], expected["one"]
    task = rh.NthFarthest(2, 2)
    model = rh.LSTM(task.input_size, 8, task.output_size, seed=3)
    history = rh.train(model, task, **TRAIN, progress=False)
    assert list(expected) == list(SMALL)
    assert record["experiment"] == json.loads(json.dumps(experiment))
    assert record["curve"]["step"] == history.step.tolist() == [3, 6]
    np.testing.assert_allclose(record["curve"]["loss"], history.loss, atol=1e-6)
    assert record["test"] == rh.evaluate(model, task)
    assert record["parameters"] == model.flat.size and record["shortcuts"] == task.shortcuts()
    straight = {key: value for key, value in SMALL["two"].items() if key != "curriculum"}
    assert run({"two": straight})["two"]["test"] != expected["two"]["test"]  # so the curriculum was used
    assert "error" in expected["three"]["test"]
    assert set(record["versions"]) == {"python", "numpy", "machine", "blas"}
    architectures = {pool.get("architecture") for pool in threadpoolctl.threadpool_info()} - {None}
    assert all(name in record["versions"]["blas"] for name in architectures)


SPAWNED = functools.partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))  # pytest has threads


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, SPAWNED], ids=["threads", "processes"])
def test_any_executor_gives_the_same_records(expected, pool):
    with pool(2) as executor:
        assert without_seconds(run(SMALL, executor)) == expected


def test_a_dask_cluster_gives_the_same_records(expected):
    settings = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        assert without_seconds(run(SMALL, client.get_executor())) == expected


def test_a_folder_keeps_records_and_weights_and_nothing_is_run_twice(expected, tmp_path, monkeypatch):
    made = run(SMALL, folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"one.json", "one.npz", "two.json", "three.json", "three.npz"}
    model, _ = rh.load_checkpoint(tmp_path / "one.npz")
    assert rh.evaluate(model, rh.NthFarthest(2, 2)) == made["one"]["test"]
    monkeypatch.setattr(rh, "_run_experiment", lambda *arguments: pytest.fail("was run again"))
    again = run(SMALL, folder=tmp_path)
    assert again == json.loads(json.dumps(made)) and without_seconds(again) == expected


def test_an_unfinished_run_goes_on(expected, tmp_path):
    task = rh.NthFarthest(2, 2)
    model = rh.LSTM(task.input_size, 8, task.output_size, seed=3)
    part = tmp_path / ".one.part.npz"
    rh.train(model, task, **(TRAIN | {"steps": 3}), checkpoint=part, progress=False)
    kept = part.stat().st_mtime_ns
    records = run({"one": SMALL["one"]}, folder=tmp_path)
    assert kept and not part.exists()
    assert without_seconds(records)["one"] == expected["one"]


def test_a_record_of_another_experiment_is_not_taken_for_this_one(tmp_path):
    run({"one": SMALL["one"]}, folder=tmp_path)
    other = SMALL["one"] | {"train": TRAIN | {"seed": 4}}
    with pytest.raises(ValueError, match="one.json is of another experiment"):
        run({"one": other}, folder=tmp_path)


def test_an_error_in_a_run_comes_out():
    broken = SMALL["one"] | {"train": TRAIN | {"learning_rate": -1}}
    for executor in (None, ThreadPoolExecutor(1)):
        with pytest.raises(ValueError, match="learning_rate"):
            run({"one": broken}, executor)


def one(**changes):
    return {"one": SMALL["one"] | changes}


V, T = ValueError, TypeError
BAD = [
    (lambda: run([1]), T, "experiments must be a dict"),
    (lambda: run({1: SMALL["one"]}), T, "experiments must hold dicts under strings.*1"),
    (lambda: run({"one": 2}), T, "'one': 2"),
    (lambda: run({"one": {"task": 1}}), V, r"lacks \['model', 'train'\]"),
    (lambda: run(one(tasks=1)), V, "more than it may.*tasks"),
    (lambda: run(one(train={"steps": 3})), V, "must give steps and seed"),
    (lambda: run(one(task=("Nth", {}))), V, "a task must be one of this module's, got 'Nth'"),
    (lambda: run(one(task=("LSTM", {}))), V, "a task must be one of this module's, got 'LSTM'"),
    (lambda: run(one(model=("Adam", {}))), V, "a model must be one of this module's, got 'Adam'"),
    (lambda: run(one(model=("LSTM", {"hidden_size": 0}))), V, "hidden_size must be at least 1"),
    (lambda: run(one(train=TRAIN | {"curriculum": np.ones(2)})), T, "data that JSON can hold"),
    (lambda: run(one(), executor=2), T, "executor must be a concurrent.futures.Executor or None, got 2"),
    (lambda: run(one(), folder="no such folder"), V, "folder must be a folder that exists"),
]


@pytest.mark.parametrize("call, error, says", BAD, ids=[says for *_, says in BAD])
def test_what_is_no_experiment_is_refused(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert re.search(says, str(caught.value))


def test_the_difference_of_two_means_has_welchs_interval():
    """By the formula, on four and three values of unequal spread; turned round, and without spread."""
    a, b = [9.0, 10.0, 10.0, 12.0], [3.0, 5.0, 7.0]
    va, vb = 19 / 12 / 4, 4 / 3
    freedom = (va + vb) ** 2 / (va**2 / 3 + vb**2 / 2)
    half = student(freedom).ppf(0.95) * np.sqrt(va + vb)
    np.testing.assert_allclose(rh.mean_difference(a, b, 0.9), (5.25, 5.25 - half, 5.25 + half))
    np.testing.assert_allclose(rh.mean_difference(b, a, 0.9), (-5.25, -5.25 - half, -5.25 + half))
    assert rh.mean_difference([1, 1, 1], [0.5, 0.5]) == (0.5, 0.5, 0.5)
    d, low, high = rh.mean_difference([1.0] * 5, [0.5, 0.6, 0.7])  # one of them without spread: that of the other
    np.testing.assert_allclose((1 - d, 1 - high, 1 - low), rh.mean_interval([0.5, 0.6, 0.7]))
    assert all(type(number) is float for number in (d, low, high))
