"""A memory of slots beside an LSTM (notebook 03): the memory alone, one step, and the network."""

import numpy as np

from rrnn.attention import Attention
from rrnn.checks import Dtype, OneOf, OrNone, Whole, Wholes, checked, floats
from rrnn.core import check_heads, make_first_memory
from rrnn.gates import SlotGate
from rrnn.layers import Identity, Layer, Linear, Product, make_readout
from rrnn.lstm import LSTMLayer
from rrnn.model import Model
from rrnn.parameters import Parameters


class GatedMemory(Layer):
    """All steps of a memory M of slots that reads an input p: a = heads(M W_q, [M; p] W_k,
    [M; p] W_v) W_o, u = tanh(a W_update + b_update), g = sigmoid([a : p] W_gate + b_gate),
    M' = g * u + (1 - g) * M. Taught in notebook 03."""

    @checked
    def __init__(self, num_slots: Whole(), size: Whole(), num_heads: Whole()):
        super().__init__()
        N, S = self.num_slots, self.size = num_slots, size
        self.q, self.o = Product("q", S, S, N), Product("o", S, S, N)
        self.k, self.v = Product("k", S, S, N + 1), Product("v", S, S, N + 1)
        self.attention = Attention(S, num_heads, N, N + 1)
        self.update, self.gate = Linear("update", S, S, N), SlotGate(S, N)
        self.layers = self.q, self.k, self.v, self.o, self.attention, self.update, self.gate

    def arrays(self, steps, batch):
        N, row = self.num_slots, (batch, self.size)
        slots, more = (N, *row), (N + 1, *row)
        gradients = {"dM": slots, "dq": slots, "dk": more, "dv": more, "dp": (steps, *row)}
        return {"Z": (steps + 1, *more)} | gradients

    def forward(self, p, M):
        """Memories (steps, slots, batch, size) after each step, from M (slots, batch, size) and the
        inputs p (steps, batch, size)."""
        self.gate.inputs(p)
        self.Z[0, :-1], self.Z[: len(p), -1] = M, p
        for t in range(len(p)):
            self.step(t, self.Z[t, :-1])
        return self.Z[1:, :-1]

    def step(self, t, M):
        Z = self.Z[t]  # [M; p]
        q, k, v = self.q.forward(t, M), self.k.forward(t, Z), self.v.forward(t, Z)
        a = self.o.forward(t, self.attention.forward(t, q, k, v))
        u = self.update.forward(t, a)
        return self.gate.forward(t, M, u, a, out=self.Z[t + 1, :-1])

    def step_back(self, t, dM):
        du, da = self.gate.backward(t, dM)
        da += self.update.backward(t, du)
        dq, dk, dv = self.dq, self.dk, self.dv
        self.attention.backward(t, self.o.backward(t, da), dq, dk, dv)
        dZ = self.k.backward(t, dk)
        dZ += self.v.backward(t, dv)
        dM += self.q.backward(t, dq)
        dM += dZ[:-1]
        self.dp[t] = dZ[-1]
        return dM

    def backward(self, d_memories):
        """The gradient of p, from that of the last memories (answers, slots, batch, size)."""
        steps, answers = len(self.dp), len(d_memories)
        dM = self.dM
        dM[:] = 0
        for t in reversed(range(steps)):
            if t >= steps - answers:
                dM += d_memories[t - steps]
            dM = self.step_back(t, dM)
        return self.dp + self.gate.inputs_back()


