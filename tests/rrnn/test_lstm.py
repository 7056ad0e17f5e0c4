"""The LSTM, plain and with layer norms, against its equations."""

import numpy as np
import pytest
from models import lstm, normed_lstm, readout, sequence, shake

from rrnn.lstm import LSTM
from rrnn.reference import layer_norm, sigmoid


def test_the_lstm_of_the_seed_has_its_parameters():
    assert LSTM(32, 64, 16).flat.size == 25_872
    normed = LSTM(32, 64, 16, layer_norm=True)
    # a gain for each of the 4 * 64 sums, whose shift is the bias; gain and shift for c
    assert normed.flat.size == 25_872 + 4 * 64 + 2 * 64
    assert normed.params.keys() - LSTM(32, 64, 16).params.keys() == {
        "g_z", "beta_z", "g_c", "beta_c",
    }  # fmt: skip


@pytest.mark.parametrize("readout_sizes", [(), (7, 6)])
@pytest.mark.parametrize("make", [lstm, normed_lstm])
def test_trace_of_the_lstm_satisfies_its_equations(make, readout_sizes):
    model, inputs = shake(make(readout_sizes=readout_sizes)), sequence()
    trace, P, normed = model.trace(inputs), model.params, make is normed_lstm
    i, f, g, o = np.moveaxis(trace["gates"], 2, 0)
    before = lambda state: np.concatenate([np.zeros((4, 1, 5)), state[:, :-1]], axis=1)
    c = f * before(trace["c"]) + i * g
    np.testing.assert_allclose(trace["c"], c, rtol=1e-12)
    shown = layer_norm(trace["c"], P["g_c"], P["beta_c"]) if normed else trace["c"]
    np.testing.assert_allclose(trace["h"], o * np.tanh(shown), rtol=1e-11)
    z = inputs @ P["W_x"] + before(trace["h"]) @ P["W_h"]
    z = layer_norm(z, P["g_z"], P["beta_z"]) if normed else z + P["b"]
    rules = sigmoid, sigmoid, np.tanh, sigmoid
    for gate, rule, row in zip((i, f, g, o), rules, np.split(z, 4, axis=-1), strict=True):
        np.testing.assert_allclose(gate, rule(row), rtol=1e-10)
    right = readout(P, trace["h"])
    np.testing.assert_allclose(trace["outputs"], right, rtol=1e-10, atol=1e-13)
    outputs, *states = model.forward(inputs, return_state=True)
    np.testing.assert_allclose(outputs, trace["outputs"], rtol=1e-12)
    for state, name in zip(states, "hc", strict=True):
        np.testing.assert_array_equal(state, trace[name][:, -1])


def test_the_norm_of_the_sums_takes_away_their_scale():
    """At the first step: inputs that are ten times as large say the same."""
    model, inputs = shake(normed_lstm()), sequence(time=1)
    model.params["W_x"] *= 100  # so that the 1e-5 in the root does not count
    tenfold = model.forward(10 * inputs)
    np.testing.assert_allclose(tenfold, model.forward(inputs), rtol=1e-4, atol=1e-6)
    plain = shake(lstm())
    assert np.abs(plain.forward(10 * inputs) - plain.forward(inputs)).max() > 0.01


@pytest.mark.parametrize("make", [lstm, normed_lstm])
def test_operations_counted_by_hand(make):
    """One example, 5 steps, asked at the last 2."""
    right = 5 * 4 * 5 * (3 + 5) + 2 * (5 * 7 + 7 * 3)
    assert make(readout_sizes=(7,)).operations(5, answers=2) == right
