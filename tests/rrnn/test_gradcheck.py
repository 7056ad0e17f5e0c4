"""Every hand-written gradient against central differences; the checker against gradients that are
wrong; and every backward pass against mutants of itself.

float64, three or more time steps, a random first memory and random targets: nothing is zero or
symmetric by accident.
"""

import ast
import copy
import importlib
import inspect
import itertools
import pkgutil

import numpy as np
import pytest
from models import each_model, each_variant, lstm, make, make_batch, own_memory, with_memory

import rrnn
from rrnn.gradcheck import check_gradients
from rrnn.model import Batch

LIMIT = 1e-6  # what rounding may leave of a right gradient
CAUGHT = 1e-5  # what a wrong gradient must show at least


def worst(model, batch, **options):
    """(largest relative error, name of its parameter); every parameter must be looked at."""
    options = {"rng": np.random.default_rng(1)} | options
    errors = check_gradients(model, batch, **options)
    assert errors.keys() == model.params.keys()
    return max((error, name) for name, error in errors.items())


# --- The gradients are right -----------------------------------------------------------------
@pytest.mark.parametrize("kind", ["class", "number"])
@each_variant
def test_every_parameter(variant, kind):
    model = make(variant)
    before = model.flat.copy()
    error, name = worst(model, make_batch(kind), per_parameter=3)
    assert error < LIMIT, name
    np.testing.assert_array_equal(model.flat, before)  # the checker puts the parameters back


@each_model
def test_every_entry(name):
    error, parameter = worst(make(name), make_batch(examples=2, time=3))
    assert error < LIMIT, parameter


@each_model
@pytest.mark.parametrize(("time", "answers"), [(1, 1), (3, 1), (3, 3), (6, 1)])
def test_lengths(name, time, answers):
    batch = make_batch(time=time, answers=answers)
    error, parameter = worst(make(name), batch, per_parameter=5)
    assert error < LIMIT, parameter


@each_model
def test_float32_model_is_checked_in_float64(name):
    model = make(name, dtype=np.float32)
    before = model.flat.copy()
    error, parameter = worst(model, make_batch(), per_parameter=4)
    assert error < LIMIT, parameter
    np.testing.assert_array_equal(model.flat, before)


@with_memory
def test_gradients_are_checked_at_the_first_memory_that_is_there(make, monkeypatch):
    """check_gradients copies a float32 model to float64, with the first memory the model has."""
    model, seen = own_memory(make(dtype=np.float32)), []
    honest = type(model).loss_and_grads

    def spy(self, batch, workers=1):
        seen.append(self.first_memory.copy())
        return honest(self, batch, workers)

    monkeypatch.setattr(type(model), "loss_and_grads", spy)
    check_gradients(model, make_batch(), per_parameter=1)
    np.testing.assert_array_equal(seen[0], model.first_memory)


@each_variant
def test_directions_without_the_checker(variant):
    """The slope along random directions in the space of all parameters, with differences written
    here. With number targets the loss hands random numbers of both signs to every output."""
    model, batch, rng = make(variant), make_batch("number", answers=3), np.random.default_rng(5)
    model.flat += 0.1 * rng.normal(size=model.flat.size)
    _, gradient, _ = model.loss_and_flat(batch)

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
        # the smaller step may miss a ReLU's kink
        slopes = [(loss(h * direction) - loss(-h * direction)) / (2 * h) for h in (1e-5, 1e-6)]
        miss = min(abs(slope - gradient @ direction) for slope in slopes)
        assert miss < 1e-6 * max(1e-2, np.abs(gradient).max())


@each_variant
def test_float32_gradients_are_the_float64_ones_to_rounding(variant):
    batch, single, double = make_batch(answers=3), make(variant, dtype=np.float32), make(variant)
    _, exact, _ = double.loss_and_grads(batch)
    _, rounded, _ = single.loss_and_grads(batch)
    for parameter, grad in rounded.items():
        assert grad.dtype == np.float32
        scale = max(1, np.abs(exact[parameter]).max())
        np.testing.assert_allclose(grad, exact[parameter], atol=3e-5 * scale, err_msg=parameter)


# --- The checker finds gradients that are wrong ----------------------------------------------
def spoil(model, change):
    """The model with loss_and_grads whose grads went through change(grads)."""
    honest = model.loss_and_grads

    def loss_and_grads(batch, workers=1):
        loss, grads, metrics = honest(batch, workers)
        change(grads)
        return loss, grads, metrics

    model.loss_and_grads = loss_and_grads
    return model


def flipped(grad):
    grad *= -1


def zeroed(grad):
    grad[:] = 0


def transposed(grad):
    grad[:] = grad.T.copy()


def slightly_off(grad):
    grad.flat[np.abs(grad).argmax()] *= 1 + 1e-4  # one entry


