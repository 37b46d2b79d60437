"""Growing a checkpoint on disk: Hugging Face folders of the Llama, Mistral, Qwen, GPT-NeoX, OPT and OLMo families.

`grow` writes the larger model's folder, tensor by tensor, and checks that it computes what its source computes.
"""

from __future__ import annotations

from simulator.growth.checkpoint.families import FAMILIES
from simulator.growth.checkpoint.grow import Grown, grow
from simulator.growth.checkpoint.plan import How

__all__ = ["FAMILIES", "Grown", "How", "grow"]
