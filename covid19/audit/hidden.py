"""The names of pictures with hidden lungs that an audit writes for somebody else's model, and its scores of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from covid19.audit.inputs import LUNGS_HIDDEN, MEDIASTINUM_HIDDEN
from covid19.core.arrays import Float64Array
from covid19.core.errors import InputError
from covid19.evaluation.score_table import ScoreTable
from covid19.evaluation.scores import match_scores
from covid19.lungs.occlusion import Hides

TABLE_NAME = "hidden.csv"
# The folder of the pictures by what is hidden, as the audit's probes name it.
FOLDERS = {LUNGS_HIDDEN: "lungs-hidden", MEDIASTINUM_HIDDEN: "lungs-and-mediastinum-hidden"}
HIDES = {LUNGS_HIDDEN: Hides.LUNGS, MEDIASTINUM_HIDDEN: Hides.HULL}


def hidden_name(probe: str, name: str) -> str:
    """The path of an image's picture with a part hidden, by the probe's name and the image's path in its data set."""
    ending = "" if name.lower().endswith(".png") else ".png"
    return f"{FOLDERS[probe]}/{name}{ending}"


def match_hidden(table: ScoreTable, names: Sequence[str], flag: str) -> dict[str, Float64Array]:
    """The scores of images with a part hidden, (n,) by the probe's name, of those ways of hiding that the table has.

    Args:
        table: of scores of the pictures that `covid19 audit --write-hidden` wrote.
        names: of all images, as they are in their data set.
        flag: that named the table, for messages.

    Raises:
        InputError: the table has none of these pictures, or lacks some of a way of hiding.
    """
    found = {}
    for probe, folder in FOLDERS.items():
        rows = tuple(row for row in table.rows if folder in row.image.split("/"))
        if not rows:
            continue
        wanted = [hidden_name(probe, name) for name in names]
        scores = match_scores(replace(table, rows=rows), wanted, flag)
        if len(scores.at) < len(wanted):
            missing = next(name for position, name in enumerate(wanted) if position not in set(scores.at.tolist()))
            raise InputError(
                f"{flag} '{table.path}' has no score of {len(wanted) - len(scores.at)} of {len(wanted)} pictures, such as "
                f"'{missing}'; expected one of each that has a score with its lungs: give the table of all pictures"
            )
        found[probe] = scores.values
    if not found:
        raise InputError(
            f"{flag} '{table.path}' names no picture in a folder {' or '.join(FOLDERS.values())} (a row is of "
            f"'{table.rows[0].image}'); expected the pictures that covid19 audit --write-hidden wrote, named as in "
            f"its {TABLE_NAME}: give the table of these pictures"
        )
    return found
