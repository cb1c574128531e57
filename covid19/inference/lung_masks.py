"""`covid19 lungs`: images in; a mask file of each one's lungs, and a table of what the finder found, out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from covid19 import NOTICE
from covid19.core.addresses import absolute_text, as_path
from covid19.core.console import Progress, printable, say, shortened, warn
from covid19.core.executor.executor import Failed
from covid19.core.executor.opening import open_executor
from covid19.core.outputs import atomic_write
from covid19.data.dataset import list_inputs
from covid19.data.decoding import DecodingPool
from covid19.data.images import Pixels, encode_image
from covid19.data.lungs import LUNG_BOX
from covid19.inference.output_files import output_paths
from covid19.inference.writers import csv_cell
from covid19.lungs.scan import FindLungsTask, Lungs, LungsOfFile

MASK_ENDING = "_mask.png"
TABLE_NAME = "lungs.csv"
COLUMNS = ("file", "mask", "found", "reason", "area", "confidence")


def write_lung_masks(inputs: Sequence[Path], output: Path, file_timeout: float, cluster: str | None = None) -> bool:
    """Find the lungs of every image below the inputs, and write a mask of each, of the image's size: 255 is lung, 0 is not.

    Where no lungs were found the mask is black. `lungs.csv` has a row for each file: `found` (yes, no, or empty for a file that
    cannot be read), the reason, `area` (fraction of the picture) and `confidence` (0 to 1).

    Args:
        inputs: images, or folders of images.
        output: folder to write in.
        file_timeout: seconds that reading one file may take.
        cluster: where to do it, see `Settings`.

    Returns:
        Whether every file could be read.

    Raises:
        InputError: an input does not exist, there are no images, or a mask cannot be written or would overwrite an image.
    """
    files = list_inputs(inputs)
    table = output / TABLE_NAME
    paths = output_paths(output, "--output", inputs, files, MASK_ENDING, [table], short=True)
    rows: dict[str, tuple[str, ...]] = {}
    problems = []
    with (
        DecodingPool(file_timeout) as decoder,
        open_executor(cluster, decoder.run, file_timeout) as executor,
        closing(
            executor.map(FindLungsTask(LUNG_BOX, measured=False), [(absolute_text(as_path(file)), None) for file in files])
        ) as results,
        Progress("Finding lungs", len(files), "images") as progress,
    ):
        for position, result in results:
            file = files[position]
            if isinstance(result, LungsOfFile):
                lungs = result.lungs
                with atomic_write(paths[file], private=True) as draft:
                    draft.write_bytes(encode_image(_mask_picture(*result), ".png"))
                found = "yes" if lungs.origin == "found" else "no"
                numbers = (f"{lungs.area:.4f}", f"{lungs.confidence:.4f}")
                rows[file] = (paths[file].name, found, lungs.reason, *numbers)
            else:
                reason = result.reason if isinstance(result, Failed) else result
                problems.append(f"{printable(file)}: {reason}")
                rows[file] = ("", "", reason, "", "")
            progress.advance(1)
    with atomic_write(table, private=True) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([csv_cell(cell) for cell in (file, *rows[file])] for file in files)
    for line in shortened(problems):
        warn(line)
    count = sum(row[1] == "yes" for row in rows.values())
    say(f"Found lungs in {count} of {len(files)} images; the masks and {TABLE_NAME} are in {output}. {NOTICE}")
    return not problems


def _mask_picture(lungs: Lungs, width: int, height: int) -> Pixels:
    """A mask as grey levels 0 and 255, uint8 (height, width); black where no lungs were found."""
    mask = (lungs.mask & (lungs.origin == "found")).astype(np.float32)
    return np.asarray(255 * (cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5), np.uint8)
