"""Every hand-written gradient against central differences; and the checker against gradients that are wrong.

float64, three or more time steps, a random first memory and random targets: nothing is zero or symmetric by accident.
"""

import ast
import contextlib
import copy
import itertools
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import rrnn_helpers as rh

LIMIT = 1e-6  # what rounding may leave of a right gradient
CAUGHT = 1e-5  # what a wrong gradient must show at least


def core(input_size=3, output_size=3, num_slots=2, slot_size=4, num_heads=2, **kwargs):
    kwargs = {"seed": 3, "dtype": np.float64, "initial_memory": "random"} | kwargs
    return rh.RelationalMemoryCore(input_size, output_size, num_slots, slot_size, num_heads, **kwargs)


def rrnn(hidden_size=5, slot_size=4, num_heads=2, **kwargs):
    kwargs = {"seed": 3, "dtype": np.float64, "initial_memory": "random"} | kwargs
    return rh.RelationalRNN(3, hidden_size, 3, 2, slot_size, num_heads, **kwargs)


def lstm(**kwargs):
    return rh.LSTM(3, 5, 3, **({"seed": 3, "dtype": np.float64} | kwargs))


def make_batch(kind="class", examples=3, time=4, answers=2, seed=0, input_size=3, output_size=3):
    """Random inputs; random classes with some -1 among them, or random numbers, for the last `answers` steps."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(examples, time, input_size))
    if kind == "number":
        return rh.Batch(inputs, rng.normal(size=(examples, answers, output_size)))
    targets = rng.integers(0, output_size, (examples, answers))
    targets[0, 0] = -1
    if examples > 1:
        targets[1] = np.arange(answers) % output_size  # this example asks at every step
    return rh.Batch(inputs, targets)


def worst(model, batch, **kwargs):
    """(largest relative error, name of its parameter); every parameter must have been looked at."""
    errors = rh.check_gradients(model, batch, **({"rng": np.random.default_rng(1)} | kwargs))
    assert errors.keys() == model.params.keys()
    return max((error, name) for name, error in errors.items())


MODELS = {"core": core, "rrnn": rrnn, "lstm": lstm}
VARIANTS = {
    "core": core,
    "core, memory gate": lambda: core(gate_style="memory"),
    "core, no gate": lambda: core(gate_style=None),
    "core, no qkv norm": lambda: core(qkv_norm=False),
    "core, no qkv norm, memory gate, 2 blocks": lambda: core(qkv_norm=False, gate_style="memory", num_blocks=2),
    "core, no gate, no norm, no mlp, 2 blocks": lambda: core(
        gate_style=None, qkv_norm=False, mlp_layers=0, num_blocks=2
    ),
    "core, 2 blocks": lambda: core(num_blocks=2),
    "core, 3 blocks, no gate": lambda: core(num_blocks=3, gate_style=None),
    "core, no mlp": lambda: core(mlp_layers=0),
    "core, 1 mlp layer": lambda: core(mlp_layers=1),
    "core, 3 mlp layers": lambda: core(mlp_layers=3),
    "core, identity": lambda: core(initial_memory="identity", num_slots=3),
    "core, zeros": lambda: core(initial_memory="zeros"),
    "core, one slot": lambda: core(num_slots=1),
    "core, each slot for itself": lambda: core(attend_to="self", num_slots=3),
    "core, each slot for itself, 2 blocks, no qkv norm": lambda: core(attend_to="self", num_blocks=2, qkv_norm=False),
    "core, one head": lambda: core(num_heads=1),
    "core, as many heads as numbers": lambda: core(num_heads=4),
    "core, slots of one number": lambda: core(slot_size=1, num_heads=1, qkv_norm=False),
    "core, readout (5,)": lambda: core(readout_sizes=(5,)),
    "core, readout (6, 5)": lambda: core(readout_sizes=(6, 5)),
    "core, biases": lambda: core(forget_bias=-0.7, input_bias=1.3),
    "core, biases, memory gate": lambda: core(forget_bias=2.5, input_bias=-1.0, gate_style="memory"),
    "core, memory gate with slots of one number": lambda: core(
        gate_style="memory", slot_size=1, num_heads=1, qkv_norm=False
    ),
    "rrnn, with input projection": rrnn,
    "rrnn, without input projection": lambda: rrnn(hidden_size=4),
    "rrnn, one head": lambda: rrnn(num_heads=1),
    "rrnn, readout (5,)": lambda: rrnn(readout_sizes=(5,)),
    "rrnn, readout (6, 5)": lambda: rrnn(readout_sizes=(6, 5)),
    "rrnn, identity": lambda: rrnn(initial_memory="identity"),
    "rrnn, zeros": lambda: rrnn(initial_memory="zeros"),
    "rrnn, no lstm": lambda: rrnn(use_lstm=False),
    "rrnn, no lstm, without input projection": lambda: rrnn(use_lstm=False, hidden_size=4),
    "lstm": lstm,
    "lstm, readout (5,)": lambda: lstm(readout_sizes=(5,)),
    "lstm, readout (6, 5)": lambda: lstm(readout_sizes=(6, 5)),
}


# ---------------------------------------------------------------------------------------------------------------------
# The gradients are right
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["class", "number"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter(variant, kind):
    model = VARIANTS[variant]()
    before = model.flat.copy()
    error, name = worst(model, make_batch(kind), per_parameter=6)
    assert error < LIMIT, name
    np.testing.assert_array_equal(model.flat, before)  # the checker puts the parameters back


@pytest.mark.parametrize("name", MODELS)
def test_every_entry(name):
    error, parameter = worst(MODELS[name](), make_batch(examples=2, time=3))
    assert error < LIMIT, parameter


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("time", "answers"), [(1, 1), (3, 1), (3, 3), (6, 1)])
def test_lengths(name, time, answers):
    error, parameter = worst(MODELS[name](), make_batch(time=time, answers=answers), per_parameter=6)
    assert error < LIMIT, parameter


@pytest.mark.parametrize("name", MODELS)
def test_float32_model_is_checked_in_float64(name):
    model = MODELS[name](dtype=np.float32)
    before = model.flat.copy()
    error, parameter = worst(model, make_batch(), per_parameter=4)
    assert error < LIMIT, parameter
    np.testing.assert_array_equal(model.flat, before)


@pytest.mark.parametrize("variant", VARIANTS)
def test_directions_without_the_checker(variant):
    """The slope along random directions in the space of all parameters, with differences written here.

    With number targets the mean squared error hands random numbers of both signs to every output."""
    model, batch = VARIANTS[variant](), make_batch("number", answers=3)
    rng = np.random.default_rng(5)
    model.flat += 0.1 * rng.normal(size=model.flat.size)
    _, grads, _ = model.loss_and_grads(batch)
    flat_grad = np.concatenate([grads[name].ravel() for name in model.params])

    def loss(move):
        model.flat += move
        found = np.mean((model.forward(batch.inputs)[:, -3:] - batch.targets) ** 2)
        model.flat -= move
        return found

    starts = np.cumsum([0, *(array.size for array in model.params.values())])
    for start, stop in itertools.pairwise(starts):  # one random direction in each parameter
        direction = np.zeros_like(model.flat)
        direction[start:stop] = rng.normal(size=stop - start)
        direction /= np.linalg.norm(direction)
        slopes = [(loss(h * direction) - loss(-h * direction)) / (2 * h) for h in (1e-5, 1e-6)]
        miss = min(abs(slope - flat_grad @ direction) for slope in slopes)  # the smaller step may miss a ReLU's kink
        assert miss < 1e-6 * max(1e-2, np.abs(flat_grad).max())


@pytest.mark.parametrize("name", MODELS)
def test_float32_gradients_are_the_float64_ones_to_rounding(name):
    batch = make_batch(answers=3)
    _, exact, _ = MODELS[name]().loss_and_grads(batch)
    _, rounded, _ = MODELS[name](dtype=np.float32).loss_and_grads(batch)
    for parameter, grad in rounded.items():
        assert grad.dtype == np.float32
        np.testing.assert_allclose(grad, exact[parameter], atol=2e-5, err_msg=parameter)


# ---------------------------------------------------------------------------------------------------------------------
# Loss, metrics and threads
# ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["class", "number"])
@pytest.mark.parametrize("name", MODELS)
def test_workers_agree(name, kind):
    model, batch = MODELS[name](), make_batch(kind, examples=4)
    if kind == "class":
        batch.targets[1] = -1  # with three workers one of them has nothing asked
    loss, grads, metrics = model.loss_and_grads(batch)
    for workers in (1, 2, 3, 9):
        other_loss, other, other_metrics = model.loss_and_grads(batch, workers=workers)
        assert other_loss == pytest.approx(loss, rel=1e-13)
        assert other_metrics == pytest.approx(metrics, rel=1e-13)
        assert other.keys() == grads.keys()
        for parameter, grad in grads.items():
            np.testing.assert_allclose(other[parameter], grad, rtol=1e-10, atol=1e-14, err_msg=parameter)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_loss_is_the_mean_over_what_is_asked(name, workers):
    """Not the mean of the workers' means: the halves ask 1 and 5 targets here."""
    model, batch = MODELS[name](), make_batch(examples=6)
    batch.targets[:] = [[-1, -1], [2, -1], [-1, -1], [0, 1], [1, 1], [-1, 2]]
    outputs = model.forward(batch.inputs)[:, -2:]
    log_p = outputs - np.log(np.exp(outputs).sum(axis=-1, keepdims=True))
    asked = list(zip(*np.nonzero(batch.targets != -1), strict=True))
    expected = -np.mean([log_p[i, a, batch.targets[i, a]] for i, a in asked])
    right = np.mean([outputs[i, a].argmax() == batch.targets[i, a] for i, a in asked])
    loss, _, metrics = model.loss_and_grads(batch, workers=workers)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert metrics == {"loss": loss, "accuracy": pytest.approx(right)}


