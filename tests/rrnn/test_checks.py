"""Bad arguments raise ValueError or TypeError at once, naming the argument, and the value or what
would be right."""

import inspect
import itertools
import re
from functools import partial

import numpy as np
import pytest
from models import core, lstm, rrnn

import rrnn_helpers as rh
from rrnn.checks import Dtype, Number, OneOf, OrNone, Rng, Whole, Wholes, checked, floats, real
from rrnn.training import Run

RNG = np.random.default_rng(0)
TASK = rh.NthFarthest(2, 3)
MODEL = lstm(TASK.input_size, 4, 2, dtype=np.float32)
CORE = core(9, 2)
X = RNG.normal(size=(4, 3, TASK.input_size))
SAMPLE = TASK.sample(1, RNG).inputs
PART, CELL = rh.RelationalMemory(3, 8, 2, 5), rh.RelationalRNNCell(5, 6, 3, 8, 2)
M, H = np.zeros((4, 3, 8)), np.zeros((4, 6))
W = {name: np.ones((4, 4)) for name in ("W_q", "W_k", "W_v")}
ROWS = np.ones((2, 3, 4))
Q = np.ones((3, 4))
CORE_PARAMS = core().params


def loss(inputs=X, targets=((0,), (1,), (0,), (1,)), **kwargs):
    return MODEL.loss_and_grads(rh.Batch(inputs, np.asarray(targets)), **kwargs)


def train(model=MODEL, task=TASK, steps=1, **kwargs):
    short = {"progress": False, "batch_size": 2, "eval_examples": 2}
    return rh.train(model, task, steps, **(short | kwargs))


def adam(flat=None, **kwargs):
    return rh.Adam(np.zeros(3) if flat is None else flat, **kwargs)


def attend(q=Q, k=Q, v=Q, **kwargs):
    return rh.scaled_dot_product_attention(q, k, v, **kwargs)


def heads(x=ROWS, memory=ROWS, params=W, num_heads=2, **kwargs):
    return rh.multi_head_attention(x, memory, params, num_heads, **kwargs)


def check(model=MODEL, targets=0, **kwargs):
    return rh.check_gradients(model, rh.Batch(X, np.full((4, 1), targets)), **kwargs)


def cell(x=X[:, 0, :5], h=H, c=H, memory=M):
    return CELL.forward(x, h, c, memory)


programs = rh.ProgramEvaluation


def intervals(values, **kwargs):
    return rh.plot_intervals({"title": {"name": values}}, xlabel="x", **kwargs)


RUN = {
    "task": ("NthFarthest", {"num_vectors": 2, "num_dims": 2}),
    "model": ("LSTM", {"hidden_size": 4}), "train": {"steps": 2, "seed": 1},
}  # fmt: skip


def experiments(given=None, executor=None, folder=None, **changes):
    given = {"one": RUN | changes} if given is None else given
    return rh.run_experiments(given, executor, folder=folder, progress=False)


def core_step(x=(1, 2, 3), M=Q, params=CORE_PARAMS, num_heads=2):
    return rh.core_step(x, M, params, num_heads)


def put(value, array=X):
    """The array with one entry changed."""
    array = array.copy()
    array.flat[7] = value
    return array


