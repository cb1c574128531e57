"""`python3 -m covid19`: the same as the `covid19` command."""

import sys

from covid19.cli.main import main

if __name__ == "__main__":
    sys.exit(main(prog="python3 -m covid19"))
