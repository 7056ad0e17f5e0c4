"""The three models of rrnn_helpers in eager PyTorch with autograd: the yardstick for their gradients and their speed.

`twin(model)` copies the parameters of a NumPy model into a torch.nn.Module of the same equations. Parameters keep their
names and (in, out) shapes, so `twin.named_parameters()` lines up with `model.params`, and gradients compare directly.

Of the ways to write it that were timed on a CPU (two matmuls with a softmax or F.scaled_dot_product_attention, the
input's q, k, v inside the loop or for all steps before it, weights stored either way round) this is the fastest. The
core can also attend the plain way, `twin.fused = False`, which is how most public ports have it.

Shapes in the comments: B examples, T steps, I inputs, O outputs, N slots, S slot_size, H hidden units, K heads.
"""

import torch
import torch.nn.functional as F
from torch import nn


def linear(x, weight, bias=None):
    """x (..., in) @ weight (in, out) + bias (out): F.linear stores its weight the other way round."""
    return F.linear(x, weight.t(), bias)


def attention(q, k, v, heads, fused=True):
    """q (B, N, S) over k, v (B, M, S) -> (B, N, S): each head on its own S / K columns."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, K, rows, S / K)
    if fused:
        attended = F.scaled_dot_product_attention(q, k, v)
    else:
        attended = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v
    return attended.transpose(1, 2).flatten(2)


def lstm_step(projected, h, c, W_h):
    """One LSTM step from projected = x W_x + b (B, 4H), gates in the order i, f, g, o; returns h, c (B, H)."""
    i, f, g, o = torch.addmm(projected, h, W_h).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class Twin(nn.Module):
    """Parameters, readout and loss; a subclass gives `states(inputs)`, the T tensors that the readout reads."""

    def __init__(self, model):
        super().__init__()
        for name, array in model.params.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(array)))
        self.readout_layers = len(model.readout_sizes)

    def forward(self, inputs, last=None):
        """inputs (B, T, I) -> outputs (B, T, O), or of the `last` steps only (B, last, O)."""
        x = torch.stack(self.states(inputs)[-(last or 0) :], dim=1)
        for layer in range(1, self.readout_layers + 1):
            x = torch.relu(linear(x, getattr(self, f"W_read{layer}"), getattr(self, f"b_read{layer}")))
        return linear(x, self.W_out, self.b_out)

    def loss(self, inputs, targets):
        """Mean cross-entropy of class targets (B, A), -1 not asked; mean squared error of numbers (B, A, k)."""
        outputs = self(inputs, last=targets.shape[1])
        if targets.is_floating_point():
            return F.mse_loss(outputs, targets)
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=-1)


class TorchCore(Twin):
    """RelationalMemoryCore. fused=False: attention as most ports write it, two products and a softmax."""

    fused = True

    def __init__(self, model):
        super().__init__(model)
        self.heads, self.mlp_layers, self.blocks = model.num_heads, model.mlp_layers, model.num_blocks
        self.gated, self.qkv_norm = model.gate_style is not None, model.qkv_norm
        self.register_buffer("first_memory", torch.tensor(model.first_memory))
        if self.gated:  # constants added inside the sigmoids, input gate first
            constants = torch.tensor([model.input_bias, model.forget_bias], dtype=self.b_g.dtype)
            self.register_buffer("gate_bias", constants.repeat_interleave(self.b_g.numel() // 2))

    def block(self, memory, p):
        """Attention of the slots over slots and input, then the MLP: (B, N, S), (B, 1, S) -> (B, N, S)."""
        size = memory.shape[-1:]
        qkv = linear(torch.cat([memory, p], dim=1), self.W_qkv, self.b_qkv)  # (B, N + 1, 3S)
        if self.qkv_norm:
            qkv = F.layer_norm(qkv, qkv.shape[-1:], self.g_qkv, self.beta_qkv)
        q, k, v = qkv.chunk(3, dim=-1)
        u = F.layer_norm(memory + attention(q[:, :-1], k, v, self.heads, self.fused), size, self.g_u, self.beta_u)
        if not self.mlp_layers:
            return u
        x = u
        for layer in range(1, self.mlp_layers + 1):
            x = linear(x, getattr(self, f"W_mlp{layer}"), getattr(self, f"b_mlp{layer}"))
            x = torch.relu(x) if layer < self.mlp_layers else x
        return F.layer_norm(u + x, size, self.g_c, self.beta_c)

    def states(self, inputs):
        p = linear(inputs, self.W_in, self.b_in)  # (B, T, S): all steps at once, and so is their share of the gates
        if self.gated:
            input_gates = linear(p, self.W_gx, self.b_g + self.gate_bias).split(1, dim=1)  # T of (B, 1, 2G)
        memory = self.first_memory.expand(len(inputs), -1, -1)
        states = []
        for t, p_t in enumerate(p.split(1, dim=1)):
            candidate = memory
            for _ in range(self.blocks):
                candidate = self.block(candidate, p_t)
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
        self.heads = model.num_heads
        self.register_buffer("first_memory", torch.tensor(model.first_memory))

    def remember(self, memory, p):
        """One step of the memory: (B, N, S), p (B, S) -> (B, N, S)."""
        p = p.unsqueeze(1)
        rows = torch.cat([memory, p], dim=1)
        attended = attention(memory @ self.W_q, rows @ self.W_k, rows @ self.W_v, self.heads) @ self.W_o
        updated = torch.tanh(linear(attended, self.W_update, self.b_update))
        both = torch.cat([attended, p.expand_as(attended)], dim=-1)
        gate = torch.sigmoid(linear(both, self.W_gate, self.b_gate))
        return gate * updated + (1 - gate) * memory

    def states(self, inputs):
        h = c = inputs.new_zeros(len(inputs), len(self.W_h))
        memory = self.first_memory.expand(len(inputs), -1, -1)
        states = []
        for projected in linear(inputs, self.W_x, self.b).unbind(1):
            h, c = lstm_step(projected, h, c, self.W_h)
            p = linear(h, self.W_input, self.b_input) if hasattr(self, "W_input") else h
            memory = self.remember(memory, p)
            read = linear(memory.mean(dim=1), self.W_memory_read, self.b_memory_read)
            states.append(torch.tanh(linear(torch.cat([h, read], dim=1), self.W_combine, self.b_combine)))
        return states


class TorchLSTM(Twin):
    """LSTM, step by step; tests/make_torch_fixture.py checks that it is torch.nn.LSTM."""

    def states(self, inputs):
        h = c = inputs.new_zeros(len(inputs), len(self.W_h))
        states = []
        for projected in linear(inputs, self.W_x, self.b).unbind(1):
            h, c = lstm_step(projected, h, c, self.W_h)
            states.append(h)
        return states


def twin(model):
    """The PyTorch twin of a NumPy model: same class of model, same parameters, same dtype."""
    kinds = {"RelationalMemoryCore": TorchCore, "RelationalRNN": TorchRelationalRNN, "LSTM": TorchLSTM}
    return kinds[type(model).__name__](model)
