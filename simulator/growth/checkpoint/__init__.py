"""Growing a checkpoint on disk: Hugging Face folders of the Llama, Mistral, Qwen, GPT-NeoX, OPT and OLMo families.

`grow` writes the larger model's folder, tensor by tensor, and checks that it computes what its source computes.
"""

from __future__ import annotations

from simulator.growth.checkpoint.families import FAMILIES
from simulator.growth.checkpoint.plan import How
from simulator.growth.checkpoint.writing import Grown, grow

__all__ = ["FAMILIES", "Grown", "How", "grow"]
