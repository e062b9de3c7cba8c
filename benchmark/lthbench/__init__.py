"""lthbench: is a pruned network still as good as the dense one it came from, on everything that matters?"""

__version__ = "0.1.0"
