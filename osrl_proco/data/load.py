import torch

from ..evaluate import make_env
from ..tasks import load_task
from .transitions import Transitions


def load_dataset(task, file=None):
    env = make_env(load_task(task))
    d = env.unwrapped.get_dataset(file) if file else env.unwrapped.get_dataset()
    d = {k: torch.as_tensor(v).float() for k, v in d.items()}
    last = (d["terminals"] + d["timeouts"]) > 0
    prev = torch.zeros_like(d["costs"])
    prev[1:] = d["costs"][:-1] * (~last[:-1])
    return Transitions(
        **{
            k: d[k]
            for k in ("observations", "actions", "next_observations", "rewards", "costs", "terminals", "timeouts")
        },
        previous_costs=prev,
    )
