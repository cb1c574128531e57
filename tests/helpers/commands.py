"""The project's commands, run as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helpers.paths import PROJECT


def run_command(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python3 ARGUMENTS...` in a new interpreter and return what it printed and its exit code."""
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "XDG_CACHE_HOME": str(cwd.parent / "cache"), **environment}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
