"""The names of the files in artefacts."""

from __future__ import annotations

#: A network's weights.
WEIGHTS = "weights.safetensors"

#: A mask, one bit for each weight.
MASK = "mask.safetensors"

#: The logits of a network on a set of images, and the labels.
LOGITS = "logits.safetensors"

#: The scores of a measure.
SCORES = "scores.json"

#: The draws of a measure's headline scores: float64 by score, see ``kinds.Value``.
DRAWS = "draws.safetensors"
