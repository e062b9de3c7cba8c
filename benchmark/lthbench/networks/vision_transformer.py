"""The vision transformers of Dosovitskiy et al. 2021, with the sizes and the class token of DeiT.

They compute what timm's do, and their parameters have the same names and shapes, so that the weights of one
load into the other (``normalize`` apart); torchvision's have other names. Attention is written out, since
fused kernels have no second derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lthbench.networks.normalize import Normalize
from lthbench.spec import Network

#: As in the authors' code, in timm and in torchvision.
EPSILON = 1e-6


class Patches(nn.Module):
    """A linear layer on each patch of pixels, as a convolution whose stride is its size."""

    def __init__(self, channels: int, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, channels, H, W]`` to ``[N, patches, width]``, row by row."""
        return self.proj(x).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention of several heads. The rows of ``qkv`` are queries, keys and values, each by head."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, tokens, width]`` to the same."""
        made = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = made[0], made[1], made[2]
        likeness = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(2, 3)
        return self.proj((likeness.softmax(3) @ values).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, tokens, width]`` to the same."""
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class Grid(nn.Module):
    """The tokens of patches as maps: what saliency maps and units of transformers are read from."""

    def __init__(self, side: int):
        super().__init__()
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, side * side, width]`` to ``[N, width, side, side]``."""
        return x.transpose(1, 2).reshape(x.shape[0], -1, self.side, self.side)


class Block(nn.Module):
    """Attention and an MLP, each after a normalisation and beside a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, EPSILON)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: torch.Tensor, grid: Grid | None = None) -> torch.Tensor:
        """``[N, tokens, width]`` to the same. What attention reads passes through ``grid``, if there is one,
        without the class token.
        """
        read = self.norm1(x)
        if grid is not None:
            maps = grid(read[:, 1:])
            # Who replaces the maps of one image by several has what comes before them computed once.
            first = read[:, :1].expand(maps.shape[0], -1, -1)
            read = torch.cat([first, maps.flatten(2).transpose(1, 2)], 1)
        x = x + self.attn(read)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """The whole network: pixels in [0, 1] to logits.

    ``widths`` are those of a head and of the MLP's hidden layer; tokens have ``heads`` times the first.
    ``grid`` yields the patches' tokens that the last block's attention reads, as maps: after it the logits
    depend on the class token alone, and have no gradient by the others. Weights start normal with a standard
    deviation of 0.02, biases at zero, as in DeiT.
    """

    def __init__(self, network: Network, widths: Sequence[int], depth: int, heads: int, patch: int):
        super().__init__()
        width, side = heads * widths[0], network.size // patch
        self.normalize = Normalize(network.mean, network.std)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side**2, width))
        self.patch_embed = Patches(network.channels, width, patch)
        self.blocks = nn.ModuleList(Block(width, heads, widths[1]) for _ in range(depth))
        self.grid = Grid(side)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.head = nn.Linear(width, network.classes)
        for drawn in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(drawn, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def prunable_weights(self) -> list[str]:
        """The weights of attention and MLPs; no embeddings, no normalisation, not the head."""
        parts = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
        return [f"blocks.{i}.{part}.weight" for i in range(len(self.blocks)) for part in parts]

    def attention_heads(self) -> list[tuple[str, str, int]]:
        """For each attention, the layer that makes queries, keys and values, what reads it, and its heads."""
        found = [(name, part) for name, part in self.named_modules() if isinstance(part, Attention)]
        return [(f"{name}.qkv", f"{name}.proj", part.heads) for name, part in found]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]`` of pixels ``[N, channels, H, W]`` in [0, 1]."""
        patches = self.patch_embed(self.normalize(x))
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], 1) + self.pos_embed
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        tokens = self.blocks[-1](tokens, self.grid)
        return self.head(self.norm(tokens[:, 0]))  # type: ignore[no-any-return]
