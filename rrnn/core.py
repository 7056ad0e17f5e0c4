"""The relational memory core: a step is next_memory of notebook 02 line by line, its way back the
same lines from the bottom."""

import numpy as np

from rrnn.attention import Attention
from rrnn.checks import Dtype, Number, OneOf, Whole, Wholes, checked
from rrnn.gates import Gates, NoGates
from rrnn.layers import MLP, Identity, Layer, LayerNorm, Linear

from rrnn.layers import MemoryLinear, Residual, make_readout  # isort: skip
from rrnn.model import Model
from rrnn.parameters import walk


def check_heads(slot_size, num_heads):
    if slot_size % num_heads:
        got = f"got slot_size {slot_size}, num_heads {num_heads}"
        raise ValueError(f"slot_size must be a multiple of num_heads, {got}")


def make_first_memory(kind, num_slots, slot_size, seed):
    """(num_slots, slot_size): "identity" (as the authors' code), "zeros", or one "random" draw from
    the seed."""
    if kind == "identity":
        if num_slots > slot_size + 1:
            raise ValueError(
                f"num_slots must be at most slot_size + 1 = {slot_size + 1} with "
                f'initial_memory="identity", got {num_slots}: rows would coincide, and equal slots '
                'stay equal; take "random" or a larger slot_size'
            )
        return np.eye(num_slots, slot_size)
    if kind == "zeros":
        return np.zeros((num_slots, slot_size))
    return np.random.default_rng([seed, 1]).normal(size=(num_slots, slot_size))


class Block(Layer):
    """Attention, then the MLP, with two residual sums: C from Z = [M; p]. The rows that ask are the
    first num_queries of Z; mask says which rows they may look at. Taught in
    notebook 02."""

    @checked
    def __init__(self, size: Whole(), num_heads: Whole(), num_queries: Whole(), num_rows: Whole(),
                 mlp, *, qkv_norm: OneOf(True, False), mask, number=""):  # fmt: skip
        super().__init__()
        self.size, self.num_queries, self.num_rows = size, num_queries, num_rows
        self.qkv = MemoryLinear(f"qkv{number}", size, 3 * size, num_rows, parts=3)
        self.norm_qkv = Identity()
        if qkv_norm:
            self.norm_qkv = LayerNorm(f"qkv{number}", 3 * size, num_rows, linear=self.qkv)
        mask = None if mask is None else mask[:num_queries]
        self.attention = Attention(size, num_heads, num_queries, num_rows, mask)
        self.norm_u = LayerNorm(f"u{number}", size, num_queries)
        self.mlp = Identity()
        if mlp:
            self.mlp = Residual(mlp, LayerNorm(f"c{number}", size, num_queries))
        self.layers = self.qkv, self.norm_qkv, self.attention, self.norm_u, self.mlp

    def arrays(self, steps, batch):
        return {"d_qkv": (self.num_rows, batch, 3 * self.size)}

    def split(self, qkv):
        """q of the rows that ask, k and v of all."""
        S = self.size
        return qkv[: self.num_queries, :, :S], qkv[:, :, S : 2 * S], qkv[:, :, 2 * S :]

    def forward(self, t, Z):
        M = Z[: self.num_queries]
        q, k, v = self.split(self.norm_qkv.forward(t, self.qkv.forward(t, Z)))
        Y = self.attention.forward(t, q, k, v)
        U = self.norm_u.forward(t, np.add(M, Y, out=Y))
        return self.mlp.forward(t, U)

    def backward(self, t, dC):
        dU = self.mlp.backward(t, dC)
        dY = self.norm_u.backward(t, dU)
        self.d_qkv[self.num_queries :, :, : self.size] = 0  # who does not ask
        self.attention.backward(t, dY, *self.split(self.d_qkv))
        dZ = self.qkv.backward(t, self.norm_qkv.backward(t, self.d_qkv))
        dZ[: self.num_queries] += dY
        return dZ