@pytest.mark.parametrize("name", MODELS)
def test_number_loss_is_the_mean_over_all_entries(name):
    model, batch = MODELS[name](), make_batch("number")
    miss = model.forward(batch.inputs)[:, -2:] - batch.targets
    loss, _, metrics = model.loss_and_grads(batch)
    assert loss == pytest.approx(np.mean(miss**2), rel=1e-12)
    assert metrics == {"loss": loss, "error": pytest.approx(np.sqrt(np.mean(miss**2)))}


@pytest.mark.parametrize("name", MODELS)
def test_an_example_that_asks_nothing_has_no_gradient(name):
    """Its inputs may be anything."""
    model, batch = MODELS[name](), make_batch()
    batch.targets[2] = -1
    _, grads, _ = model.loss_and_grads(batch)
    grads = {parameter: grad.copy() for parameter, grad in grads.items()}
    batch.inputs[2] = 7.0
    _, other, _ = model.loss_and_grads(batch)
    for parameter, grad in grads.items():
        np.testing.assert_allclose(other[parameter], grad, rtol=1e-10, atol=1e-14)


def test_logits_far_apart_do_not_overflow():
    model = lstm(dtype=np.float32)
    model.params["b_out"][:] = [1e4, 0, -1e4]
    batch = make_batch()
    batch.targets[:] = 2
    loss, grads, _ = model.loss_and_grads(batch)
    assert loss == pytest.approx(2e4, rel=1e-3)
    assert all(np.isfinite(grad).all() for grad in grads.values())