# {call: (its checks, arguments of 1 at least, arguments of 0 at least)}
SIZES = "num_slots slot_size num_heads"
CHECKED = {
    core:
        (rh.RelationalMemoryCore, f"input_size output_size num_blocks {SIZES}", "mlp_layers seed"),
    rrnn: (rh.RelationalRNN, f"input_size hidden_size output_size {SIZES}", "seed"),
    lstm: (rh.LSTM, "input_size hidden_size output_size", "seed"),
    partial(rh.RelationalMemory, num_slots=3, slot_size=8, num_heads=2):
        (rh.RelationalMemory, f"input_size {SIZES}", "seed"),
    partial(rh.RelationalRNNCell, input_size=5, hidden_size=6):
        (rh.RelationalRNNCell, f"input_size hidden_size {SIZES}", "seed"),
    partial(PART.initial_memory, batch_size=2): (PART.initial_memory, "batch_size", ""),
    partial(rh.orthogonal, size=2, rng=RNG): (rh.orthogonal, "size", ""),
    check: (rh.check_gradients, "per_parameter", ""),
    train: (Run, "steps batch_size eval_every eval_examples patience workers", "warmup seed"),
    partial(rh.train, MODEL, TASK, 1): (rh.train, "checkpoint_every", ""),
    partial(rh.evaluate, MODEL, TASK): (rh.evaluate, "examples", "seed"),
    adam: (rh.Adam, "", ""),
}  # fmt: skip
T, V = TypeError, ValueError
NOT_TASK = "task.*NthFarthest"
# (call, error, what the message must say in this order: the argument, the value, what is right)
BAD_CALLS = [
    # the models
    (lambda: core(num_slots=10), V, "num_slots.*5.*identity.*10"),
    (lambda: core(slot_size=7), V, "slot_size.*num_heads.*7.*2"),
    (lambda: core(num_heads=3), V, "slot_size.*num_heads.*4.*3"),
    (lambda: core(colour=1), T, "RelationalMemoryCore.*unexpected.*colour"),
    (lambda: rh.RelationalMemoryCore(3), T, "RelationalMemoryCore.*missing.*output_size"),
    (lambda: rh.LSTM(3, 4, 2, True), T, "LSTM.*too many positional"),
    (lambda: core(share_blocks=1), V, "share_blocks.*True, False.*1"),
    (lambda: core(attend_to="none"), V, "attend_to.*'all', 'self'.*'none'"),
    (lambda: core(gate_style="lstm"), V, "gate_style.*unit.*memory.*None.*lstm"),
    (lambda: core(gate_style=False), V, "gate_style.*unit.*False"),
    (lambda: core(qkv_norm=1), V, "qkv_norm.*True.*False.*1"),
    (lambda: core(initial_memory="ones"), V, "initial_memory.*identity.*zeros.*random.*ones"),
    (lambda: core(forget_bias=np.nan), V, "forget_bias.*nan"),
    (lambda: core(readout_sizes=(5, 0)), V, "readout_sizes.*at least 1.*0"),
    (lambda: rrnn(num_heads=3), V, "slot_size.*num_heads.*4.*3"),
    (lambda: rrnn(num_slots=10), V, "num_slots.*5.*identity.*10"),
    (lambda: rrnn(use_lstm="no"), V, "use_lstm.*True, False.*'no'"),
    (lambda: lstm(layer_norm="yes"), V, "layer_norm.*True, False.*'yes'"),
    (lambda: rh.RelationalMemory(3, 8, 5), V, "slot_size.*num_heads.*8.*5"),
    (lambda: rh.RelationalRNNCell(5, 6, 3, 8, 3), V, "slot_size.*num_heads.*8.*3"),
    (lambda: lstm().operations(0), V, "steps must be at least 1, got 0"),
    (lambda: lstm().operations(3, answers=1.5), T, r"answers must be a whole number, got 1\.5"),
    (lambda: setattr(lstm(), "first_memory", Q), AttributeError, "LSTM has no first_memory"),
    (lambda: setattr(CORE, "vector", Q), AttributeError, "vector must stay.*flat, params"),
    (lambda: setattr(CORE.inp, "W", Q), V, r"W must have shape \(9, 4\), got \(3, 4\)"),
    # layers
    (lambda: rh.Linear("z", 0, 3), V, "fan_in must be at least 1, got 0"),
    (lambda: rh.Linear("z", 3, 2.0), T, r"fan_out must be a whole number, got 2\.0"),
    (lambda: rh.Linear("z", 3, 2, -1), V, "num_rows must be at least 1, got -1"),
    (lambda: rh.LayerNorm("z", 0, 3), V, "size must be at least 1, got 0"),
    (lambda: rh.LayerNorm("z", 3, None), T, "num_rows must be a whole number, got None"),
    (lambda: rh.MLP(["a"], [3]), V, r"sizes must be one more than the names \['a'\], got \(3,\)"),
    (lambda: rh.MLP(["a"], [3, 0]), V, "sizes must be at least 1, got 0"),
    (lambda: rh.MLP(["a"], 3), T, "sizes must be a sequence of whole numbers.*got 3"),
    (lambda: rh.Attention(4, 3, 2, 2), V, "size must be a multiple of num_heads, got size 4.*3"),
    (lambda: rh.Attention(4, 0, 2, 2), V, "num_heads must be at least 1, got 0"),
    (lambda: rh.Attention(4, 2, "2", 2), T, "num_queries must be a whole number, got '2'"),
    (lambda: rh.Gates(4, 3, 2, 0.0, 1.0), V, "width must be 1 or size = 4, got 3"),
    (lambda: rh.Gates(4, 4, 2, 0.0, np.nan), V, "forget_bias must be a number, got nan"),
    (lambda: rh.SlotGate(0, 2), V, "size must be at least 1, got 0"),
    (lambda: rh.GatedMemory(3, 4, 3), V, "size must be a multiple of num_heads, got size 4.*3"),
    (lambda: rh.GatedMemory(0, 4, 2), V, "num_slots must be at least 1, got 0"),
    (lambda: rh.LSTMLayer(3, 0), V, "size must be at least 1, got 0"),
    (lambda: rh.Block(4, 2, 3, 3, None, qkv_norm=1, mask=None), V, "qkv_norm.*True, False.*1"),
    (lambda: rh.Block(4, 3, 3, 3, None, qkv_norm=True, mask=None), V, "size.*num_heads.*4.*3"),
    # tasks
    (lambda: rh.NthFarthest(1, 2), V, "num_vectors must be at least 2, got 1"),
    (lambda: rh.NthFarthest(2.0, 2), T, r"num_vectors must be a whole number, got 2\.0"),
    (lambda: rh.NthFarthest(2, 0), V, "num_dims must be at least 1, got 0"),
    (lambda: rh.NthFarthest(3, 2, dims="2"), T, "dims must be a whole number, got '2'"),
    (lambda: rh.NthFarthest(3, 2, labels=2), V, "labels must be at least 3, got 2"),
    (lambda: rh.NthFarthest(3, 2, dims=1), V, "dims must be at least 2, got 1"),
    (lambda: rh.NthFarthest(3, 2, 4), T, "NthFarthest: too many positional arguments"),
    (lambda: rh.PairMatching(0), V, "num_pairs must be at least 1, got 0"),
    (lambda: rh.PairMatching(2.0), T, r"num_pairs must be a whole number, got 2\.0"),
    (lambda: rh.PairMatching(4, 7), V, r"vocab_size must be at least 2 \* num_pairs = 8.* got 7"),
    (lambda: rh.PairMatching(4, "8"), T, "vocab_size must be a whole number, got '8'"),
    (lambda: rh.Sorting(0), V, "length must be at least 1, got 0"),
    (lambda: rh.Sorting(True), T, "length must be a whole number, got True"),
    (lambda: rh.Sorting(4, 1), V, "vocab_size must be at least 2, got 1"),
    (lambda: rh.ObjectTracking(0), V, "num_objects must be at least 1, got 0"),
    (lambda: rh.ObjectTracking(3, 1), V, "grid_size must be at least 2, got 1"),
    (lambda: rh.ObjectTracking(3, 5, 0), V, "num_steps must be at least 1, got 0"),
    (lambda: rh.ObjectTracking(3, 5, None), T, "num_steps must be a whole number, got None"),
    (lambda: rh.StoryQA(num_people=0), V, "num_people must be at least 1, got 0"),
    (lambda: rh.StoryQA(num_objects=0), V, "num_objects must be at least 1, got 0"),
    (lambda: rh.StoryQA(num_places=1), V, "num_places must be at least 2, got 1"),
    (lambda: rh.StoryQA(num_facts=1), V, "num_facts must be at least 2, got 1"),
    (lambda: rh.StoryQA(num_people=2.0), T, r"num_people must be a whole number, got 2\.0"),
    (lambda: rh.StoryQA(num_facts=True), T, "num_facts must be a whole number, got True"),
    (lambda: rh.StoryQA(two_hop=-0.1), V, r"two_hop must be at least 0, got -0\.1"),
    (lambda: rh.StoryQA(two_hop=1.5), V, r"two_hop must be at most 1, got 1\.5"),
    (lambda: rh.StoryQA(two_hop="all"), T, "two_hop must be a number, got 'all'"),
    (lambda: rh.StoryQA(two_hop=np.nan), V, "two_hop must be a finite number, got nan"),
    (lambda: programs("sub"), V, "kind must be one of 'add', .*'double', got 'sub'"),
    (lambda: programs(None), V, "kind must be one of 'add'.*None"),
    (lambda: programs(nesting=0), V, "nesting must be at least 1, got 0"),
    (lambda: programs(nesting=101), V, "nesting must be from 1 to 100, got 101"),
    (lambda: programs(nesting=1.0), T, r"nesting must be a whole number, got 1\.0"),
    (lambda: programs("copy", nesting=0), V, "nesting must be at least 1, got 0"),
    (lambda: programs(length=9), V, "length must be from 1 to 8, got 9"),
    (lambda: programs("program", length=9), V, "length must be from 1 to 8, got 9"),
    (lambda: programs("control", length=0), V, "length must be at least 1, got 0"),
    (lambda: programs("reverse", length=0), V, "length must be at least 1, got 0"),
    (lambda: programs(length=True), T, "length must be a whole number, got True"),
    (lambda: programs(sizes="max"), V, "sizes must be one of 'mix', 'batch', 'fixed', got 'max'"),
    (lambda: programs().solve(np.zeros((1, 9, 30))), V, r"inputs must hold texts.*'add'.*got ''"),
    (lambda: programs("copy").solve(np.zeros((1, 5, 30))), V, "inputs must hold texts.*'copy'"),
    (lambda: TASK.sample(0, RNG), V, "batch_size must be at least 1, got 0"),
    (lambda: TASK.sample(2, 0), T, r"rng must be a numpy.random.Generator.*got 0"),
    (lambda: TASK.solve(SAMPLE[..., 1:]), V, r"inputs must have shape.*2, 9\), got \(1, 2, 8\)"),
    (lambda: TASK.solve(SAMPLE + np.nan), V, "inputs must be finite"),
    (lambda: TASK.describe(SAMPLE), V, r"inputs_i must have 2 axes, \(2, 9\), got.*\(1, 2, 9\)"),
    (lambda: TASK.draw("x"), T, "inputs_i must hold real numbers"),
    # statistics, and who is better
    (lambda: rh.mean_interval([1, 2], 1.5), V, r"confidence must be between 0 and 1, got 1\.5"),
    (lambda: rh.verdict([1], [1, 2]), V, "a must be two or more.*got 1"),
    (lambda: rh.verdict([1, 2], "ab"), T, "b must hold real numbers"),
    (lambda: rh.Comparison({}), V, "records must hold runs of all pairs, got none of.*nth_3x2"),
    (lambda: rh.Climb([1]), T, r"records must be a dict \{name: record\}.*got \[1\]"),
    (lambda: rh.Climb({}).rate("core"), V, "records must hold the runs.*climb_core_search_0.0005"),
    (lambda: rh.Climb.passed({}, 5, "hours"), V, "axis must be one of 'examples'.*'hours'"),
    (lambda: rh.Comparison([1]), T, r"records must be a dict \{name: record\}.*got \[1\]"),
    (lambda: rh.mean_interval([0.5]), V, "values.*two or more.*1"),
    (lambda: rh.mean_interval([0.5, np.nan]), V, "values.*finite"),
    (lambda: rh.mean_interval([[0.5, 0.6]]), V, "values.*1 ax"),
    (lambda: rh.mean_interval([0.5, 0.6], 95), V, "confidence.*between 0 and 1.*95"),
    (lambda: rh.mean_interval([0.5, 0.6], "95%"), T, "confidence.*'95%'"),
    (lambda: rh.mean_difference([0.5], [0.5, 0.6]), V, "a must be two or more.*1"),
    (lambda: rh.mean_difference([0.5, 0.6], 0.5), V, "b must have 1 ax"),
    (lambda: rh.mean_difference([0.5, 0.6], [0.5, np.nan]), V, "b must be finite"),
    (lambda: rh.mean_difference([0.5, 0.6], [[0.5, 0.6]]), V, "b must have 1 ax"),
    (lambda: rh.mean_difference([0.5, "x"], [0.5, 0.6]), T, "a must hold real"),
    (lambda: rh.mean_difference([0.5, 0.6], [0.5, 0.6], 1.0), V, "confidence.*0 and 1.*1.0"),
    (lambda: rh.mean_difference([0.5, 0.6], [0.5, 0.6], None), T, "confidence.*None"),
    (lambda: rh.load_records("nowhere"), V, "folder.*nowhere"),
    (lambda: rh.load_records(3), T, "folder must be the path of a folder, got 3"),
    (lambda: rh.load_records(".", 3), T, r"pattern must be text such as.*got 3"),
    # checkpoints and experiments
    (lambda: rh.save_checkpoint(3, MODEL), T, "path must be the path of a file, got 3"),
    (lambda: rh.save_checkpoint("", MODEL), OSError, "path must be that of a file, and ''"),
    (lambda: rh.save_checkpoint(".", MODEL), OSError, r"path.*a file, and '\.' is a folder"),
    (lambda: rh.save_checkpoint("no/such/x.npz", MODEL), OSError, "no/such"),
    (lambda: rh.save_checkpoint("x.npz", TASK), T, "model must be a Rel.*got NthFarthest"),
    (lambda: rh.save_checkpoint("x.npz", MODEL, 3), T, "extra must be a dict.*got 3"),
    (lambda: rh.save_checkpoint("x.npz", MODEL, {"a": {1}}), T, "extra must hold.*set"),
    (lambda: rh.load_checkpoint(None), T, "path must be the path of a file, got None"),
    (lambda: rh.load_checkpoint("no_such.npz"), OSError, "No such file.*no_such.npz"),
    (lambda: experiments([1]), T, "experiments must be a dict"),
    (lambda: experiments({1: RUN}), T, "experiments must hold dicts under strings.*1"),
    (lambda: experiments({"one": 2}), T, "'one': 2"),
    (lambda: experiments({"a/b": RUN}), V, "experiments must have names without /.*'a/b'"),
    (lambda: experiments({"one": {"task": 1}}), V, r"lacks \['model', 'train'\]"),
    (lambda: experiments(tasks=1), V, "more than it may.*tasks"),
    (lambda: experiments(train={"steps": 3}), V, "'train'.*must give steps and seed"),
    (lambda: experiments(train=5), V, "'train'.*must give steps and seed.*batch_size.*got 5"),
    (lambda: experiments(train=RUN["train"] | {"colour": 1}), V, "'train'.*may give.*'colour'"),
    (lambda: experiments(train=RUN["train"] | {"progress": True}), V, "'train'.*may.*progress"),
    (lambda: experiments(task=5), T, r"'one'.*'task'.*\(class name, arguments\), got 5"),
    (lambda: experiments(task=("Sorting",)), T, r"'task'.*\(class name, arg.*got \['Sorting'\]"),
    (lambda: experiments(task=([], {})), T, r"'task'.*\(class name, arguments\), got \[\[\]"),
    (lambda: experiments(task=("Nth", {})), V, "task must be one of NthF.*, got 'Nth'"),
    (lambda: experiments(task=("LSTM", {})), V, "a task must be one of .*, got 'LSTM'"),
    (lambda: experiments(task=("Sorting", {"colour": 1})), T, "Sorting.*unexpected.*'colour'"),
    (lambda: experiments(model="LSTM"), T, r"'model'.*\(class name, arguments\), got 'LSTM'"),
    (lambda: experiments(model=("Adam", {})), V, "model must be one of .*LSTM, got 'Adam'"),
    (lambda: experiments(model=("LSTM", {"hidden_size": 0})), V, "hidden_size.*at least 1, got 0"),
    (lambda: experiments(curriculum=5), T, "'curriculum'.*a list of.*score to move on at.*got 5"),
    (lambda: experiments(curriculum=[RUN["task"]]), T, "'curriculum'.*score.*got.*NthFarthest"),
    (lambda: experiments(train={"steps": np.ones(2)} | {"seed": 1}), T, "data that JSON can hold"),
    (lambda: experiments(executor=2), T, "executor must be .*Executor or None, got 2"),
    (lambda: experiments(folder="no such folder"), V, "folder.*that exists, got 'no such folder'"),
    (lambda: experiments(folder=3), T, "folder must be the path of a folder, got 3"),
    (lambda: intervals([1.0]), V, "values.*two or more"),
    (lambda: intervals([1.0, 2.0], columns=0), V, "columns.*at least 1"),
    # what the models are given
    (lambda: MODEL.forward(X[0]), V, "sequence.*3 axes.*(3, 9)"),
    (lambda: MODEL.forward(X[None]), V, "sequence.*3 axes"),
    (lambda: MODEL.forward(X[..., :-1]), V, r"sequence.*9\).*\(4, 3, 8\)"),
    (lambda: MODEL.forward(X[:0]), V, r"sequence.*\(0, 3, 9\)"),
    (lambda: MODEL.forward(X[:, :0]), V, r"sequence.*\(4, 0, 9\)"),
    (lambda: MODEL.forward(put(np.nan)), V, "sequence.*finite"),
    (lambda: MODEL.forward(put(-np.inf)), V, "sequence.*finite"),
    (lambda: MODEL.forward(put(1e39)), V, "sequence.*finite.*float32"),
    (lambda: MODEL.forward(put(10**39, X.astype(object))), T, "sequence.*real numbers"),
    (lambda: MODEL.forward(X + 0j), T, "sequence.*real numbers.*complex"),
    (lambda: MODEL.forward(X.astype(str)), T, "sequence.*real numbers"),
    (lambda: MODEL.forward(None), T, "sequence.*real numbers"),
    (lambda: MODEL.forward([[[1.0] * 9, [1.0] * 8]]), V, "sequence"),
    (lambda: MODEL.trace(X[0]), V, "sequence.*3 axes"),
    (lambda: MODEL.trace(put(np.nan)), V, "sequence.*finite"),
    (lambda: core().trace(X), V, r"sequence.*3\).*\(4, 3, 9\)"),
    (lambda: rrnn().forward(X), V, r"sequence.*3\).*\(4, 3, 9\)"),
    (lambda: MODEL.forward(X, state=H), T, r"state.*\(h, c\).*ndarray"),
    (lambda: MODEL.forward(X, state=(H[:, :4],)), T, r"state.*\(h, c\).*tuple"),
    (lambda: MODEL.forward(X, state="state"), T, r"state.*\(h, c\).*str"),
    (lambda: MODEL.forward(X, state=(H, H)), V, r"state: h.*\(4, 4\).*\(4, 6\)"),
    (lambda: MODEL.forward(X, state=[H[:, :4], None]), T, "state: c.*real numbers"),
    (lambda: MODEL.forward(X, state=(H[:, :4], put(np.nan, H[:, :4]))), V, "state: c.*finite"),
    (lambda: MODEL.forward(X[:3], state=(H[:, :4],) * 2), V, r"state: h.*\(3, 4\).*\(4, 4\)"),
    (lambda: MODEL.trace(X, state=(H[:, :4],) * 3), T, r"state.*\(h, c\)"),
    (lambda: CORE.forward(X, state=np.zeros((3, 4))), V, "state: memory.*3 axes"),
    (lambda: CORE.forward(X, state=np.zeros((2, 3, 4))), V, r"state: memory.*\(4, 3, 4\).*\(2, 3"),
    (lambda: CORE.forward(X, state=(M[..., :4],) * 2), T, r"state.*\(memory\)"),
    (lambda: CORE.forward(X, state=put(1e400, M[..., :4])), V, "state: memory.*finite"),
    (lambda: loss(inputs=X[0]), V, "inputs.*3 axes"),
    (lambda: loss(inputs=X[:0]), V, "inputs.*(0, 3, 9)"),
    (lambda: loss(inputs=put(np.inf)), V, "inputs.*finite"),
    (lambda: loss(targets=[[0], [1], [2], [0]]), V, r"targets.*0\.\.1.*2"),
    (lambda: loss(targets=[[0], [1], [-2], [0]]), V, "targets.*-1.*-2"),
    (lambda: loss(targets=[[0.0], [1.0], [1.0], [0.0]]), T, "targets.*whole numbers.*float64"),
    (lambda: loss(targets=[[True], [False], [True], [True]]), T, "targets.*whole numbers.*bool"),
    (lambda: loss(targets=[0, 1, 1, 0]), T, r"targets.*answers.*\(4,\)"),
    (lambda: loss(targets=[[0], [1]]), V, "targets.*4.*2"),
    (lambda: loss(targets=np.zeros((4, 4), int)), V, "targets.*at most 3.*4"),
    (lambda: loss(targets=np.full((4, 2), -1)), V, "targets.*-1"),
    (lambda: loss(targets=np.zeros((4, 0), int)), V, "targets.*ask"),
    (lambda: loss(targets=np.zeros((4, 1), object)), T, "targets.*whole numbers.*object"),
    (lambda: loss(targets=np.zeros((4, 1, 3))), V, r"targets.*2\).*\(4, 1, 3\)"),
    (lambda: loss(targets=np.zeros((3, 1, 2))), V, r"targets.*\(3, 1, 2\)"),
    (lambda: loss(targets=np.zeros((4, 5, 2))), V, "targets.*at most 3.*5"),
    (lambda: loss(targets=np.zeros((4, 0, 2))), V, "targets.*(4, 0, 2)"),
    (lambda: loss(targets=np.full((4, 1, 2), np.nan)), V, "targets.*finite"),
    (lambda: loss(targets=np.full((4, 1, 2), 1e39)), V, "targets.*finite.*float32"),
    (lambda: loss(targets=np.zeros((4, 1, 2), complex)), T, "targets.*real numbers"),
    (lambda: loss(workers=0), V, "workers.*at least 1.*0"),
    (lambda: MODEL.loss_and_grads(X), T, "batch.*Batch.*ndarray"),
    (lambda: MODEL.loss_and_grads(None), T, "batch.*Batch.*None"),
    (lambda: MODEL.loss_and_grads((X, X, X)), T, "batch.*Batch"),
    # the memory and the cell, step by step
    (lambda: PART.initial_memory(2, "ones"), V, "initial_memory|kind.*identity.*ones"),
    (lambda: rh.RelationalMemory(10, 8, 2).initial_memory(1), V, "num_slots.*9.*10"),
    (lambda: PART.forward(M[0]), V, "memory.*3 axes"),
    (lambda: PART.forward(M[:, :2]), V, r"memory.*3, 8\).*\(4, 2, 8\)"),
    (lambda: PART.forward(M[:0]), V, "memory.*(0, 3, 8)"),
    (lambda: PART.forward(put(np.nan, M)), V, "memory.*finite"),
    (lambda: PART.forward(M, np.zeros((4, 8))), V, r"input_vec.*\(4, 5\).*\(4, 8\)"),
    (lambda: PART.forward(M, np.zeros((3, 5))), V, r"input_vec.*\(4, 5\).*\(3, 5\)"),
    (lambda: PART.forward(M, np.zeros(5)), V, "input_vec.*2 axes"),
    (lambda: PART.forward(M, "input"), T, "input_vec.*real numbers"),
    (lambda: cell(x=X), V, r"\bx\b.*2 axes"),
    (lambda: cell(x=X[:, 0]), V, r"\bx\b.*5\).*\(4, 9\)"),
    (lambda: cell(h=H[:3]), V, r"\bh\b.*\(4, 6\).*\(3, 6\)"),
    (lambda: cell(c=H[:, :5]), V, r"\bc\b.*\(4, 6\).*\(4, 5\)"),
    (lambda: cell(memory=M[:1]), V, r"memory.*\(4, 3, 8\).*\(1, 3, 8\)"),
    (lambda: cell(h=put(np.inf, H)), V, r"\bh\b.*finite"),
    (lambda: cell(c=H + 1j), T, r"\bc\b.*real numbers"),
    # numerics and attention
    (lambda: rh.softmax(["a"]), T, r"\bx must hold real numbers"),
    (lambda: rh.sigmoid("a"), T, r"\bx must hold real numbers"),
    (lambda: rh.sigmoid(1j), T, r"\bx must hold real numbers, got dtype complex128"),
    (lambda: rh.layer_norm([["a"]], [1], [0]), T, r"\bx must hold real numbers"),
    (lambda: rh.layer_norm(Q, ["a"] * 4, np.ones(4)), T, "gain must hold real numbers"),
    (lambda: rh.layer_norm(Q, np.ones(4), None), T, "bias must hold real numbers"),
    (lambda: attend(k=np.ones((0, 4)), v=np.ones((0, 4))), V, r"at least one key; got.*\(0, 4\)"),
    (lambda: core_step(x=[1, 2]), V, r"\bx must have shape \(3\), got \(2,\)"),
    (lambda: core_step(M=Q[:, :3]), V, r"M must have shape \(slots, 4\), got \(3, 3\)"),
    (lambda: core_step(M=put(np.nan, Q)), V, "M must be finite"),
    (lambda: core_step(params={}), V, "params must be those of a core.*lacks.*W_in"),
    (lambda: core_step(params=core(mlp_layers=1).params), V, r"two MLP layers.*\['W_mlp2'\]"),
    (lambda: rh.orthogonal(3, 5), T, "rng must be a numpy.random.Generator.*got 5"),
    (lambda: rh.orthogonal(3, RNG, "f2"), T, "dtype must be numpy.float32.*'f2'"),
    (lambda: rh.softmax([[1, np.nan]]), V, r"\bx\b.*NaN"),
    (lambda: rh.softmax([1j, 2]), T, r"\bx\b.*real numbers"),
    (lambda: attend(q=Q + 1j), T, r"\bq\b.*real numbers"),
    (lambda: attend(q=np.full((3, 4), np.nan)), V, r"\bq\b.*finite"),
    (lambda: attend(v=np.full((3, 4), np.nan)), V, r"\bv\b.*finite"),
    (lambda: rh.softmax([[1, np.inf]]), V, r"\bx\b.*inf"),
    (lambda: rh.softmax([[-np.inf, -np.inf]]), V, r"\bx\b.*finite"),
    (lambda: rh.layer_norm(Q, np.ones(3), np.ones(4)), V, r"gain.*\(4,\).*\(3,\)"),
    (lambda: rh.layer_norm(Q, np.ones(4), 0.0), V, r"bias.*\(4,\).*\(\)"),
    (lambda: rh.layer_norm(1.0, 1.0, 0.0), V, "gain|x"),
    (lambda: rh.glorot_uniform((2, 3), 0), T, "rng.*Generator.*0"),
    (lambda: rh.glorot_uniform((2, 3), None), T, "rng.*Generator.*None"),
    (lambda: rh.glorot_uniform((0, 0), RNG), V, "shape.*at least 1.*0"),
    (lambda: rh.glorot_uniform((2, 3, 4), RNG), V, r"shape.*two sizes.*\(2, 3, 4\)"),
    (lambda: rh.glorot_uniform((-1, 3), RNG), V, "shape.*at least 1.*-1"),
    (lambda: rh.glorot_uniform(5, RNG), V, "shape.*two sizes.*5"),
    (lambda: rh.glorot_uniform((2, 3), np.random.RandomState(0)), T, "rng.*Generator"),
    (lambda: rh.glorot_uniform((2, 3), RNG, int), T, "dtype.*float32"),
    (lambda: attend(k=np.ones((3, 5))), V, r"q, k, v.*\(3, 5\)"),
    (lambda: attend(v=np.ones((4, 4))), V, r"q, k, v.*\(4, 4\)"),
    (lambda: attend(q=np.ones(4)), V, r"q, k, v.*\(4,\)"),
    (lambda: attend(mask=np.ones((3, 3))), T, "mask.*boolean.*float64"),
    (lambda: attend(mask=np.ones((2, 3), bool)), V, r"mask.*\(3, 3\).*\(2, 3\)"),
    (lambda: attend(mask=np.zeros((3, 3), bool)), V, "mask.*every query"),
    (lambda: heads(num_heads=0), V, "num_heads.*at least 1.*0"),
    (lambda: heads(num_heads=3), V, "W_q.*num_heads = 3.*(4, 4)"),
    (lambda: heads(num_heads=2.0), T, "num_heads.*2.0"),
    (lambda: heads(x=Q), V, r"\bx\b.*3 axes"),
    (lambda: heads(x=ROWS[:0]), V, r"\bx\b.*\(0, 3, 4\)"),
    (lambda: heads(memory=ROWS[:1]), V, r"memory.*\(1, 3, 4\)"),
    (lambda: heads(memory=put(np.nan, ROWS)), V, "memory.*finite"),
    (lambda: heads(memory=ROWS[..., :3]), V, r"W_k.*3.*\(4, 4\)"),
    (lambda: heads(params={"W_q": Q}), V, "params.*W_k.*W_q|W_q.*(3, 4)"),
    (lambda: heads(params=W | {"W_v": np.ones(4)}), V, r"W_v.*\(4,\)"),
    (lambda: heads(mask=np.ones((3, 3), int)), T, "mask.*boolean"),
    (lambda: check(targets=-1), V, "targets.*-1"),
    (lambda: check(model=None), T, "model.*RelationalMemoryCore.*None"),
    (lambda: check(model=PART), T, "model.*RelationalMemory"),
    # training
    (lambda: adam([0.0, 1.0]), T, "flat.*one-dimensional"),
    (lambda: adam(np.zeros((2, 2))), T, "flat.*one-dimensional"),
    (lambda: adam(np.zeros(2, int)), T, "flat.*float"),
    (lambda: adam(learning_rate=-1e-3), V, "learning_rate.*above 0.*-0.001"),
    (lambda: adam(learning_rate=0), V, "learning_rate.*above 0"),
    (lambda: adam(betas=(0.9, 1.0)), V, r"betas.*below 1.*1\.0"),
    (lambda: adam(betas=(-0.1, 0.9)), V, "betas.*-0.1"),
    (lambda: adam(betas=(0.9,)), V, "betas.*two.*0.9"),
    (lambda: adam(betas=0.9), V, "betas.*two.*0.9"),
    (lambda: adam(betas=("a", 0.9)), T, "betas.*'a'"),
    (lambda: adam(eps=0), V, "eps.*above 0"),
    (lambda: adam().step(np.zeros(4)), V, r"grad_flat.*\(3,\).*\(4,\)"),
    (lambda: adam().step(np.zeros(3), learning_rate=-1), V, "learning_rate.*-1"),
    (lambda: train(task=None), T, NOT_TASK + ".*None"),
    (lambda: train(task=MODEL), T, NOT_TASK),
    (lambda: train(task=rh.NthFarthest(3, 3)), V, r"task.*9, 2.*NthFarthest\(3, 3\).*12, 3"),
    (lambda: train(learning_rate=-1.0), V, "learning_rate.*above 0.*-1"),
    (lambda: train(learning_rate=np.inf), V, "learning_rate.*finite.*inf"),
    (lambda: train(clip_norm=0), V, "clip_norm.*above 0.*0"),
    (lambda: check(step=0), V, "step.*above 0.*0"),
    (lambda: train(curriculum=[TASK]), T, "curriculum.*score.*NthFarthest"),
    (lambda: train(curriculum=(TASK, 0.5)), T, "curriculum.*score.*NthFarthest"),
    (lambda: train(curriculum=[(TASK, 0.5, 1)]), T, "curriculum.*score"),
    (lambda: train(curriculum=[(TASK, "0.5")]), T, "curriculum.*'0.5'"),
    (lambda: train(curriculum=[(TASK, np.nan)]), V, "curriculum.*nan"),
    (lambda: train(curriculum=[(None, 0.5)]), T, "curriculum.*task.*None"),
    (lambda: train(curriculum=[(rh.NthFarthest(2, 2), 0.5)]), V, r"curriculum.*9, 2.*8, 2"),
    (lambda: train(curriculum=5), T, r"curriculum must be a list of \(task, score.*got 5"),
    (lambda: train(checkpoint=3), T, "checkpoint must be the path of a file, got 3"),
    (lambda: train(colour=1), T, "train.*unexpected.*colour"),
    (lambda: adam().step(np.zeros(3), learning_rate="1"), T, "learning_rate must be a number.*'1'"),
    (lambda: rh.evaluate(MODEL, TASK, 2.0), T, r"examples must be a whole number, got 2\.0"),
    (lambda: train(schedule="cosine"), V, "schedule.*'constant', 'decay'.*'cosine'"),
    (lambda: train(model="model"), T, "model.*RelationalMemoryCore.*str"),
    (lambda: train(model=PART), T, "model.*RelationalMemory"),
    (lambda: train(checkpoint="/no/such/folder/run.npz"), OSError, "folder that exists.*such"),
    (lambda: rh.evaluate(None, TASK), T, "model.*RelationalMemoryCore.*None"),
    (lambda: rh.evaluate(MODEL, None), T, NOT_TASK),
    (lambda: rh.evaluate(MODEL, rh.NthFarthest(3, 3)), V, "task.*9, 2.*12, 3"),
    # pictures
    (lambda: rh.label_cells(None, ROWS), V, "values.*2 axes"),
    (lambda: rh.label_cells(None, [[0.5, np.nan]]), V, "values.*finite"),
    (lambda: rh.plot_attention(Q), V, "weights.*3 axes"),
    (lambda: rh.plot_attention(put(np.nan, ROWS)), V, "weights.*finite"),
    (lambda: rh.plot_attention(ROWS[:0]), V, "weights.*(0, 3, 4)"),
    (lambda: rh.plot_memory(np.zeros((1, 2, 3, 4))), V, "memory.*3 axes"),
    (lambda: rh.plot_memory("memory"), T, "memory.*real numbers"),
    (lambda: rh.plot_memory(ROWS, titles=["one"]), V, "titles.*2.*1"),
    (lambda: rh.plot_memory(ROWS, columns=0), V, "columns.*at least 1.*0"),
    (lambda: rh.plot_memory(ROWS, limit=-1.0), V, "limit.*above 0.*-1"),
    (lambda: rh.plot_attention(ROWS, keys=["one"]), V, r"keys must be 4.*\(2, 3, 4\).*got 1"),
    (lambda: rh.plot_attention(ROWS, queries=list("abcd")), V, "queries must be 3.*got 4"),
    (lambda: rh.plot_attention(ROWS, titles=["one"]), V, "titles must be 2.*got 1"),
    (lambda: rh.LiveFigure(None, None, slots=None), V, "slots.*None"),
    (lambda: rh.claim("it holds", 1), V, "claim.*at_least"),
    (lambda: rh.claim("it holds", [], at_least=1), V, "claim.*value.*it holds"),
]
# Refused by NumPy or Python, in their words: of the right type, but the argument is not named.
PLAIN_CALLS = [
    (lambda: rh.softmax(np.zeros((2, 0))), V, ""),
    (lambda: attend(q=ROWS, k=np.ones((3, 3, 4)), v=np.ones((3, 3, 4))), V, "(2, ?3, ?4)"),
    (lambda: heads(params=None), T, ""),
    (lambda: heads(params=W | {"W_o": np.ones((3, 3))}), V, "4"),
    (lambda: heads(params=W | {"W_q": np.ones((4, 2))}), V, ""),
    (lambda: heads(params=W | {"W_q": np.full((4, 4), np.nan)}), V, "NaN|finite"),
    (lambda: adam().step([1.0, 2.0, 3.0]), T, ""),
    (lambda: rh.claim("it holds", "x", at_least=1), V, "x"),
]