class SharedBlock(Block):
    """One block again and again, with p itself again before each."""

    def __init__(self, times, *sizes, **options):
        super().__init__(*sizes, **options)
        self.times = times

    def arrays(self, steps, batch):
        Z = (steps, self.times - 1, self.num_rows, batch, self.size)
        return super().arrays(steps, batch) | {"Z": Z}

    def forward(self, t, Z):
        p, C = Z[-1], super().forward(t * self.times, Z)
        for b, Z in enumerate(self.Z[t], 1):
            Z[:-1], Z[-1] = C, p
            C = super().forward(t * self.times + b, Z)
        return C

    def backward(self, t, dC):
        dp = 0
        for b in reversed(range(self.times)):
            dZ = super().backward(t * self.times + b, dC)
            dC, dp = dZ[:-1].copy(), dp + dZ[-1]
        dZ[-1] = dp
        return dZ


class RelationalMemoryCore(Model):
    """The paper's recurrent core, as its authors' code has it: a matrix of memory slots that attend
    to each other and to the input, eqs. (2) and (7). With M (slots, S) and p = x W_in + b_in, each
    step is

        Z = [M; p]                    q, k, v = split(LN(Z W_qkv + b_qkv))
        Y = heads of softmax(q k^T / sqrt(S / heads)) v, queries from the slots only
        U = LN(M + Y)                 C = LN(U + MLP(U))
        i, f = sigmoid(p W_gx + tanh(M) W_gm + b_g + (input_bias, forget_bias))
        M' = f * M + i * tanh(C)      output = readout(flatten(M'))

    qkv_norm=False leaves out the first LN, mlp_layers=0 is C = U, gate_style "unit" has gates S
    wide, "memory" 1 wide, None none: M' = C. num_blocks > 1 repeats attention and MLP, each block
    with its own q, k, v and norms, the MLP being shared; the input row passes through all of them
    (share_blocks=True: one set of weights, and p itself again before each block). What is not as
    in their code: first weights are Glorot's (theirs are truncated normal, 1 / sqrt(inputs) wide),
    b_g is one bias (theirs are two, of which it is the sum), keys are as wide as a head (theirs
    may be wider), and the input row does not ask in the last block (its answer is not used).

    initial_memory is "identity", "zeros" or "random" (one draw from the seed). readout_sizes are
    ReLU layers before the linear one. attend_to="self" is not in the paper: each slot sees itself
    and the input, no other slot (notebook 09 asks what that costs). Memories are (batch, slots, S),
    and the state is the memory. trace adds "memory" (batch, time, slots, S), after each step;
    "attention" (batch, time, heads, slots, slots + 1), of the last block, the input being the last
    key; "input_gate" and "forget_gate" (batch, time, slots, S or 1). Raises ValueError or TypeError
    for sizes that do not fit. Taught in notebook 02.
    """

    @checked
    def __init__(self, input_size: Whole(), output_size: Whole(), num_slots: Whole() = 4,
                 slot_size: Whole() = 64, num_heads: Whole() = 4, *, mlp_layers: Whole(0) = 2,
                 num_blocks: Whole() = 1, gate_style: OneOf("unit", "memory", None) = "unit",
                 qkv_norm: OneOf(True, False) = True,
                 initial_memory: OneOf("identity", "zeros", "random") = "identity",
                 forget_bias: Number(finite=False) = 1.0, input_bias: Number(finite=False) = 0.0,
                 readout_sizes: Wholes() = (), seed: Whole(0) = 0, dtype: Dtype() = np.float32,
                 attend_to: OneOf("all", "self") = "all",
                 share_blocks: OneOf(True, False) = False):  # fmt: skip
        check_heads(slot_size, num_heads)
        first_memory = make_first_memory(initial_memory, num_slots, slot_size, seed)
        N, S, self.state_shapes = num_slots, slot_size, {"memory": (num_slots, slot_size)}

        self.inp = Linear("in", input_size, S)
        mlp = MLP([f"mlp{i + 1}" for i in range(mlp_layers)], [S] * (mlp_layers + 1), N + 1)
        sees = np.eye(N + 1, dtype=dtype)  # each row itself and the input, the last one
        sees[:, -1] = 1
        options = {"qkv_norm": qkv_norm, "mask": sees if attend_to == "self" else None}
        options["mlp"] = mlp if mlp_layers else None

        # the last block, or the only one, needs no answer for the input row
        if share_blocks:
            self.blocks = [SharedBlock(num_blocks, S, num_heads, N, N + 1, **options)]
        else:
            queries = [N + 1] * (num_blocks - 1) + [N]
            self.blocks = [Block(S, num_heads, count, N + 1, number=i if i > 1 else "", **options)
                           for i, count in enumerate(queries, 1)]  # fmt: skip
        for layer in walk(layer for block in self.blocks for layer in block.layers):
            layer.repeats, layer.uses = num_blocks, num_blocks if share_blocks else 1
        for layer in walk([mlp]):
            asking = num_blocks * N if share_blocks else (num_blocks - 1) * (N + 1) + N
            layer.uses = asking / (N + 1)

        self.gates = NoGates()
        if gate_style:
            width = S if gate_style == "unit" else 1
            self.gates = Gates(S, width, N, input_bias, forget_bias)
        self.readout = make_readout(N * S, readout_sizes, output_size)
        self.build([self.inp, *self.blocks, self.gates, self.readout], first_memory)

    def arrays(self, steps, batch):
        # Z[t] is [M; p] of step t, and stays as it is on the way back
        N, S = self.num_slots, self.slot_size
        return {"Z": (steps + 1, N + 1, batch, S), "dM": (N, batch, S), "dp": (steps, batch, S)}

    def unroll(self, x, state):
        N = self.num_slots
        p = self.inp.forward(0, x)  # of all steps at once
        self.gates.inputs(p)
        self.Z[: len(x), N] = p
        M = self.first_memory[:, None] if state is None else state[0].swapaxes(0, 1)
        self.Z[0, :N] = M
        self.gates.shared = state is None
        for block in self.blocks:  # only the first block meets the first memory itself
            block.qkv.shared = state is None and block is self.blocks[0]
        for t in range(len(x)):
            self.step(t, self.Z[t, :N])

    def step(self, t, M):
        Z = self.Z[t]  # [M; p]
        for b, block in enumerate(self.blocks):
            Z = block.forward(t * len(self.blocks) + b, Z)
        return self.gates.forward(t, M, Z, out=self.Z[t + 1, : self.num_slots])

    def step_back(self, t, dM):
        dZ = self.gates.backward(t, dM)
        for b, block in reversed(list(enumerate(self.blocks))):
            dZ = block.backward(t * len(self.blocks) + b, dZ)
        dM += dZ[:-1]
        self.dp[t] = dZ[-1]
        return dM

    def features(self, answers):
        """What the readout sees of the last steps: M', flattened, (answers, batch, slots * S)."""
        last = self.Z[-answers:, : self.num_slots]  # (answers, slots, batch, S)
        return last.swapaxes(1, 2).reshape(answers, last.shape[2], -1)

    def features_back(self, d_features):
        """The gradients (answers, slots, batch, S) of the last memories."""
        shape = *d_features.shape[:2], self.num_slots, self.slot_size
        return d_features.reshape(shape).swapaxes(1, 2)

    def unroll_back(self, d_features):
        d_memories = self.features_back(d_features)
        steps, answers = len(self.dp), len(d_memories)
        dM = self.dM
        dM[:] = 0
        for t in reversed(range(steps)):
            if t >= steps - answers:
                dM += d_memories[t - steps]
            dM = self.step_back(t, dM)
        self.inp.learn(0, self.dp + self.gates.inputs_back())

    def states(self):
        return (self.Z[-1, : self.num_slots].swapaxes(0, 1),)

    def picture(self):
        memory = self.Z[1:, : self.num_slots].transpose(2, 0, 1, 3)
        A = self.blocks[-1].attention.A[self.num_blocks - 1 :: self.num_blocks]
        picture = {"memory": memory, "attention": A[:, :, :, : self.num_slots].swapaxes(0, 1)}
        if self.gate_style:
            gates = (gate.transpose(2, 0, 1, 3) for gate in self.gates.G.swapaxes(0, 1))
            picture["input_gate"], picture["forget_gate"] = gates
        return picture
