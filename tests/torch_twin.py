"""The three models in eager PyTorch with autograd: the yardstick for gradients and for speed.

`twin(model)` copies the parameters of a NumPy model into a torch.nn.Module of the same equations.
Parameters keep their names and (in, out) shapes, so `twin.named_parameters()` lines up with
`model.params`, and gradients compare directly.

Of the ways to write it that were timed on a CPU (two matmuls with a softmax or
F.scaled_dot_product_attention, the input's q, k, v inside the loop or for all steps before it,
weights stored either way round) this is the fastest. The core can also attend the plain way,
`twin.fused = False`, which is how most public ports have it.

Shapes in the comments: B examples, T steps, I inputs, O outputs, N slots, S slot_size, H hidden
units, K heads.
"""

import torch
import torch.nn.functional as F
from torch import nn


def linear(x, weight, bias=None):
    """x (..., in) @ weight (in, out) + bias (out): F.linear stores its weight the other way."""
    return F.linear(x, weight.t(), bias)


def attention(q, k, v, heads, fused=True, mask=None):
    """q (B, N, S) over k, v (B, M, S) -> (B, N, S): each head on its own S / K columns."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, K, rows, S/K)
    if fused:
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    else:
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        attended = torch.softmax(scores, dim=-1) @ v
    return attended.transpose(1, 2).flatten(2)


def lstm_step(projected, h, c, W_h):
    """One LSTM step from projected = x W_x + b (B, 4H), gates in the order i, f, g, o; returns h, c
    (B, H)."""
    i, f, g, o = torch.addmm(projected, h, W_h).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class Twin(nn.Module):
    """Parameters, readout and loss; a subclass gives `states(inputs)`, the T tensors that the
    readout reads."""

    def __init__(self, model):
        super().__init__()
        for name, array in model.params.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(array)))
        self.readout_layers = len(model.readout_sizes)

    def forward(self, inputs, last=None):
        """inputs (B, T, I) -> outputs (B, T, O), or of the `last` steps only (B, last, O)."""
        x = torch.stack(self.states(inputs)[-(last or 0) :], dim=1)
        for layer in range(1, self.readout_layers + 1):
            W, b = getattr(self, f"W_read{layer}"), getattr(self, f"b_read{layer}")
            x = torch.relu(linear(x, W, b))
        return linear(x, self.W_out, self.b_out)

    def loss(self, inputs, targets):
        """Mean cross-entropy of class targets (B, A), -1 not asked; mean squared error of numbers
        (B, A, k)."""
        outputs = self(inputs, last=targets.shape[1])
        if targets.is_floating_point():
            return F.mse_loss(outputs, targets)
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=-1)


class TorchCore(Twin):
    """RelationalMemoryCore. fused=False: attention as most ports write it, two products and a
    softmax."""

    fused = True

    def __init__(self, model):
        super().__init__(model)
        self.heads, self.mlp_layers = model.num_heads, model.mlp_layers
        self.gated, self.qkv_norm = model.gate_style is not None, model.qkv_norm
        self.slots, sees = model.num_slots, None
        self.blocks, self.share_blocks = model.num_blocks, model.share_blocks
        if model.attend_to == "self":  # each row itself and the input, the last one
            sees = torch.eye(self.slots + 1, dtype=torch.bool)
            sees[:, -1] = True
        self.register_buffer("sees", sees)
        self.register_buffer("first_memory", torch.tensor(model.first_memory))
        if self.gated:  # constants added inside the sigmoids, input gate first
            biases = [model.input_bias, model.forget_bias]
            constants = torch.tensor(biases, dtype=self.b_g.dtype)
            self.register_buffer("gate_bias", constants.repeat_interleave(self.b_g.numel() // 2))

    def block(self, rows, asking, number=""):
        """Attention of the first `asking` rows over all rows (B, N + 1, S), slots and input, then
        the MLP: (B, asking, S)."""
        own = lambda name: getattr(self, f"{name}{number}")
        size = rows.shape[-1:]
        qkv = linear(rows, own("W_qkv"), own("b_qkv"))  # (B, N + 1, 3S)
        if self.qkv_norm:
            qkv = F.layer_norm(qkv, qkv.shape[-1:], own("g_qkv"), own("beta_qkv"))
        q, k, v = qkv.chunk(3, dim=-1)
        mask = None if self.sees is None else self.sees[:asking]
        attended = attention(q[:, :asking], k, v, self.heads, self.fused, mask)
        u = F.layer_norm(rows[:, :asking] + attended, size, own("g_u"), own("beta_u"))
        if not self.mlp_layers:
            return u
        x = u
        for layer in range(1, self.mlp_layers + 1):
            x = linear(x, getattr(self, f"W_mlp{layer}"), getattr(self, f"b_mlp{layer}"))
            x = torch.relu(x) if layer < self.mlp_layers else x
        return F.layer_norm(u + x, size, own("g_c"), own("beta_c"))

    def candidate(self, memory, p):
        """All blocks, from the memory (B, N, S) and the input's row (B, 1, S)."""
        rows = torch.cat([memory, p], dim=1)
        if self.share_blocks:  # one set of weights, and p itself again before each block
            for _ in range(self.blocks):
                memory = self.block(rows, self.slots)
                rows = torch.cat([memory, p], dim=1)
            return memory
        for number in range(1, self.blocks + 1):  # the last needs no answer for the input's row
            asking = self.slots + (number < self.blocks)
            rows = self.block(rows, asking, number if number > 1 else "")
        return rows

    def states(self, inputs):
        # (B, T, S): all steps at once, and so is their share of the gates
        p = linear(inputs, self.W_in, self.b_in)
        if self.gated:  # T of (B, 1, 2G)
            input_gates = linear(p, self.W_gx, self.b_g + self.gate_bias).split(1, dim=1)
        memory = self.first_memory.expand(len(inputs), -1, -1)
        states = []
        for t, p_t in enumerate(p.split(1, dim=1)):
            candidate = self.candidate(memory, p_t)
            if self.gated:
                gates = torch.sigmoid(linear(torch.tanh(memory), self.W_gm) + input_gates[t])
                input_gate, forget_gate = gates.chunk(2, dim=-1)  # (B, N, G) each
                candidate = forget_gate * memory + input_gate * torch.tanh(candidate)
            memory = candidate
            states.append(memory.flatten(1))  # (B, N S)
        return states