@pytest.mark.parametrize(
    ("call", "name", "least"),
    [(call, name, least) for call, (_, *names) in CHECKED.items()
     for least, some in zip((1, 0), names, strict=True) for name in some.split()],
)  # fmt: skip
def test_what_is_too_small(call, name, least):
    with pytest.raises(ValueError, match=f"^{name} must be at least {least}, got {least - 1}"):
        call(**{name: least - 1})


@pytest.mark.parametrize(
    ("call", "name"),
    [(call, p.name) for call, (function, *_) in CHECKED.items()
     for p in inspect.signature(function).parameters.values() if p.annotation is not p.empty],
)  # fmt: skip
def test_what_is_of_the_wrong_kind(call, name):
    """Whatever the argument is: some object, or a list of one."""
    for thing in (object(), [object()]):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be .*object object"):
            call(**{name: thing})


def names(calls):
    plain = [re.sub(r"[^A-Za-z_]+", "-", words)[:30] for *_, words in calls]
    return [f"{i}-{words}" for i, words in enumerate(plain)]


def refuses(call, error, words):
    before = MODEL.flat.copy()
    try:
        with pytest.raises(error) as caught:
            call()
        np.testing.assert_array_equal(MODEL.flat, before)
    finally:
        MODEL.flat[:] = before
    said = str(caught.value)
    assert re.search(words, said, re.DOTALL), f"{caught.value!r} does not say {words!r}"
    assert not isinstance(caught.value, (UnicodeError, rh.CheckpointError))


