"""``python -m lthbench`` is the same as ``lthbench``."""

from lthbench.cli import main

if __name__ == "__main__":
    main()