class TorchRelationalRNN(Twin):
    """RelationalRNN: an LSTM whose hidden state feeds a memory of slots."""

    def __init__(self, model):
        super().__init__(model)
        self.heads, self.use_lstm = model.num_heads, model.use_lstm
        self.register_buffer("first_memory", torch.tensor(model.first_memory))

    def hidden(self, inputs):
        """The T hidden states (B, H), from an LSTM or from a layer without a state."""
        if self.use_lstm:
            return TorchLSTM.states(self, inputs)
        return torch.tanh(linear(inputs, self.W_hidden, self.b_hidden)).unbind(1)

    def remember(self, memory, p):
        """One step of the memory: (B, N, S), p (B, S) -> (B, N, S)."""
        p = p.unsqueeze(1)
        rows = torch.cat([memory, p], dim=1)
        q, k, v = memory @ self.W_q, rows @ self.W_k, rows @ self.W_v
        attended = attention(q, k, v, self.heads) @ self.W_o
        updated = torch.tanh(linear(attended, self.W_update, self.b_update))
        both = torch.cat([attended, p.expand_as(attended)], dim=-1)
        gate = torch.sigmoid(linear(both, self.W_gate, self.b_gate))
        return gate * updated + (1 - gate) * memory

    def states(self, inputs):
        memory = self.first_memory.expand(len(inputs), -1, -1)
        states = []
        for h in self.hidden(inputs):
            p = linear(h, self.W_input, self.b_input) if hasattr(self, "W_input") else h
            memory = self.remember(memory, p)
            read = linear(memory.mean(dim=1), self.W_memory_read, self.b_memory_read)
            joined = linear(torch.cat([h, read], dim=1), self.W_combine, self.b_combine)
            states.append(torch.tanh(joined))
        return states


class TorchLSTM(Twin):
    """LSTM, step by step; tests/make_torch_fixture.py checks that it is torch.nn.LSTM. layer_norm:
    of the sums of all gates, and of c."""

    def states(self, inputs):
        h = c = inputs.new_zeros(len(inputs), len(self.W_h))
        states = []
        if hasattr(self, "g_z"):
            for projected in linear(inputs, self.W_x).unbind(1):
                z = F.layer_norm(projected + h @ self.W_h, self.g_z.shape, self.g_z, self.beta_z)
                i, f, g, o = z.chunk(4, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                shown = F.layer_norm(c, self.g_c.shape, self.g_c, self.beta_c)
                h = torch.sigmoid(o) * torch.tanh(shown)
                states.append(h)
            return states
        for projected in linear(inputs, self.W_x, self.b).unbind(1):
            h, c = lstm_step(projected, h, c, self.W_h)
            states.append(h)
        return states


def twin(model):
    """The PyTorch twin of a NumPy model: same class of model, same parameters, same dtype."""
    kinds = {
        "RelationalMemoryCore": TorchCore, "RelationalRNN": TorchRelationalRNN, "LSTM": TorchLSTM,
    }  # fmt: skip
    return kinds[type(model).__name__](model)
