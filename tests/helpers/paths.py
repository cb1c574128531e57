"""Where the project and the real images beside it are."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
SHARED = PROJECT.parent / "shared" / "data"
