"""``python -m semfid``."""

import sys

from semfid.cli import main

if __name__ == "__main__":
    sys.exit(main())