@pytest.mark.parametrize("change", [flipped, zeroed, transposed, slightly_off])
@each_model
def test_checker_catches_wrong_parameters(name, change):
    """Each parameter that is wrong is named, though all are wrong in the same way; and only it, if
    it is alone."""
    sizes = {"hidden_size": 3} if name != "core" else {}
    model, batch = make(name, **sizes), make_batch(examples=2, time=3)
    params = [parameter for parameter, array in model.params.items()
              if change is not transposed or array.shape[:1] * 2 == array.shape]  # fmt: skip
    assert params

    def change_all(grads):
        for parameter in params:
            change(grads[parameter])

    wrong, some = spoil(copy.deepcopy(model), change_all), None if change is slightly_off else 8
    errors = check_gradients(wrong, batch, per_parameter=some)
    for parameter in params:
        assert errors[parameter] > (0.9e-4 if change is slightly_off else 0.1), parameter
    alone = params[0]
    wrong = spoil(model, lambda grads: change(grads[alone]))
    errors = check_gradients(wrong, batch, per_parameter=4)
    assert all(error < LIMIT for other, error in errors.items() if other != alone)


def test_checker_catches_truncated_back_propagation():
    """The gradient of the last step alone, from the memory as it was before that step."""
    model, batch = make("core"), make_batch("number", examples=1, time=3, answers=1)
    honest = model.loss_and_grads

    def loss_and_grads(batch, workers=1):
        first = model.first_memory.copy()
        _, memory = model.forward(batch.inputs[:, :-1], return_state=True)
        model.first_memory = memory[0]
        found = honest(Batch(batch.inputs[:, -1:], batch.targets), workers)
        model.first_memory = first
        return found

    assert loss_and_grads(batch)[0] == pytest.approx(honest(batch)[0])  # the right loss
    model.loss_and_grads = loss_and_grads
    assert worst(model, batch, per_parameter=6)[0] > 0.01


def test_checker_catches_nan():
    def change(grads):
        grads["W_h"][0, 0] = np.nan

    assert not check_gradients(spoil(lstm(), change), make_batch())["W_h"] < 0.1


def test_checker_restores_the_parameters_after_an_error():
    def change(grads):
        raise RuntimeError

    model = spoil(lstm(), change)
    before = model.flat.copy()
    with pytest.raises(RuntimeError):
        check_gradients(model, make_batch())
    np.testing.assert_array_equal(model.flat, before)


# --- Mutants: one change in one function of a way back, chosen by the shape of the code ------
ROOMS = [importlib.import_module(f"rrnn.{room.name}")
         for room in pkgutil.iter_modules(rrnn.__path__) if not room.ispkg]  # fmt: skip
MUTATED = [  # variant, its options, and what is asked
    ("core, 2 blocks", {"readout_sizes": (4,)}, "class"),
    ("core, 3 blocks shared, no gate", {}, "class"),
    ("core, no qkv norm", {"gate_style": "memory", "attend_to": "self"}, "class"),
    ("core, no mlp", {}, "number"),
    ("core, 3 mlp layers", {}, "class"),
    ("rrnn", {}, "class"),
    ("rrnn, no lstm", {}, "number"),
    ("lstm", {"readout_sizes": (4,)}, "class"),
    ("lstm, layer norm", {}, "class"),
]
SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add}
FUNCTIONS = {"multiply": "add", "subtract": "add"}
EQUIVALENT = {  # mutants that change no gradient: {description: why}
    "MemoryLinear.backward: not assigned: self.dx[:-1] = 0":
        "the gradient of the first memory goes nowhere (test_layers asks for the zeros)",
    "rrnn.model.loss_of: sign: outputs - outputs.max(axis=-1, keepdims=True)":
        "a softmax does not notice, until it overflows (which test_model asks for)",
}  # fmt: skip


def is_of_a_way_back(name):
    return "back" in name or name in ("learn", "end", "loss_of", "part")