class RelationalMemory(Parameters):
    """A gated memory of slots, as a part: a = heads(M W_q, [M; p] W_k, [M; p] W_v) W_o,
    M' = g * tanh(a W_update + b_update) + (1 - g) * M, g = sigmoid([a : p] W_gate + b_gate), with
    p = input W_input + b_input (p = input when input_size is slot_size, the default). Without an
    input the slots look at each other alone, and p is 0. Raises ValueError or TypeError for sizes
    that do not fit. Taught in notebook 03.
    """

    @checked
    def __init__(self, num_slots: Whole(), slot_size: Whole(), num_heads: Whole(),
                 input_size: OrNone(Whole()) = None, *, seed: Whole(0) = 0,
                 dtype: Dtype() = np.float32):  # fmt: skip
        check_heads(slot_size, num_heads)
        self.input_size = slot_size if input_size is None else input_size
        self.inp = make_input(self.input_size, slot_size)
        self.slots = GatedMemory(num_slots, slot_size, num_heads)
        self.build([self.inp, self.slots])

    @checked
    def initial_memory(self, batch_size: Whole(),
                       kind: OneOf("identity", "zeros", "random") = "identity"):  # fmt: skip
        """The first memory, (batch_size, num_slots, slot_size): "identity", "zeros" or "random"
        rows."""
        first = make_first_memory(kind, self.num_slots, self.slot_size, self.seed)
        return np.tile(first.astype(self.dtype), (batch_size, 1, 1))

    def forward(self, memory, input_vec=None):
        """The next memory from memory (batch, num_slots, slot_size) and input_vec (batch,
        input_size) or None."""
        N, S = self.num_slots, self.slot_size
        memory = floats("memory", memory, ("batch", N, S), self.dtype)
        p, sees = np.zeros((1, len(memory), S), self.dtype), np.ones((N, N + 1), self.dtype)
        if input_vec is None:
            sees[:, -1] = 0
        else:
            shape = len(memory), self.input_size
            input_vec = floats("input_vec", input_vec, shape, self.dtype)
        with self.at_work:
            self.prepare(1, len(memory))
            if input_vec is not None:
                p = self.inp.forward(0, input_vec[None])
            self.slots.attention.mask = sees
            return self.slots.forward(p, memory.swapaxes(0, 1))[0].swapaxes(0, 1).copy()


def make_input(size, slot_size):
    """The memory's input p = h W_input + b_input, or h itself when the sizes agree."""
    return Identity() if size == slot_size else Linear("input", size, slot_size)


class HiddenLayer(Layer):
    """h = tanh(x W_hidden + b_hidden), in the place of an LSTM: nothing is remembered."""

    def __init__(self, input_size, size):
        super().__init__()
        self.size, self.linear = size, Linear("hidden", input_size, size)
        self.layers = (self.linear,)

    def arrays(self, steps, batch):
        return {"h": (steps + 1, batch, self.size)}

    def forward(self, x, h):
        self.h[0] = h
        return np.tanh(self.linear.forward(0, x), out=self.h[1:])

    def backward(self, dh):
        self.linear.learn(0, dh * (1 - self.h[1:] ** 2))

    def picture(self):
        return {"h": self.h[1:].swapaxes(0, 1)}


class MemoryBesideLSTM:
    """An LSTM, a memory that reads its hidden states, and a layer that joins them:
    r = mean over the slots of M' W_memory_read + b_memory_read,
    output = tanh([h : r] W_combine + b_combine). Nothing flows from the memory back to the LSTM, so
    the LSTM runs first over all steps, then the memory, then what joins them."""

    def make_layers(self):
        N, S, H = self.num_slots, self.slot_size, self.hidden_size
        check_heads(S, self.num_heads)
        self.state_shapes = {"h": (H,), "c": (H,), "memory": (N, S)}
        self.lstm, self.inp = LSTMLayer(self.input_size, H), make_input(H, S)
        self.slots = GatedMemory(N, S, self.num_heads)
        self.read, self.combine = Linear("memory_read", S, H), Linear("combine", 2 * H, H)
        return [self.lstm, self.inp, self.slots, self.read, self.combine]

    def unroll(self, x, state):
        *lstm, memory = self.before_the_first_step() if state is None else state
        h = self.lstm.forward(x, *lstm)
        self.slots.forward(self.inp.forward(0, h), memory.swapaxes(0, 1))

    def features(self, answers):
        """output (answers, batch, hidden_size) of the last steps."""
        r = self.read.forward(0, self.slots.Z[-answers:, :-1].mean(axis=1))
        h_r = np.concatenate([self.lstm.h[-answers:], r], axis=2)
        self.output = np.tanh(self.combine.forward(0, h_r))
        return self.output

    def states(self):
        memory = self.slots.Z[-1, :-1].swapaxes(0, 1)
        return *(getattr(self.lstm, name)[-1] for name in list(self.state_shapes)[:-1]), memory