# ---------------------------------------------------------------------------------------------------------------------
# The checker finds gradients that are wrong
# ---------------------------------------------------------------------------------------------------------------------
def spoil(model, change):
    """The model with loss_and_grads whose grads went through change(grads)."""
    honest = model.loss_and_grads

    def loss_and_grads(batch, workers=1):
        loss, grads, metrics = honest(batch, workers)
        grads = {name: grad.copy() for name, grad in grads.items()}
        change(grads)
        return loss, grads, metrics

    model.loss_and_grads = loss_and_grads
    return model


def flipped(name):
    def change(grads):
        grads[name] *= -1

    return change


def zeroed(name):
    def change(grads):
        grads[name][:] = 0

    return change


def transposed(name):
    def change(grads):
        grads[name][:] = grads[name].T.copy()

    return change


def slightly_off(name):
    def change(grads):
        grads[name].flat[np.abs(grads[name]).argmax()] *= 1 + 1e-4  # one entry

    return change


@pytest.mark.parametrize("change", [flipped, zeroed, transposed, slightly_off])
@pytest.mark.parametrize("name", MODELS)
def test_checker_catches_wrong_parameters(name, change):
    """Each parameter that is wrong is named, though all are wrong in the same way; and only it, if it is alone."""
    params = MODELS[name]().params
    if change is transposed:
        params = [parameter for parameter, array in params.items() if array.ndim == 2 and len(set(array.shape)) == 1]
        if not params:
            assert name == "lstm"
            return

    def change_all(grads):
        for parameter in params:
            change(parameter)(grads)

    errors = rh.check_gradients(spoil(MODELS[name](), change_all), make_batch(examples=2, time=3))
    for parameter in params:
        assert errors[parameter] > (0.9e-4 if change is slightly_off else 0.1), parameter
    alone = list(params)[0]
    errors = rh.check_gradients(spoil(MODELS[name](), change(alone)), make_batch(examples=2, time=3), per_parameter=4)
    assert all(error < LIMIT for other, error in errors.items() if other != alone)


