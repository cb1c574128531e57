"""What the words of findings and class names mean: is it COVID-19, and is it the absence of something?"""

from __future__ import annotations

import re

NO_FINDING = {"", "todo", "unknown"}  # a label that says nothing
COVID = r"(?:covid|sars[\W_]*cov|n[\W_]*cov\b)"
# COVID-19 that is denied: `NonCOVID`, `no covid`, `covid_negative`, `COVID-19 (neg.)`, `covid free`.
DENIED = re.compile(
    rf"(?:\b|_)(?:non|not|no|neg|without|excluded|anti|other[\W_]than|ohne|kein|sans|sin|pas[\W_]de|pre|post)[\W_]*{COVID}|negative[\W_]*(?:for[\W_]+)?{COVID}"
    rf"|{COVID}[\W_]*(?:19|2)?[\W_]*(?:(?:pcr|test|is)[\W_]*)*"
    r"(?:negative|neg(?=$|[\W_])|free|absent|excluded|ruled|unlikely|false|undetected|not?(?=$|[\W_])|nein|0$|\(-\)|-ve\b)"
    rf"|{COVID}[\W_]?(?:19|2)?[ _]?-$",
    re.IGNORECASE,
)
ABSENT = re.compile(
    r"(?:^|[\W_])(?:normal(?:s|e|es)?|negati(?:ves?|f|v|vo)|neg|healthy|unaffected|clear|controls?|kontrollen?|gesund|sain|sano|"
    r"no|non|not|none|without|absent|clean|ohne|kein|sans|sin)(?=$|[\W_\d])|^non|(?:^|\s)0$",
    re.IGNORECASE,
)


def is_covid(finding: str) -> bool:
    """Whether a finding or a class's name, in any style, is COVID-19: named and not denied.

    A finding may have several parts: of `COVID-19, no effusion` the first counts.
    """
    parts = re.split(r"[,;|&+]|\band\b|\bwith\b", finding, flags=re.IGNORECASE)
    return any(re.search(COVID, part, re.IGNORECASE) and not _is_denied(part) for part in parts)


def is_absence(name: str) -> bool:
    """Whether a class's name says that something is absent: `NORMAL`, `negative`, `No Finding`, `NonCOVID`."""
    words = _words(name)
    return bool(ABSENT.search(words) or _is_denied(name)) and not is_covid(name)


def _is_denied(text: str) -> bool:
    """Whether COVID-19 is denied, also in camel case; `SARS-CoV` is looked at as it is as well."""
    return bool(DENIED.search(text) or DENIED.search(_words(text)))


def _words(text: str) -> str:
    """Text with the words of camel case parted, as in `NonCovid`; a name in capitals stays as it is."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