def ways_back():
    """(room, class or room, name, function) of all functions that go back."""
    for room in ROOMS:
        for owner in [room, *filter(inspect.isclass, vars(room).values())]:
            for name, function in list(vars(owner).items()):
                own = getattr(function, "__module__", None) == room.__name__
                if own and inspect.isfunction(function) and is_of_a_way_back(name):
                    yield room, owner, name, function


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
        if type(node.op) in SIGNS and self.hit(node, "sign"):
            node.op = SIGNS[type(node.op)]()
        elif isinstance(node.op, (ast.Mult, ast.Div)) and self.hit(node, "factor dropped"):
            return node.left
        elif isinstance(node.op, ast.MatMult) and self.hit(node, "operands exchanged"):
            node.left, node.right = node.right, node.left
        elif isinstance(node.op, ast.Pow) and self.hit(node, "power dropped"):
            return node.left
        return self.generic_visit(node)

    def visit_Attribute(self, node):
        if node.attr == "T" and self.hit(node, "transposition"):
            return node.value
        if node.attr in FUNCTIONS and self.hit(node, "function"):
            node.attr = FUNCTIONS[node.attr]
        return self.generic_visit(node)

    def visit_Call(self, node):
        if getattr(node.func, "attr", "") == "swapaxes" and self.hit(node, "axes"):
            return node.func.value
        return self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call) and self.hit(node, "not called"):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Assign(self, node):
        if isinstance(node.targets[0], ast.Subscript) and self.hit(node, "not assigned"):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Compare(self, node):
        if isinstance(node.ops[0], ast.Gt) and self.hit(node, "> to >="):
            node.ops = [ast.GtE()]
        return self.generic_visit(node)

    def visit_If(self, node):
        if self.hit(node, "never"):
            node.test = ast.Constant(False)
        return self.generic_visit(node)

    def visit_For(self, node):
        if "reversed(" in ast.unparse(node.iter) and self.hit(node, "truncated"):
            node.iter = ast.parse(f"list({ast.unparse(node.iter)})[:1]", mode="eval").body
        return self.generic_visit(node)


def build(room, function, mutation=None):
    """The function compiled again, after the mutation."""
    (definition,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))).body
    if mutation:
        definition = mutation.visit(definition)
        if mutation.done is None:
            return None
    # inside a function that has a __class__, for super()
    scope, outer = {}, ast.parse("def outer(__class__): pass").body[0]
    outer.body = [definition, ast.parse(f"return {definition.name}").body[0]]
    tree = ast.fix_missing_locations(ast.Module([outer], []))
    exec(compile(tree, "mutant", "exec"), vars(room), scope)
    return scope["outer"]


class Patient:
    """A small model, its batch, and its slopes as central differences say."""

    def __init__(self, variant, options, kind):
        self.model = make(variant, **options)
        self.model.flat += 0.1 * np.random.default_rng(4).normal(size=self.model.flat.size)
        self.batch = make_batch(kind, examples=3, time=3)
        moves = 1e-5 * np.eye(self.model.flat.size)
        losses = [self.loss(move) - self.loss(-move) for move in moves]
        self.slopes = np.array(losses) / 2e-5
        self.floor, self.right = 1e-3 * np.abs(self.slopes).max(), self.loss(0)

    def loss(self, move):
        self.model.flat += move
        loss = self.model.metrics(self.batch)["loss"]
        self.model.flat -= move
        return loss

    def error(self):
        """The largest error of a gradient, as check_gradients has it, or of the loss; infinite if
        nothing runs."""
        self.model.memory[:] = np.nan  # so that nothing stands there from the call before
        with np.errstate(all="ignore"):
            try:
                loss, exact, _ = self.model.loss_and_flat(self.batch)
                scale = np.maximum(np.abs(exact), np.abs(self.slopes))
                errors = np.abs(exact - self.slopes) / np.maximum(scale, self.floor)
            except Exception:  # a mutant may break in any way: that is being caught, too
                return np.inf
        return np.nan_to_num(max(errors.max(), abs(loss - self.right)), nan=np.inf)


def test_mutants_of_the_backward_passes_are_caught(monkeypatch):
    patients = [Patient(*given) for given in MUTATED]
    assert max(patient.error() for patient in patients) < LIMIT
    caught, survivors, rooms = [], [], set()
    for room, owner, name, function in ways_back():
        label = f"{getattr(owner, '__qualname__', room.__name__)}.{name}"
        of_class = owner if inspect.isclass(owner) else None
        monkeypatch.setattr(owner, name, build(room, function)(of_class))
        assert max(patient.error() for patient in patients) < LIMIT, f"{label} is not the same"
        monkeypatch.setattr(owner, name, None)  # whoever cannot do without it is worth a look
        users = [patient for patient in patients if patient.error() == np.inf]
        for wanted in itertools.count():
            mutation = Mutation(wanted)
            mutant = build(room, function, mutation)
            if mutant is None:
                break
            monkeypatch.setattr(owner, name, mutant(of_class))
            found = any(patient.error() > CAUGHT for patient in users)
            (caught if found else survivors).append(f"{label}: {mutation.done}")
            rooms.add(room.__name__)
        monkeypatch.setattr(owner, name, function)
    survivors = [mutant for mutant in survivors if mutant not in EQUIVALENT]
    text = "\n".join(survivors)
    assert not survivors, f"{len(survivors)} of {len(caught) + len(survivors)} survive:\n{text}"
    for room in ("layers", "attention", "gates", "core", "cell", "lstm", "model"):
        assert f"rrnn.{room}" in rooms
    kinds = [mutant.split(": ")[1] for mutant in caught]
    assert {"sign", "dropped", "transposition", "factor dropped", "not called"} <= set(kinds)
    assert kinds.count("truncated") >= 5  # both LSTMs, the memory beside one, the core, its blocks
    print(f"{len(caught)} mutants die")
