"""The tasks: questions without end, whose answers are known, as are the rules that fake them."""

from rrnn.tasks.babi_qa import BabiQA
from rrnn.tasks.base import Task
from rrnn.tasks.character_text import CharacterText
from rrnn.tasks.nth_farthest import NthFarthest
from rrnn.tasks.object_tracking import ObjectTracking
from rrnn.tasks.pair_matching import PairMatching
from rrnn.tasks.program_evaluation import ProgramEvaluation
from rrnn.tasks.sorting import Sorting
from rrnn.tasks.story_qa import StoryQA

__all__ = ["Task", "NthFarthest", "PairMatching", "Sorting", "ObjectTracking", "StoryQA",
           "ProgramEvaluation", "BabiQA", "CharacterText"]  # fmt: skip
