"""A bank of concepts: a bright frame, or none, drawn on images of the task's own data set."""

from lthbench.kinds import Annotated, Bank


def load(source, backdrop, count, size, channels):
    """Every second image gets a frame; one layer names each pixel that belongs to it."""
    import numpy as np

    pixels = np.array(backdrop.pixels[: count or len(backdrop.labels)])
    edge = max(1, size // 8)
    frame = np.ones((size, size), dtype=bool)
    frame[edge:-edge, edge:-edge] = False
    layers = np.zeros((len(pixels), 1, size, size), dtype=np.int16)
    pixels[::2, :, frame] = 255
    layers[::2, 0, frame] = 1
    return Annotated(pixels, layers, ("frame",), ("shape",))


BANK = Bank(
    name="frames",
    version=1,
    title="a bright frame on every second test image",
    source="an example",
    licence="none needed",
    load=load,
)
