"""Training with Adam: batches, clipping, warm-up and decay, curriculum, resuming (notebook 06)."""

import json
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rrnn.blas import one_blas_thread
from rrnn.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from rrnn.checks import Number, OneOf, OrNone, Place, Whole, checked, floats
from rrnn.model import check_model


class Adam:
    """Adam (Kingma and Ba, 2015) on a flat parameter vector, which step() changes in place. Taught
    in notebook 06."""

    @checked
    def __init__(self, flat, learning_rate: Number(0, above=True) = 1e-3, betas=(0.9, 0.999),
                 eps: Number(0, above=True) = 1e-8):  # fmt: skip
        if not isinstance(flat, np.ndarray) or flat.ndim != 1 or flat.dtype.kind != "f":
            raise TypeError("flat must be a one-dimensional float array, such as model.flat")
        each = Number(0, 1, below=True)
        if np.shape(betas) != (2,):
            raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas!r}")
        self.betas = tuple(each("betas", beta) for beta in betas)
        self.count, self.mean, self.square = 0, np.zeros_like(flat), np.zeros_like(flat)

    def step(self, grad_flat, learning_rate=None):
        """One update with the gradient grad_flat, shaped like flat; learning_rate overrides the one
        given at first."""
        if np.shape(grad_flat) != self.flat.shape:
            got = f"got {np.shape(grad_flat)}"
            raise ValueError(f"grad_flat must have shape {self.flat.shape}, {got}")
        rate = self.learning_rate
        if learning_rate is not None:
            rate = Number(0)("learning_rate", learning_rate)
        self.count += 1
        values = (self.mean, grad_flat), (self.square, grad_flat**2)
        for (moment, value), beta in zip(values, self.betas, strict=True):
            moment *= beta
            moment += (1 - beta) * value
        unbias_mean, unbias_square = (1 - beta**self.count for beta in self.betas)
        root = np.sqrt(self.square / unbias_square) + self.eps
        self.flat -= rate / unbias_mean * self.mean / root


class History(NamedTuple):
    """What train returns: arrays of equal length, an entry for each evaluation on the held-out set.
    step; examples seen; seconds of training, evaluation not counted (of the processor; with
    workers, of the clock); loss and score (accuracy, or error for numbers) of the task on the
    held-out set; stage of the curriculum, 0 its first, the task itself the last. Taught in
    notebook 06."""

    step: np.ndarray
    examples: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray
    score: np.ndarray
    stage: np.ndarray


def score_of(metrics):
    return metrics["accuracy"] if "accuracy" in metrics else metrics["error"]


def name_of(task):
    """A task in words that are the same in the next process, as an object's default repr is not,
    and on another machine: what lies in a folder has an `identity`, without the folder's name."""
    plain = type(task).__repr__ is object.__repr__
    return getattr(task, "identity", type(task).__qualname__ if plain else repr(task))


def scored(task):
    """What a task is scored on: itself, or its `scored`: a mix of sizes at the largest of them, a
    text where it was not learned."""
    return getattr(task, "scored", task)


def to_score(task, examples, rng):
    """Batches of so many examples of what a task is scored on: one, but a task whose inputs differ
    in length (its `sets`) gives one for each length."""
    task = scored(task)
    return task.sets(examples, rng) if hasattr(task, "sets") else [task.sample(examples, rng)]


def score_on(model, batches):
    """{"loss", and "accuracy" or "error"} of model on all batches, each example weighing alike."""
    found, sizes = [model.metrics(batch) for batch in batches], [len(x) for x, _ in batches]
    if len(found) == 1:
        return found[0]
    powers = {name: 2 if name == "error" else 1 for name in found[0]}
    mean = lambda name, power: np.average([one[name] ** power for one in found], weights=sizes)
    return {name: float(mean(name, power) ** (1 / power)) for name, power in powers.items()}