@pytest.mark.parametrize(("call", "error", "words"), BAD_CALLS, ids=names(BAD_CALLS))
def test_bad_call(call, error, words):
    refuses(call, error, words)


@pytest.mark.parametrize(("call", "error", "words"), PLAIN_CALLS, ids=range(len(PLAIN_CALLS)))
def test_bad_call_with_a_plain_message(call, error, words):
    refuses(call, error, words)


def test_good_calls_do_go_through():
    """So that the calls above fail for the reason given, not for the rest of their arguments."""
    core(), rrnn(), lstm(), loss(), adam().step(np.zeros(3)), attend(), heads(), cell()
    PART.forward(M, np.zeros((4, 5))), PART.forward(M), PART.initial_memory(2)
    attend(mask=np.ones((3, 3), bool)), check(per_parameter=1), intervals([1.0, 2.0])
    TASK.solve(SAMPLE), TASK.describe(SAMPLE[0]), rh.evaluate(MODEL, TASK, 2)
    MODEL.forward(X, state=(H[:, :4],) * 2), CORE.forward(X, state=M[..., :4])
    options = {"patience": 1, "clip_norm": None, "warmup": 0, "schedule": "decay"}
    train(model=lstm(9, 4, 2), curriculum=[(TASK, 0.5)], **options)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: rh.train(model, TASK, 5, progress=False, curriculum=[(TASK, 0.5), "x"]),
        lambda model: rh.train(model, TASK, 5, progress=False, checkpoint_every=0),
        lambda model: rh.train(model, TASK, 5, progress=False, workers=-1),
        lambda model: model.loss_and_grads(rh.Batch(X, np.full((4, 1), 5)), workers=2),
        lambda model: model.loss_and_grads(rh.Batch(X, np.full((4, 1), 0)), workers=0),
        lambda model: model.forward(put(1e39)),
        lambda model: rh.check_gradients(model, rh.Batch(X, np.full((4, 1), 9))),
        lambda model: rh.Adam(model.flat).step(np.ones(3)),
    ],
)
def test_a_call_that_fails_changes_nothing(call):
    """Neither parameters nor what a later good call returns."""
    model, untouched = (lstm(TASK.input_size, 4, 2, dtype=np.float32) for _ in range(2))
    with pytest.raises((ValueError, TypeError)):
        call(model)
    np.testing.assert_array_equal(model.flat, untouched.flat)
    np.testing.assert_array_equal(model.forward(X), untouched.forward(X))


