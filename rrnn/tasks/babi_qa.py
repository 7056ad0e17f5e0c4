"""Real stories: the bAbI tasks (being written)."""

from rrnn.tasks.base import Task


class BabiQA(Task):
    """Being written. Taught in notebook 04."""
