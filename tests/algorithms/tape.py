"""What stands for a CUDA graph on a CPU: the operations of one run, run again on the very same memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Records every operation with the tensors it read and made; `replay` fills the made ones again.

    As with a CUDA graph, Python runs once only. What waits for the device cannot be recorded.
    """

    def __init__(self):
        super().__init__()
        self.operations, self.replays = [], 0
        self.ran = False

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if "_local_scalar_dense" in str(operation):
            raise RuntimeError("a value is asked for while recording")
        made = operation(*args, **kwargs)
        self.operations.append((operation, args, kwargs, made))
        return made

    def warm(self, function):
        return function()

    def capture(self, function):
        with self:
            made = function()
        self.ran = True  # a graph's capture runs nothing, so its first replay is the first run; this one ran
        return made

    @torch.no_grad()
    def replay(self):
        self.replays += 1
        if self.ran:
            self.ran = False
            return
        for operation, args, kwargs, made in self.operations:
            again = operation(*args, **kwargs)
            read = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.untyped_storage().data_ptr() not in read:
                    old.copy_(new)
