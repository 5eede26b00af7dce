"""PROCO for OSRL: offline safe reinforcement learning from data without violations."""

__version__ = "0.1.0"
