"""Relational recurrent neural networks in NumPy: models, their gradients, tasks and training.

The rooms stand in the order of need, which is that of the notebooks: reference and checks; layers;
model; core, cell and lstm; tasks; training, checkpoints and parallel; experiments and statistics.
A room imports only from rooms before it. `import rrnn_helpers as rh` gives all public names.

The paper is Santoro, Faulkner, Raposo, Rae, Chrzanowski, Weber, Wierstra, Vinyals, Pascanu and
Lillicrap: Relational recurrent neural networks, NeurIPS 2018, arXiv:1806.01822; "eq. (2)" is an
equation of that paper.

Conventions. Batch first at every public boundary: sequences are (batch, time, features), memories
(batch, slots, slot_size), attention weights (batch, heads, queries, keys). Inside the models arrays
run over time, then slots, then batch: the rows [M; p] are then one block of memory, and a matrix
product needs no copies. float32 for training, float64 for gradient checks. Randomness comes from
numpy.random.Generator objects made from explicit seeds.
"""
