"""PROCO for OSRL: offline safe reinforcement learning from data without violations.

Importing this package patches OSRL, DSRL, FSRL and the simulators in memory where they are imported after it, and
makes Gymnasium know the embedded tasks (`gymnasium.make("OfflineBrake-v0")`).
"""

from .envs.registration import register_with_gymnasium
from .upstream import compat

__version__ = "0.1.0"

compat.install()
register_with_gymnasium()