class RelationalRNNCell(MemoryBesideLSTM, Parameters):
    """One step of an LSTM whose hidden state feeds a memory: output = tanh([h : r] W_combine +
    b_combine), with r = mean over the slots of M' W_memory_read + b_memory_read. Raises ValueError
    or TypeError for sizes that do not fit. Taught in notebook 03."""

    @checked
    def __init__(self, input_size: Whole(), hidden_size: Whole(), num_slots: Whole() = 4,
                 slot_size: Whole() = 64, num_heads: Whole() = 2, *, seed: Whole(0) = 0,
                 dtype: Dtype() = np.float32):  # fmt: skip
        self.build(self.make_layers())

    def forward(self, x, h, c, memory):
        """(output, h, c, memory) after one step: x (batch, input_size), h, c and output (batch,
        hidden_size), memory (batch, num_slots, slot_size)."""
        x = floats("x", x, ("batch", self.input_size), self.dtype)
        given = {"h": h, "c": c, "memory": memory}
        state = [floats(name, given[name], (len(x), *shape), self.dtype)
                 for name, shape in self.state_shapes.items()]  # fmt: skip
        with self.at_work:
            self.prepare(1, len(x))
            self.unroll(x[None], state)
            return self.features(1)[0], *(array.copy() for array in self.states())


class RelationalRNN(MemoryBesideLSTM, Model):
    """The cell over a sequence, with a readout: y = readout(output). Its state is h, c and memory.

    use_lstm=False puts a layer without a state in the place of the LSTM, h = tanh(x W_hidden +
    b_hidden), so that only the memory remembers (notebook 09 asks what that costs): its state is h
    and memory, its trace lacks "c" and "gates".

    trace adds "memory" (batch, time, slots, S), after each step; "attention" (batch, time, heads,
    slots, slots + 1), the input being the last key; "memory_gate" (batch, time, slots, S); "h",
    "c", "output" (batch, time, hidden_size); "gates" (batch, time, 4, hidden_size) in the order
    i, f, g, o. Taught in notebook 03.
    """

    @checked
    def __init__(self, input_size: Whole(), hidden_size: Whole(), output_size: Whole(),
                 num_slots: Whole() = 4, slot_size: Whole() = 64, num_heads: Whole() = 2, *,
                 initial_memory: OneOf("identity", "zeros", "random") = "identity",
                 readout_sizes: Wholes() = (), seed: Whole(0) = 0, dtype: Dtype() = np.float32,
                 use_lstm: OneOf(True, False) = True):  # fmt: skip
        layers = self.make_layers()
        if not use_lstm:
            del self.state_shapes["c"]
            self.lstm = HiddenLayer(input_size, hidden_size)
            layers = [*layers[1:], self.lstm]
        self.readout = make_readout(hidden_size, readout_sizes, output_size)
        first = make_first_memory(initial_memory, num_slots, slot_size, seed)
        self.build([*layers, self.readout], first)

    def before_the_first_step(self):
        return *[0] * (len(self.state_shapes) - 1), self.first_memory[None]

    def features_back(self, d_features):
        """The gradients of the last hidden states, and of the last memories."""
        H = self.hidden_size
        d_h_r = self.combine.backward(0, d_features * (1 - self.output**2))
        d_r = np.ascontiguousarray(d_h_r[..., H:])
        d_mean = self.read.backward(0, d_r)[:, None] / self.num_slots  # to every slot its share
        shape = len(d_r), self.num_slots, *d_mean.shape[2:]
        return d_h_r[..., :H], np.broadcast_to(d_mean, shape)

    def unroll_back(self, d_features):
        dh_last, d_memories = self.features_back(d_features)
        dh = self.inp.backward(0, self.slots.backward(d_memories))
        dh[-len(dh_last) :] += dh_last
        self.lstm.backward(dh)

    def picture(self):
        memory, gate = self.slots.Z[1:, :-1], self.slots.gate.g
        picture = {
            "memory": memory.transpose(2, 0, 1, 3),
            "memory_gate": gate.transpose(2, 0, 1, 3),
        }
        picture |= {"attention": self.slots.attention.A.swapaxes(0, 1)} | self.lstm.picture()
        return picture | {"output": self.output.swapaxes(0, 1)}
