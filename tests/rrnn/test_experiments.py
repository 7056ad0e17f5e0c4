"""run_experiments: the same records from every executor, nothing made twice, nothing that is no
experiment; load_records: what is no record is named."""

import functools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import distributed
import numpy as np
import pytest
import threadpoolctl

import rrnn_helpers as rh
from rrnn import experiments

LSTM = ("LSTM", {"hidden_size": 8})
CORE = ("RelationalMemoryCore", {"num_slots": 2, "slot_size": 8, "num_heads": 2})
TRAIN = {"steps": 6, "batch_size": 8, "eval_every": 3, "eval_examples": 20, "seed": 3}
SMALL = {
    "one": {
        "task": ("NthFarthest", {"num_vectors": 2, "num_dims": 2}), "model": LSTM, "train": TRAIN,
    },
    "two": {
        "task": ("NthFarthest", {"num_vectors": 3, "num_dims": 2}), "model": CORE, "train": TRAIN,
        "weights": False,
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
    assert record["operations"] == model.operations(2)
    straight = {key: value for key, value in SMALL["two"].items() if key != "curriculum"}
    # so the curriculum was used
    assert run({"two": straight})["two"]["test"] != expected["two"]["test"]
    assert "error" in expected["three"]["test"]
    assert set(record["versions"]) == {"python", "numpy", "machine", "blas"}
    architectures = {pool.get("architecture") for pool in threadpoolctl.threadpool_info()} - {None}
    assert all(name in record["versions"]["blas"] for name in architectures)


# pytest has threads
SPAWNED = functools.partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, SPAWNED], ids=["threads", "processes"])
def test_any_executor_gives_the_same_records(expected, pool):
    with pool(2) as executor:
        assert without_seconds(run(SMALL, executor)) == expected


def test_a_dask_cluster_gives_the_same_records(expected):
    settings = {"n_workers": 1, "threads_per_worker": 2, "processes": False}
    settings |= {"dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        assert without_seconds(run(SMALL, client.get_executor())) == expected


def test_a_folder_keeps_what_was_made_and_nothing_is_run_twice(expected, tmp_path, monkeypatch):
    made = run(SMALL, folder=tmp_path)
    files = {"one.json", "one.npz", "two.json", "three.json", "three.npz"}
    assert {path.name for path in tmp_path.iterdir()} == files
    model, _ = rh.load_checkpoint(tmp_path / "one.npz")
    assert rh.evaluate(model, rh.NthFarthest(2, 2)) == made["one"]["test"]
    again = lambda *arguments: pytest.fail("was run again")
    monkeypatch.setattr(experiments, "run_experiment", again)
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


RECORD = '{"name": "a", "sha256": "0"}'


@pytest.mark.parametrize("lines, says", [
    ('{"name": "b", "sha', "line 2, is damaged"),  # as a full disk leaves it
    ("", "line 2, is damaged"),
    ("[1, 2]", "line 2, is no record of a run"),
    ('{"name": "b"}', "line 2, is no record of a run"),
    ('{"sha256": "0"}', "line 2, has no name of its own, but None"),
    (RECORD, "line 2, has no name of its own, but 'a'"),
    ("\xff", "line 2, is damaged"),
])  # fmt: skip
def test_a_line_that_is_no_record_is_named(tmp_path, lines, says):
    text = f"{RECORD}\n{lines}\n".encode("latin-1")
    (tmp_path / "runs.jsonl").write_bytes(text)
    with pytest.raises(ValueError, match=says) as caught:
        rh.load_records(tmp_path)
    assert str(tmp_path / "runs.jsonl") in str(caught.value)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("text, says", [
    (RECORD[:-3], "is damaged"), ("", "is damaged"), ('{"AVX2": 1}', "is no record of a run"),
])  # fmt: skip
def test_a_file_that_is_no_record_is_named(tmp_path, text, says):
    (tmp_path / "good.json").write_text(RECORD)
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=rf"bad\.json {says}") as caught:
        rh.load_records(tmp_path)
    assert type(caught.value) is ValueError
    assert list(rh.load_records(tmp_path, "good")) == ["good"]
    with pytest.raises(ValueError, match=rf"bad\.json {says}"):  # nor is it one that was made
        run({"bad": SMALL["one"]}, folder=tmp_path)


def test_where_nothing_is_says_so(tmp_path):
    with pytest.raises(ValueError, match="folder that exists, got '.*nowhere'"):
        rh.load_records(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no record in .* fits pattern '[*]'"):
        rh.load_records(tmp_path)
    (tmp_path / "runs.jsonl").write_text("")
    with pytest.raises(ValueError, match="no record in .*runs.jsonl fits pattern 'a[?]'"):
        rh.load_records(tmp_path, "a?")


def test_records_are_those_that_fit_in_the_order_of_their_names(tmp_path):
    lines = [f'{{"name": "{name}", "sha256": "{i}"}}' for i, name in enumerate(("b1", "a2", "a1"))]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "kernels.json").write_text("{}")  # is not looked at where there are lines
    assert list(rh.load_records(tmp_path)) == ["a1", "a2", "b1"]
    assert rh.load_records(tmp_path, "a?") == {"a1": {"sha256": "2"}, "a2": {"sha256": "1"}}
