"""`python -m attnsim`: the command line."""

import sys

from attnsim.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