def test_checker_catches_truncated_back_propagation():
    """The gradient of the last step alone, from the memory as it was before that step."""
    model, batch = core(), make_batch("number", examples=1, time=3, answers=1)
    honest = model.loss_and_grads

    def loss_and_grads(batch, workers=1):
        first = model.first_memory.copy()
        _, memory = model.forward(batch.inputs[:, :-1], return_state=True)
        model.first_memory[:] = memory[0]
        found = honest(rh.Batch(batch.inputs[:, -1:], batch.targets), workers)
        model.first_memory[:] = first
        return found

    assert loss_and_grads(batch)[0] == pytest.approx(honest(batch)[0])  # the right loss
    model.loss_and_grads = loss_and_grads
    assert worst(model, batch)[0] > 0.01


def test_checker_catches_nan():
    def change(grads):
        grads["W_h"][0, 0] = np.nan

    assert not rh.check_gradients(spoil(lstm(), change), make_batch())["W_h"] < 0.1


def test_checker_restores_the_parameters_after_an_error():
    def change(grads):
        raise RuntimeError

    model = spoil(lstm(), change)
    before = model.flat.copy()
    with pytest.raises(RuntimeError):
        rh.check_gradients(model, make_batch())
    np.testing.assert_array_equal(model.flat, before)


# ---------------------------------------------------------------------------------------------------------------------
# Mutants of the source: one change in one function of the backward pass, chosen by the shape of the code
# ---------------------------------------------------------------------------------------------------------------------
SOURCE = Path(rh.__file__).read_text(encoding="utf-8")
SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add}
EQUIVALENT = {}  # mutants that change no result: {description without the line number: why}


