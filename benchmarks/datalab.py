"""What cleanlab's Datalab says of a data set, for a comparison; needs the extra `bench`."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path


def datalab_accuses(files: Sequence[Path], positive: Sequence[bool]) -> list[str]:
    """The properties of pictures, such as dark or blurry, that Datalab reports as correlated with the class.

    Datalab reports a property if a classifier of that property alone is so much better than the larger class that its score
    falls below the threshold that Datalab comes with.
    """
    from cleanlab import Datalab
    from datasets import Dataset, Image, disable_progress_bars

    disable_progress_bars()
    logging.disable(logging.WARNING)
    data = Dataset.from_dict({"image": [str(path) for path in files], "label": [int(is_positive) for is_positive in positive]})
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        lab = Datalab(data.cast_column("image", Image()), label_name="label", image_key="image", verbosity=0)
        lab.find_issues()
        found = lab.get_info("spurious_correlations")
    table, threshold = found["correlations_df"], found["threshold"]
    return [str(name) for name, score in zip(table["property"], table["score"], strict=True) if score < threshold]
