"""The library of the matrix products: which one it is, and how many threads it takes."""

import functools
import threading
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController


@functools.cache
def blas():
    return ThreadpoolController()


def kernels():
    """The library of the matrix products and the processor its code is for: with another one, a run
    rounds otherwise and takes another course."""
    pools = [pool for pool in blas().info() if pool["user_api"] == "blas"]
    named = {f"{pool['internal_api']} {pool.get('architecture', '')}".strip() for pool in pools}
    return ", ".join(sorted(named))


class OneThread:
    """Matrix products use one thread while anybody is inside: threads beside workers, or beside
    other trainings, only get in each other's way."""

    lock, inside, limiter = threading.Lock(), 0, None

    @staticmethod
    def take_control():
        """threadpoolctl from 3.8 on lets only the thread that was first set a limit; here it is the
        last one out that takes it off."""
        for library in blas().lib_controllers:
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)

    @classmethod
    @contextmanager
    def held(cls, wanted=True):
        with cls.lock:
            if wanted and not cls.inside:
                cls.take_control()
                cls.limiter = blas().limit(limits=1, user_api="blas")
            cls.inside += wanted
        try:
            yield
        finally:
            with cls.lock:
                cls.inside -= wanted
                if wanted and not cls.inside:  # the last one out
                    cls.take_control()
                    cls.limiter.restore_original_limits()


one_blas_thread = OneThread.held