def check_task(name, task, model):
    check_model(model)
    for attribute in ("sample", "input_size", "output_size", "target_kind"):
        if not hasattr(task, attribute):
            wanted = "a task such as NthFarthest(3, 2)"
            raise TypeError(f"{name} must be {wanted}, got {task!r}: it has no {attribute}")
    if (task.input_size, task.output_size) != (model.input_size, model.output_size):
        raise ValueError(
            f"{name} must have the model's input and output sizes {model.input_size}, "
            f"{model.output_size}; {task!r} has {task.input_size}, {task.output_size}"
        )


def train(model, task, steps, *, batch_size=128, learning_rate=1e-3, warmup=200, clip_norm=1.0,
          seed=0, eval_every=500, eval_examples=2000, curriculum=None, patience=None,
          checkpoint=None, checkpoint_every=500, workers=1, progress=True,
          schedule="constant"):  # fmt: skip
    """Train model on task in place, to a total of `steps` updates with Adam; returns a History.

    Every step draws batch_size new examples. learning_rate is reached in a straight line over the
    first `warmup` steps, and stays (schedule="constant") or falls in a straight line to zero over
    the last 40% of the steps ("decay"); gradients longer than clip_norm (None: no limit) are
    shortened to it. curriculum is a list of (task, score to move on at), trained first, in that
    order; a stage ends when the running score of its batches, over about 100 steps, is reached
    (accuracy at least, error at most). Every eval_every steps the task itself is scored on
    eval_examples examples that are always the same; patience ends the run after that many
    evaluations in a row, in the last stage, without a better score. workers splits each batch over
    processes. progress shows a bar (the environment variable TQDM_DISABLE=1 silences it).

    checkpoint is a path: the run is saved there every checkpoint_every steps and at the end, and
    goes on from there if the file exists, to the same parameters as without the interruption;
    CheckpointError if it is of another run. Raises FloatingPointError when the loss or its gradient
    is not finite: the message gives the step, and the model keeps the parameters of the last step
    that was; RuntimeError while another call trains the model. Taught in notebook 06.
    """
    check_model(model)
    with alone(model):
        run = Run(model, task, steps, batch_size=batch_size, learning_rate=learning_rate,
                  warmup=warmup, clip_norm=clip_norm, seed=seed, eval_every=eval_every,
                  eval_examples=eval_examples, curriculum=curriculum, patience=patience,
                  workers=workers, schedule=schedule)  # fmt: skip
        checkpoint_every = Whole()("checkpoint_every", checkpoint_every)
        if checkpoint is not None:
            if not Path(Place(there=False)("checkpoint", checkpoint)).parent.is_dir():
                text = f"checkpoint must lie in a folder that exists, got {checkpoint}"
                raise FileNotFoundError(text)
            with suppress(FileNotFoundError):  # it begins here, or is made by another thread, too
                run.resume(checkpoint)
        from tqdm.auto import tqdm

        # tqdm's notebook bar ignores the variable
        quiet = not progress or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
        bar = tqdm(total=run.steps, initial=run.step, unit="step", disable=quiet)
        with one_blas_thread(), bar:
            while not run.finished():
                run.advance()
                if run.step % run.eval_every == 0 or run.step == run.steps:
                    run.evaluate()
                    at = f"stage {run.stage + 1}/{len(run.stages)}"
                    bar.set_postfix_str(f"{at}, held-out score {run.rows[-1][4]:.3f}")
                if checkpoint is not None and (run.finished() or run.step % checkpoint_every == 0):
                    run.save(checkpoint)
                bar.update()
        # resumed from a save between two evaluations
        if run.step == run.steps and (not run.rows or run.rows[-1][0] < run.steps):
            run.evaluate()
        return run.history()


@contextmanager
def alone(model):
    """Two trainings of one model at a time would each be of neither."""
    if not model.in_training.acquire(blocking=False):
        raise RuntimeError("model must be in one training at a time, and another call trains it")
    try:
        yield
    finally:
        model.in_training.release()