def test_float64_takes_what_float32_cannot_hold():
    model = lstm(TASK.input_size, 4, 2)
    assert np.isfinite(model.forward(put(1e39))).all()


# --- The checks themselves -------------------------------------------------------------------
class Thing:
    @checked
    def __init__(self, size: Whole(1, 5), share: Number(0, 1, above=True) = 0.5, *,
                 kind: OneOf("a", True, None) = "a", more: OrNone(Wholes(0)) = None,
                 free=None):  # fmt: skip
        self.share_when_made = share


def test_a_checked_constructor_keeps_its_arguments():
    """As plain values, also where nothing was given, and as attributes."""
    thing = Thing(np.int32(2), more=[1, np.int64(0)])
    assert thing.config == {"size": 2, "share": 0.5, "kind": "a", "more": (1, 0), "free": None}
    assert type(thing.size) is int and type(thing.more[1]) is int
    assert (thing.size, thing.kind, thing.share_when_made) == (2, "a", 0.5)
    assert Thing(**thing.config).config == thing.config
    assert Thing.__init__.__name__ == "__init__"


@pytest.mark.parametrize(
    ("check", "value", "right"),
    [(Whole(), np.uint8(3), 3), (Whole(0), 0, 0), (Whole(1, 5), 5, 5), (Whole(), 10**30, 10**30),
     (Number(), 3, 3.0), (Number(), np.float32(0.5), 0.5), (Number(0, 1), 1, 1.0),
     (Number(finite=False), np.inf, np.inf), (OneOf("a", True, None), True, True),
     (OneOf("a", None), np.str_("a"), "a"), (OrNone(Whole()), None, None), (OrNone(Whole()), 2, 2),
     (Wholes(), [], ()), (Wholes(), np.array([3, 4]), (3, 4)), (Dtype(), "f4", np.dtype("f4")),
     (Dtype(), float, np.dtype("f8")), (Rng(), RNG, RNG)],
)  # fmt: skip
def test_what_fits(check, value, right):
    found = check("name", value)
    assert found == right and (type(found) is type(right) or found is value)


