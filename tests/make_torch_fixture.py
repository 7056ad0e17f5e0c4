"""Write tests/fixtures/torch_twin.npz: what PyTorch says about small models, which
tests/rrnn/test_torch_fixture.py compares with.

Run by hand where PyTorch is installed (the tests never need it), after a change of the models or of
VARIANTS:

    python tests/make_torch_fixture.py         # those that are not in the file yet, or are no more
    python tests/make_torch_fixture.py --all   # all of them anew

Every variant is stored in float64 under its name: config (JSON text), first_memory, param/NAME,
inputs, targets, outputs of all steps, loss and grad/NAME.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "torch_twin.npz"
BATCH, STEPS, INPUTS, OUTPUTS = 5, 4, 3, 4


def core(targets="last", **arguments):
    defaults = dict(num_slots=3, slot_size=6, num_heads=2)
    return dict(model="RelationalMemoryCore", arguments=defaults | arguments, targets=targets)


def rnn(targets="last", **arguments):
    defaults = dict(hidden_size=5, num_slots=3, slot_size=6, num_heads=2)
    return dict(model="RelationalRNN", arguments=defaults | arguments, targets=targets)


def lstm(targets="last", **arguments):
    return dict(model="LSTM", arguments=dict(hidden_size=5) | arguments, targets=targets)


# targets: "last" asks for a class at the last step, "some" at the last two but for a few; "numbers"
# at the last two. The place in this list is the seed: new ones come last.
VARIANTS = {
    "core": core(),
    "core_one_head": core("some", num_heads=1, initial_memory="random"),
    "core_zeros": core("some", initial_memory="zeros", readout_sizes=[5]),
    "core_memory_gate": core("numbers", gate_style="memory", initial_memory="random"),
    "core_no_gate": core("some", gate_style=None),
    "core_no_norm": core(qkv_norm=False, initial_memory="random", readout_sizes=[5]),
    "core_no_norm_memory_gate": core("some", qkv_norm=False, gate_style="memory", num_slots=2),
    "core_no_mlp": core("some", mlp_layers=0, initial_memory="random"),
    "core_no_mlp_no_gate": core("numbers", mlp_layers=0, gate_style=None, num_heads=3),
    "core_one_mlp_layer": core(mlp_layers=1, gate_style="memory", initial_memory="zeros"),
    "core_three_mlp_layers": core("numbers", mlp_layers=3, readout_sizes=[5, 7]),
    "core_two_blocks": core("some", num_blocks=2, share_blocks=True, initial_memory="random"),
    "core_two_blocks_no_gate": core(
        num_blocks=2, share_blocks=True, gate_style=None, qkv_norm=False, mlp_layers=1
    ),
    "core_two_blocks_no_mlp": core(
        "some", num_blocks=2, share_blocks=True, mlp_layers=0, num_heads=1, gate_style="memory"
    ),
    "core_gate_biases": core("some", forget_bias=-0.4, input_bias=0.7, num_slots=1),
    "rnn": rnn("some", initial_memory="random"),
    "rnn_same_size": rnn(hidden_size=6, num_heads=1),
    "rnn_zeros": rnn("numbers", initial_memory="zeros", readout_sizes=[5]),
    "lstm": lstm("some"),
    "lstm_readout": lstm("numbers", readout_sizes=[5]),
    "core_two_own_blocks": core("some", num_blocks=2, initial_memory="random"),
    "core_three_own_blocks": core("numbers", num_blocks=3, gate_style="memory", qkv_norm=False),
    "core_own_blocks_no_mlp": core("some", num_blocks=2, mlp_layers=0, gate_style=None),
    "core_self": core("some", attend_to="self", initial_memory="random"),
    "core_self_own_blocks": core(attend_to="self", num_blocks=2, initial_memory="random"),
    "rnn_no_lstm": rnn("some", use_lstm=False, initial_memory="random"),
    "lstm_layer_norm": lstm("some", layer_norm=True),
    "lstm_layer_norm_readout": lstm("numbers", layer_norm=True, readout_sizes=[5]),
}


def build(config):
    """The NumPy model of a variant, in float64."""
    from rrnn import cell, core, lstm

    kinds = {"RelationalMemoryCore": core, "RelationalRNN": cell, "LSTM": lstm}
    kind = getattr(kinds[config["model"]], config["model"])
    return kind(INPUTS, output_size=OUTPUTS, dtype=np.float64, **config["arguments"])


def draw_targets(kind, rng):
    """Targets of one batch: class indices (BATCH, A) or numbers (BATCH, A, OUTPUTS)."""
    if kind == "numbers":
        return rng.normal(size=(BATCH, 2, OUTPUTS))
    targets = rng.integers(OUTPUTS, size=(BATCH, 1 if kind == "last" else 2))
    if kind == "some":
        targets[[0, 1, 1], [1, 0, 1]] = -1
    return targets


def answers(config, rng):
    """Everything that is stored of one variant: {name: array}."""
    import torch
    from torch_twin import twin

    model = build(config)
    for array in model.params.values():
        # so that no bias and no gain is at its first value
        array += rng.normal(scale=0.3, size=array.shape)
    copy = twin(model)
    inputs, targets = rng.normal(size=(BATCH, STEPS, INPUTS)), draw_targets(config["targets"], rng)
    outputs = copy(torch.tensor(inputs))
    loss = copy.loss(torch.tensor(inputs), torch.tensor(targets))
    loss.backward()
    stored = dict(config=json.dumps(config), inputs=inputs, targets=targets)
    stored |= dict(outputs=outputs.detach(), loss=loss.detach())
    if hasattr(model, "first_memory"):
        stored["first_memory"] = model.first_memory
    for name, parameter in copy.named_parameters():
        assert parameter.grad.abs().max() > 0, f"{config}: nothing reaches {name}"
        stored |= {f"param/{name}": parameter.detach(), f"grad/{name}": parameter.grad}
    return stored


def check_lstm():
    """The twin's LSTM, written step by step, is torch.nn.LSTM."""
    import torch
    from torch_twin import twin

    ours = twin(build(lstm()))
    theirs = torch.nn.LSTM(INPUTS, 5, batch_first=True, dtype=torch.float64)
    values = (ours.W_x.t(), ours.W_h.t(), ours.b, torch.zeros_like(ours.b))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    inputs = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.float64)
    torch.testing.assert_close(torch.stack(ours.states(inputs), dim=1), theirs(inputs)[0])


