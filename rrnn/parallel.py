"""Processes that compute a part of a batch. Threads would do it in fewer lines, but Python runs one
at a time between array operations, and handing over takes about as long as an operation here."""

import contextlib
import os
import pickle
import sys
import tempfile
import warnings
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np

from rrnn.blas import one_blas_thread


class Worker:
    """A second Python process, where no interrupt gets. Parameters and gradients go through a file
    that both have in memory: through a pipe, small models would wait as long as they compute."""

    idle = []  # started once, used by all models
    possible = sys.platform != "emscripten"  # and until one ends without an answer

    def __init__(self):
        code = "import sys; sys.path[:0] = sys.argv[1:]; from rrnn.parallel import serve; serve()"
        command = [sys.executable, "-c", code, str(Path(__file__).parent.parent)]
        self.process = Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        self.made, self.path = None, ""

    def ask(self, model, job):
        if self.made != (type(model), model.config):  # a file anew; its name goes when both have it
            self.made, (handle, self.path) = (type(model), model.config), tempfile.mkstemp(".rrnn")
            os.close(handle)
            self.shared = np.memmap(self.path, model.dtype, "w+", shape=(2, model.flat.size))
        self.shared[0] = model.flat
        pickle.dump((self.path, *self.made, model.start, job), self.process.stdin)
        self.process.stdin.flush()


if hasattr(os, "register_at_fork"):  # a forked process must not talk to the workers of its parent
    os.register_at_fork(after_in_child=Worker.idle.clear)


def in_parts(model, jobs):
    """[model.part(*job) for job in jobs], each but the first in a process that knows the model."""
    workers, here = [], not (Worker.possible and model.is_known())
    try:
        for job in () if here else jobs[1:]:
            try:  # one step: another thread may take the last one
                workers.append(Worker.idle.pop())
            except IndexError:
                workers.append(Worker())
            workers[-1].ask(model, job)
        parts = [model.part(*job) for job in (jobs if here else jobs[:1])]
        parts += [(pickle.load(one.process.stdout), one.shared[1].copy()) for one in workers]
    except BaseException as error:  # an interrupt, too, leaves a worker in the middle of an answer
        for one in workers:
            with contextlib.suppress(OSError), one.process:
                one.process.kill()
                os.unlink(one.path)
        if not isinstance(error, (OSError, EOFError, pickle.UnpicklingError)):
            raise
        Worker.possible = False
        text = f"workers: a process ended without an answer ({error}); going on in this one"
        warnings.warn(text, stacklevel=5)
        return [model.part(*job) for job in jobs]
    Worker.idle += workers
    return parts


def serve():
    """What a worker does until its input ends."""
    answers, sys.stdout, at = sys.stdout.buffer, sys.stderr, None
    with one_blas_thread(), contextlib.suppress(EOFError):
        while True:
            path, kind, config, start, job = pickle.load(sys.stdin.buffer)
            if at != path:
                at, model = path, kind(**config)
                shared = np.memmap(path, model.dtype, "r+", shape=(2, model.flat.size))
                os.unlink(path)
            model.fill(shared[0], start)
            score, shared[1] = model.part(*job)
            pickle.dump(score, answers)
            answers.flush()
