"""From which side an X-ray was taken: the words of tables and headers in, one spelling of each projection out."""

from __future__ import annotations

import re

PA = re.compile(r"\bp\W?\s?a\b|poster(?:o|ior)\W*anterior", re.IGNORECASE)
AP = re.compile(r"\ba\W?\s?p\b|anter(?:o|ior)\W*posterior", re.IGNORECASE)
LATERAL = re.compile(
    r"\b(l|ll|rl|lat|llat|rlat|ll?o|rl?o|left|right|profile?|seitlich|seitl)\b|lateral|oblique|decubitus", re.IGNORECASE
)
POSITIONS = ("semi erect", "supine", "erect", "portable", "sitting", "lordotic")  # kept behind PA and AP
UNKNOWN = {"", "unknown", "unk", "nan", "n/a", "na", "none", "null", "other", "-", "?"}
FRONTAL = re.compile(r"\bfrontal\b", re.IGNORECASE)


def standard_projection(text: str) -> str:
    """One spelling of a projection.

    Args:
        text: as written, such as `POSTERO-ANTERIOR`, `PA view`, `AP Supine`, `LL`.

    Returns:
        'PA' or 'AP' with the position that is stated, 'lateral', 'frontal' for one of the first two of which it is not said
        which, '' where nothing is said, and any other text as written.
    """
    plain = " ".join(text.replace("_", " ").split())
    if plain.lower() in UNKNOWN:
        return ""
    found = [name for name, pattern in (("PA", PA), ("AP", AP)) if pattern.search(plain)]
    if len(found) == 1:
        position = next((word for word in POSITIONS if word in plain.lower().replace("-", " ")), "")
        return f"{found[0]} {position}".strip()
    if LATERAL.search(plain):
        return "lateral"
    return "frontal" if found or FRONTAL.search(plain) else plain


def is_other(projection: str, wanted: str) -> bool:
    """Whether a standard projection is known to be another than the one wanted: what may be it is not."""
    return wanted != "any" and projection not in ("", "frontal") and projection.split(maxsplit=1)[0] != wanted