def stored_variants():
    """{variant: {name: array}} of the file, as far as it is of today's VARIANTS."""
    found = {}
    if FIXTURE.exists():
        with np.load(FIXTURE, allow_pickle=False) as arrays:
            for key in arrays.files:
                variant, name = key.split("/", 1)
                found.setdefault(variant, {})[name] = arrays[key]
    config = lambda variant: json.loads(str(found[variant]["config"]))
    return {name: found[name] for name in found if config(name) == VARIANTS.get(name)}


def main(arguments):
    check_lstm()
    kept = {} if "--all" in arguments else stored_variants()
    arrays = {}
    for number, (variant, config) in enumerate(VARIANTS.items()):
        rng = np.random.default_rng([2018, number])
        found = kept[variant] if variant in kept else answers(config, rng)
        arrays |= {f"{variant}/{name}": np.asarray(value) for name, value in found.items()}
    FIXTURE.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=FIXTURE.parent, suffix=".npz", delete=False) as file:
        np.savez_compressed(file, **arrays)
    os.chmod(file.name, 0o644)
    os.replace(file.name, FIXTURE)
    new, size = len(VARIANTS) - len(kept), FIXTURE.stat().st_size / 1024
    print(f"{FIXTURE}: {len(VARIANTS)} variants, {new} of them new, {size:.0f} KiB")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main(sys.argv[1:])
