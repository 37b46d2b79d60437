"""Writers of other programs' files: a chosen plan as Megatron-LM, torchtitan, nanotron, DeepSpeed or Hugging Face has it.

Each file is read back by the importer of its program before it is returned, and what came back must be the plan: a setting
that a program cannot hold is an error or a note, never lost in silence.
"""

from __future__ import annotations

from simulator.exporters.check import EXPORTERS, Exported, export
from simulator.exporters.plan import TrainingPlan, plan_of

__all__ = ["EXPORTERS", "Exported", "TrainingPlan", "export", "plan_of"]
