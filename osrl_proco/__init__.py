"""PROCO for OSRL: offline safe reinforcement learning from data without violations.

Importing this package patches OSRL, DSRL, FSRL and the simulators in memory where they are imported after it, and
makes Gymnasium know the embedded tasks (`gymnasium.make("OfflineBrake-v0")`).

From Python, everything that the command line does (docs/python_api.md):

    from osrl_proco import compare, evaluate, load_policy, load_task, train

Each is loaded, and PyTorch with it, when it is first asked for.
"""

from typing import TYPE_CHECKING

from .core.lazy import lazily
from .envs.registration import register_with_gymnasium
from .upstream import compat

if TYPE_CHECKING:
    from .algorithms.registry import register
    from .api import Run, evaluate, load_policy, train
    from .comparison.api import compare
    from .core.errors import UserError
    from .tasks.task import load_task

__version__ = "0.1.0"
__all__ = ["Run", "UserError", "compare", "evaluate", "load_policy", "load_task", "register", "train"]

compat.install()
register_with_gymnasium()

__getattr__ = lazily(
    __name__,
    {
        "Run": "api",
        "UserError": "core.errors",
        "compare": "comparison.api",
        "evaluate": "api",
        "load_policy": "api",
        "load_task": "tasks.task",
        "register": "algorithms.registry",
        "train": "api",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