class Run:
    """One training run: everything that a checkpoint has to hold so that the run goes on as if
    nothing had happened. The arguments are those of train, which say what they mean."""

    @checked
    def __init__(self, model, task, steps: Whole(), *, batch_size: Whole() = 128,
                 learning_rate: Number(0, above=True) = 1e-3, warmup: Whole(0) = 200,
                 clip_norm: OrNone(Number(0, above=True)) = 1.0, seed: Whole(0) = 0,
                 eval_every: Whole() = 500, eval_examples: Whole() = 2000, curriculum=None,
                 patience: OrNone(Whole()) = None, workers: Whole() = 1,
                 schedule: OneOf("constant", "decay") = "constant"):  # fmt: skip
        check_task("task", task, model)
        self.stages = []
        wanted = "a list of (task, score to move on at)"
        if not isinstance(curriculum, list | tuple | type(None)):
            raise TypeError(f"curriculum must be {wanted}, got {curriculum!r}")
        for stage in curriculum or []:
            if not (isinstance(stage, tuple) and len(stage) == 2):
                raise TypeError(f"curriculum must be {wanted}, got {stage!r} in it")
            check_task("curriculum", stage[0], model)
            self.stages.append((stage[0], Number()("curriculum", stage[1])))
        self.stages.append((task, None))
        self.adam = Adam(model.flat, learning_rate)

        # with a decay, how long it is says which run it is
        shown = [[name_of(stage), move_on] for stage, move_on in self.stages]
        identity = [type(model).__name__, model.describe(), shown, batch_size, learning_rate,
                    warmup, clip_norm, seed, eval_every, eval_examples, patience,
                    workers] + [schedule, steps] * (schedule == "decay")  # fmt: skip
        self.identity = json.dumps(identity)
        self.rng = np.random.default_rng([seed, 0])
        self.held_out = to_score(task, eval_examples, np.random.default_rng([seed, 1]))
        # what one thread computes is timed by its own clock: another program on the same core does
        # not count. A browser has no such clock.
        alone = getattr(time, "thread_time", time.perf_counter)
        self.clock = alone if workers == 1 else time.perf_counter
        self.step, self.seconds, self.stage = 0, 0.0, 0
        self.running = [0.0, 0.0]  # sum of scores, sum of weights: their ratio is the running score
        self.rows, self.good = [], model.flat.copy()

    def rate(self, step):
        """The learning rate of a step, the first being 1."""
        rate = self.learning_rate * min(1.0, step / max(self.warmup, 1))
        if self.schedule == "decay":
            rate *= min(1.0, (self.steps - step) / (0.4 * self.steps))
        return rate

    def finished(self):
        return self.step >= self.steps or self.out_of_patience()

    def advance(self):
        """One batch, one update."""
        start = self.clock()
        task, move_on = self.stages[self.stage]
        batch = task.sample(self.batch_size, self.rng)
        loss, grad, metrics = self.model.loss_and_flat(batch, self.workers)
        norm = float(np.sqrt(np.vdot(grad, grad)))
        self.require_finite(self.step + 1, loss, norm)

        self.good[:] = self.model.flat
        self.step += 1
        if self.clip_norm is not None and norm > self.clip_norm:
            grad *= self.clip_norm / norm
        with self.model.at_work:  # other threads see whole steps
            self.adam.step(grad, self.rate(self.step))
            self.require_finite(self.step, loss, norm)

        score = score_of(metrics)
        self.running = [0.98 * self.running[0] + score, 0.98 * self.running[1] + 1]
        # 43: of 100 steps of this stage, 1 / 0.02 * (1 - 0.98 ** 100)
        if move_on is not None and self.running[1] > 43:
            score = self.running[0] / self.running[1]
            if score >= move_on if task.target_kind == "class" else score <= move_on:
                self.stage, self.running = self.stage + 1, [0.0, 0.0]
        self.seconds += self.clock() - start

    def require_finite(self, step, loss, norm=0.0):
        if np.isfinite([loss, norm]).all() and np.isfinite(self.model.flat).all():
            return
        self.model.flat[:] = self.good
        raise FloatingPointError(
            f"step {step}: the loss ({loss}), the length of its gradient ({norm}) or a parameter "
            f"is not finite; the model keeps the parameters of step {max(self.step - 1, 0)}. A "
            "smaller learning_rate or clip_norm may help"
        )

    def evaluate(self):
        metrics = score_on(self.model, self.held_out)
        self.require_finite(self.step, metrics["loss"])
        examples, score = self.step * self.batch_size, score_of(metrics)
        self.rows.append([self.step, examples, self.seconds, metrics["loss"], score, self.stage])

    def out_of_patience(self):
        scores = [row[4] for row in self.rows if row[5] == len(self.stages) - 1]
        if self.patience is None or not scores:
            return False
        best = np.argmax(scores) if self.task.target_kind == "class" else np.argmin(scores)
        return len(scores) - 1 - best >= self.patience

    def history(self):
        columns = np.array(self.rows).reshape(-1, 6).T
        kinds = int, int, float, float, float, int
        return History(*(column.astype(kind) for column, kind in zip(columns, kinds, strict=True)))

    def save(self, path, more=None):
        """Write a checkpoint to go on from, with `more` {name: JSON value} beside it."""
        extra = {
            "run": self.identity, "step": self.step, "seconds": self.seconds, "stage": self.stage,
            "running": self.running, "rows": self.rows, "rng": self.rng.bit_generator.state,
            "adam_count": self.adam.count, "adam_mean": self.adam.mean,
            "adam_square": self.adam.square,
        }  # fmt: skip
        save_checkpoint(path, self.model, extra | (more or {}))

    def resume(self, path):
        """Go on from a checkpoint, and return what is in it; CheckpointError if it is of another
        run, or past the end."""
        saved, extra = load_checkpoint(path)
        if extra.get("run") != self.identity:
            other = extra.get("run", "not one of train")
            other = f"another run: {other}; this one is {self.identity}. Give another path, or the"
            raise CheckpointError(f"checkpoint {path} is of {other} same model and arguments")
        try:
            step, count = (Whole(0)(name, extra[name]) for name in ("step", "adam_count"))
            stage = Whole(0, len(self.stages) - 1)("stage", extra["stage"])
            seconds = Number()("seconds", extra["seconds"])
            total, weight = (Number()("running", part) for part in extra["running"])
            mean, square = (floats(name, extra[name], saved.flat.shape, saved.dtype)
                            for name in ("adam_mean", "adam_square"))  # fmt: skip
            rng = np.random.default_rng(0)
            rng.bit_generator.state = extra["rng"]
            # without an evaluation that only stands there because that run ended there
            rows = [row for row in extra["rows"]
                    if row[0] % self.eval_every == 0 or row[0] == self.steps]  # fmt: skip
            np.reshape(extra["rows"], (-1, 6))
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            reason = f"no run to go on from: {type(error).__name__}: {error}"
            raise CheckpointError(f"checkpoint {path} holds {reason}") from None
        if step > self.steps:
            past = f"past the {self.steps} steps asked for"
            raise CheckpointError(f"checkpoint {path} is of step {step}, {past}")
        self.model.fill(saved.flat, saved.start)
        self.good[:] = saved.flat
        self.step, self.seconds, self.stage, self.running = step, seconds, stage, [total, weight]
        self.rows, self.rng, self.adam.count = rows, rng, count
        self.adam.mean[:], self.adam.square[:] = mean, square
        return extra


@checked
def evaluate(model, task, examples: Whole() = 10_000, seed: Whole(0) = 1):
    """{"loss", and "accuracy" or "error"} of model on `examples` new examples of task, drawn from
    seed; a mix of sizes is scored at the largest. Taught in notebook 06."""
    check_task("task", task, model)
    return score_on(model, to_score(task, examples, np.random.default_rng(seed)))
