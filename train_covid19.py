"""The main job: `python3 train_covid19.py --dataset dataset`, the same as `covid19 train --dataset dataset`."""

import sys

from covid19.cli.main import main_train

if __name__ == "__main__":
    sys.exit(main_train())