def functions(tree):
    """(class name or None, definition) of every function and method of the module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield None, node
        elif isinstance(node, ast.ClassDef):
            yield from ((node.name, part) for part in node.body if isinstance(part, ast.FunctionDef))


class Mutation(ast.NodeTransformer):
    """Applies mutation number `wanted` of a function, and notes what it did."""

    def __init__(self, wanted):
        self.wanted, self.count, self.done = wanted, -1, None

    def hit(self, node, what):
        self.count += 1
        if self.count == self.wanted:
            self.done = f"{what}: {ast.unparse(node).splitlines()[0]}"
        return self.count == self.wanted

    def visit_AugAssign(self, node):
        if type(node.op) in SIGNS and self.hit(node, "sign"):
            node.op = SIGNS[type(node.op)]()
        elif isinstance(node.op, (ast.Mult, ast.Div)) and self.hit(node, "dropped"):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_BinOp(self, node):
        constant = isinstance(node.left, ast.Constant) and node.left.value == 1
        if constant and isinstance(node.op, ast.Sub) and self.hit(node, "1 - x to 1"):
            return node.left
        return self.generic_visit(node)

    def visit_Attribute(self, node):
        if node.attr == "T" and self.hit(node, "transposition"):
            return node.value
        return self.generic_visit(node)

    def visit_For(self, node):
        if "reversed(range(" in ast.unparse(node.iter) and self.hit(node, "truncated"):
            node.iter = ast.parse(f"list({ast.unparse(node.iter)})[:1]", mode="eval").body
        return self.generic_visit(node)


def error_of(module, number, per_parameter):
    """The largest error that check_gradients finds in one of five small models; infinite if the code does not run."""
    arguments = {"seed": 3, "dtype": np.float64, "initial_memory": "random"}
    model = (
        lambda: module.LSTM(2, 2, 2, seed=3, dtype=np.float64),
        lambda: module.RelationalRNN(2, 3, 2, 2, 4, 2, **arguments),
        lambda: module.RelationalRNN(2, 3, 2, 2, 4, 2, use_lstm=False, **arguments),
        lambda: module.RelationalMemoryCore(2, 2, 2, 4, 2, num_blocks=2, readout_sizes=(3,), **arguments),
        lambda: module.RelationalMemoryCore(2, 2, 2, 4, 2, qkv_norm=False, gate_style="memory", **arguments),
    )[number]
    batch = make_batch(examples=2, time=3, input_size=2, output_size=2)
    with np.errstate(all="ignore"):
        try:
            errors = module.check_gradients(model(), batch, per_parameter=per_parameter, rng=np.random.default_rng(1))
        except Exception:  # a mutant may break in any way: that is being caught, too
            return np.inf
    return np.nan_to_num(max(errors.values()), nan=np.inf)


def test_mutants_of_the_backward_passes_are_caught():
    module = types.ModuleType("copy_of_rrnn_helpers")
    exec(compile(SOURCE, "copy", "exec"), module.__dict__)
    assert max(error_of(module, number, 12) for number in range(5)) < LIMIT
    caught, survivors = [], []
    for owner, definition in functions(ast.parse(SOURCE)):
        if "back" not in definition.name:
            continue
        home = getattr(module, owner) if owner else module
        original = getattr(home, definition.name)
        setattr(home, definition.name, None)  # whoever cannot do without it is worth a look
        users = [number for number in range(5) if error_of(module, number, 1) == np.inf]
        for wanted in itertools.count():
            mutation = Mutation(wanted)
            tree = ast.Module([mutation.visit(copy.deepcopy(definition))], [])
            if mutation.done is None:
                break
            scope = {}
            exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), module.__dict__, scope)
            setattr(home, definition.name, scope[definition.name])
            found = any(error_of(module, number, some) > CAUGHT for some in (1, 12) for number in users)
            (caught if found else survivors).append(f"{definition.name}: {mutation.done}")
        setattr(home, definition.name, original)
    survivors = [description for description in survivors if description not in EQUIVALENT]
    assert not survivors, f"{len(survivors)} of {len(caught) + len(survivors)} mutants survive: {survivors}"
    assert len(caught) >= 10
    kinds = [description.split(": ")[1] for description in caught]
    assert {"sign", "dropped", "transposition"} <= set(kinds)
    assert kinds.count("truncated") >= 3  # the LSTM, the memory beside it, the core


# ---------------------------------------------------------------------------------------------------------------------
# Workers that come to harm
# ---------------------------------------------------------------------------------------------------------------------
WORKERS = """
import multiprocessing, os, signal, sys, warnings
sys.path.insert(0, {root!r})
import numpy as np
import rrnn_helpers as rh

model, task = rh.LSTM(9, 4, 2), rh.NthFarthest(2, 3)
batch = task.sample(64, np.random.default_rng(0))
expected = model.loss_and_grads(batch)[1]["W_x"]

def agrees():
    return bool(np.allclose(model.loss_and_grads(batch, workers=2)[1]["W_x"], expected, atol=1e-6))

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
    for pid in file.read().split():  # none, if the workers are threads
        os.kill(int(pid), signal.SIGKILL)
warnings.simplefilter("ignore")
print(agrees(), agrees())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork and /proc")
@pytest.mark.parametrize("harm", [FORKED, KILLED], ids=["forked", "killed"])
def test_workers_survive(harm):
    """An executor that forks copies whatever the workers stand on; and workers can be killed."""
    code = WORKERS.format(root=str(Path(rh.__file__).parent)) + harm
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **pipes)
    try:
        out, err = process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        pytest.fail("it hangs")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whoever hangs, and all it started
    assert out.split() == ["True"] * (4 if harm is FORKED else 3), out + err
