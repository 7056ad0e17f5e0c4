"""What the three models share: parameters, forward, trace, losses and their gradients."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """inputs (batch, time, input_size); targets (batch, A) class indices, -1 where nothing is
    asked, or (batch, A, k) numbers: the targets of the last A time steps. Taught in notebook 04."""

    inputs: np.ndarray
    targets: np.ndarray
