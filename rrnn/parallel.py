"""Processes that compute a part of a batch. Threads would do it in fewer lines, but Python runs one
thread at a time between array operations, and handing over takes about as long as an operation on
arrays of this size: most of what a second core gives would be lost."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from rrnn.blas import one_blas_thread


class Worker:
    """A second Python process. Parameters go there, and gradients come back, through a file that
    both have in memory: through a pipe, small models would wait as long as they compute."""

    idle = []  # started once, used by all models
    possible = True  # until one ends without an answer

    def __init__(self):
        paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]
        own = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command, pipes = [sys.executable, "-m", "rrnn.parallel"], {"stdin": -1, "stdout": -1}
        self.process = subprocess.Popen(command, env=os.environ | own, **pipes)
        self.shared = np.empty((2, 0))

    def ask(self, model, job):
        path, shape = None, (2, len(model.flat))
        if (self.shared.shape, self.shared.dtype) != (shape, model.dtype):
            handle, path = tempfile.mkstemp(prefix="rrnn-")
            os.close(handle)
            self.shared = np.memmap(path, model.dtype, "w+", shape=shape)
        self.shared[0] = model.flat
        kind, first_memory = type(model), getattr(model, "first_memory", None)
        try:
            pickle.dump((path, kind, model.config, first_memory, job), self.process.stdin)
            self.process.stdin.flush()
            if path:
                self.answer()
        finally:
            if path:  # the other side has the file, or is no more: its name can go
                os.unlink(path)

    def answer(self):
        return pickle.load(self.process.stdout), self.shared[1]

    def close(self):
        self.process.kill()
        self.process.wait()


if hasattr(os, "register_at_fork"):  # a forked process must not talk to the workers of its parent
    os.register_at_fork(after_in_child=Worker.idle.clear)


def in_parts(model, jobs):
    """[model.part(*job) for job in jobs], the first one computed here and each other in a process
    of its own, if that is possible."""
    # a class of the reader's own is not known to another process
    workers, shared = [], Worker.possible and type(model).__module__.startswith("rrnn.")
    try:
        for job in jobs[1:] if shared else ():
            try:  # one step: another thread may take the last one
                workers.append(Worker.idle.pop())
            except IndexError:
                workers.append(Worker())
            workers[-1].ask(model, job)
        parts = [model.part(*job) for job in jobs[: len(jobs) - len(workers)]]
        parts += [worker.answer() for worker in workers]
    except BaseException as error:  # an interrupt, too, leaves a worker in the middle of an answer
        for worker in workers:
            worker.close()
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the process that asks
    answers, sys.stdout, known = sys.stdout.buffer, sys.stderr, None
    with one_blas_thread():
        while True:
            try:
                path, kind, config, first_memory, job = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            if known != (kind, config):
                known, model = (kind, config), kind(**config)
            if path:
                shared = np.memmap(path, model.dtype, "r+", shape=(2, len(model.flat)))
                pickle.dump("got it", answers)
                answers.flush()
            model.flat[:] = shared[0]
            if first_memory is not None:
                model.first_memory[:] = first_memory
            score, shared[1] = model.part(*job)
            pickle.dump(score, answers)
            answers.flush()


if __name__ == "__main__":
    serve()
