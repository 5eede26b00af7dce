"""PROCO for OSRL: offline safe reinforcement learning from data without violations."""

from . import compat

__version__ = "0.1.0"

compat.install()