@pytest.mark.parametrize(
    ("check", "value", "error", "words"),
    [(Whole(1, 5), 6, V, "from 1 to 5, got 6"), (Whole(2), 1, V, "at least 2, got 1"),
     (Number(0, above=True), 0, V, "above 0, got 0"), (Number(0), -1, V, "at least 0, got -1"),
     (Number(high=1, below=True), 1, V, "below 1, got 1"), (Number(high=1), 2, V, "at most 1"),
     (Number(), np.inf, V, "a finite number, got inf"), (Number(), "1", T, "a number, got '1'"),
     (Number(finite=False), np.nan, V, "a number, got nan"), (Number(), True, T, "got True"),
     (OneOf("a", True), 1, V, "one of 'a', True, got 1"), (Rng(), 3, T, "Generator.*got 3"),
     (Wholes(), "12", T, "such as.*got '12'"), (Wholes(1), [0], V, "at least 1, got 0"),
     *((Whole(), value, T, "a whole number, got .*") for value in
       (3.0, True, "3", None, np.ones(1, int), np.float64(2), np.nan, 1j, {}, np.bool_(True))),
     *((Wholes(), value, T, "got") for value in (5, "64", (5.5,), None, [None], ({},), b"12")),
     *((OneOf("unit", None), value, V, "'unit', None, got") for value in
       (False, ["unit"], np.zeros(2), "Unit", 0)),
     *((Number(), value, T, "a number, got") for value in ("1", None, np.zeros(8), 1j, np.True_)),
     *((Dtype(), value, T, "numpy.float32 or numpy.float64, got") for value in
       ("int32", np.float16, None, "real", complex, int, np.int64, object())),
     (Rng(), np.random.RandomState(0), T, "Generator"), (OrNone(Whole()), 0, V, "got 0")],
    ids=itertools.count(),
)  # fmt: skip
def test_what_does_not_fit(check, value, error, words):
    with pytest.raises(error, match=f"name must be .*{words}"):
        check("name", value)


@pytest.mark.parametrize("value", [2**64, -(10**30), 10**400])
def test_a_number_that_is_whole_and_large(value):
    """It is a number, or it is refused by name."""
    try:
        assert Number()("name", value) == float(value)
    except ValueError as error:
        assert "name" in str(error)


def test_floats():
    assert floats("x", [[1, 2]], ("rows", 2)).dtype == np.float64
    assert floats("x", np.ones(2, np.float32), (2,)).dtype == np.float32
    assert floats("x", np.ones(2), (2,), np.float32).dtype == np.float32
    given = np.ones((2, 2))
    assert floats("x", given, (2, "columns")) is given  # nothing is copied without need
    for array, right in ((np.ones(3, bool), float), (np.ones(3, np.float16), np.float16)):
        assert real("x", array).dtype == right
