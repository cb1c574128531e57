"""Other names for a data set's classes: what `--map` says and the classes on both sides in; each class's new name out."""

from __future__ import annotations

from collections.abc import Sequence

from covid19.core.errors import InputError


def new_names(pairs: Sequence[str], classes: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The model's class for each class of a data set, with the names that stay as they are.

    Args:
        pairs: texts `THEIRS=OURS`, each of which has an equals sign between two names.
        classes: of the data set.
        known: classes of the model.

    Raises:
        InputError: a pair names a class that is not there or unknown to the model, a class is given two names, or a class is
            left that the model does not know.
    """
    names: dict[str, str] = {}
    for pair in pairs:
        theirs, ours = _parted(pair, classes, known)
        if theirs not in classes:
            raise InputError(
                f"--map '{pair}' renames '{theirs}', which is no class of the data set; expected one of its classes: "
                f"{', '.join(classes)}"
            )
        if ours not in known:
            raise InputError(
                f"--map '{pair}' makes '{theirs}' a class that the model does not know; expected one of the model's classes: "
                f"{', '.join(known)}"
            )
        if names.setdefault(theirs, ours) != ours:
            raise InputError(f"--map gives class '{theirs}' two names, '{names[theirs]}' and '{ours}'; expected one: give one")
    unknown = [name for name in classes if name not in names and name not in known]
    if unknown:
        raise InputError(
            f"the data set has the classes {', '.join(classes)}, but the model knows no {', '.join(unknown)}; expected its "
            f"classes, {', '.join(known)}, or some of them: rename with --map '{unknown[0]}={known[-1]}', or give the folder "
            "that holds the classes"
        )
    return {name: names.get(name, name) for name in classes}


def name_here(pairs: Sequence[str], ours: str) -> str:
    """What a data set calls one of the model's classes, by the first pair that says so; else the same."""
    ending = f"={ours}"
    return next((pair.removesuffix(ending) for pair in pairs if pair.endswith(ending)), ours)


def _parted(pair: str, classes: Sequence[str], known: Sequence[str]) -> tuple[str, str]:
    """The two names of a pair, of which either may hold an equals sign itself: those that are classes, if any are."""
    ways = [(pair[:at], pair[at + 1 :]) for at in range(1, len(pair) - 1) if pair[at] == "="]
    return next((way for way in ways if way[0] in classes and way[1] in known), ways[0])
