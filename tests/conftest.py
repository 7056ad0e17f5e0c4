"""One BLAS thread and the inline picture backend, here and in every kernel that the tests start.

Sums of floats depend on the number of threads, so the stored outputs are compared under the
environment in which they were made. Nothing here may import numpy: it reads these variables when it
is first imported.
"""

import os

from rebuild_notebooks import KERNEL_ENVIRONMENT

os.environ.update(KERNEL_ENVIRONMENT)
