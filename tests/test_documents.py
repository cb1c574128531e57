"""The documents name what there is."""

import re

from helpers.paths import PROJECT


def test_every_test_that_the_threat_model_names_exists():
    named = set(re.findall(r"`(test_\w+)`", (PROJECT / "SECURITY.md").read_text()))
    code = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    assert len(named) > 50
    assert {name for name in named if f"def {name}(" not in code} == set()
