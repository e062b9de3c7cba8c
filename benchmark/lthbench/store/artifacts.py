"""The names of the files in artefacts."""

from __future__ import annotations

#: The file that holds a network's weights.
WEIGHTS = "weights.safetensors"


#: The file that holds a mask, one bit for each weight.
MASK = "mask.safetensors"


#: The file that holds the draws of a measure's headline scores: float64 by score, see ``kinds.Value``.
DRAWS = "draws.safetensors"
