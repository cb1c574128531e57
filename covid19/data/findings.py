"""What the words of findings and class names mean: is it COVID-19, and is it the absence of something?"""

from __future__ import annotations

import re

NO_FINDING = {"", "todo", "unknown"}  # a label that says nothing
COVID = r"(?:covid|sars[\W_]*cov|n[\W_]*cov\b)"
# COVID-19 that is denied: `NonCOVID`, `no covid`, `covid_negative`, `COVID-19 (neg.)`, `covid free`.
DENIED = re.compile(
    rf"(?:\b|_)(?:non|not|no|neg|without|excluded|anti)[\W_]*{COVID}|negative[\W_]*(?:for[\W_]+)?{COVID}"
    rf"|{COVID}[\W_]*(?:19|2)?[\W_]*(?:(?:pcr|test|is)[\W_]*)*"
    r"(?:negative|neg(?=$|[\W_])|free|absent|excluded|ruled|unlikely|not?(?=$|[\W_])|0$|\(-\))",
    re.IGNORECASE,
)
ABSENT = re.compile(
    r"(?:^|[\W_])(?:normals?|negatives?|neg|healthy|controls?|no|non|not|none|without|absent|clean)(?=$|[\W_])|^non|\s0$",
    re.IGNORECASE,
)


def is_covid(finding: str) -> bool:
    """Whether a finding or a class's name, in any style, is COVID-19: named and not denied.

    A finding may have several parts: of `COVID-19, no effusion` the first counts.
    """
    parts = re.split(r"[,;|&+]|\band\b|\bwith\b", finding, flags=re.IGNORECASE)
    return any(re.search(COVID, part, re.IGNORECASE) and not DENIED.search(_words(part)) for part in parts)


def is_absence(name: str) -> bool:
    """Whether a class's name says that something is absent: `NORMAL`, `negative`, `No Finding`, `NonCOVID`."""
    words = _words(name)
    return bool(ABSENT.search(words) or DENIED.search(words)) and not is_covid(name)


def _words(text: str) -> str:
    """Text with the words of camel case parted, as in `NonCovid`; a name in capitals stays as it is."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
