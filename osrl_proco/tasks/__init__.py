"""What a task is, in words and numbers. Needs no torch."""

from .task import Entry, Task, load_task, task_ids

__all__ = ["Entry", "Task", "load_task", "task_ids"]
