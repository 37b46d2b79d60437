"""The fields of a `Shape` as the fields of a model file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_data(sizes: Mapping[str, int], **names: Any) -> dict[str, Any]:
    """The YAML of a model from the fields of `simulator.transformer.Shape`; what equals a default is left out.

    Examples
    --------
    >>> from simulator.importers.huggingface import read_config
    >>> sizes = read_config({"model_type": "llama", "hidden_size": 64, "intermediate_size": 256, "vocab_size": 100,
    ...                      "num_hidden_layers": 2, "num_attention_heads": 4})
    >>> model_data(sizes)["vocab_size"], "num_experts" in model_data(sizes)
    (100, False)
    """
    # The schema is imported here: it imports the importer of config.json itself.
    from simulator.schema.model import Model

    written = Model.from_sizes(sizes, **names).model_dump(mode="json", exclude_defaults=True)
    kept = ("mlp_type", "tie_word_embeddings", "vocab_size", "norm", "position_embedding")
    model = Model.model_validate(written)
    return written | {name: getattr(model, name) for name in kept}
