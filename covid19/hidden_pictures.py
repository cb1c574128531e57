"""Write a data set's images with their lungs hidden, for a model that is not this program's. A folder in, a new folder out."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from covid19 import NOTICE
from covid19.audit.hidden import FOLDERS, HIDES, TABLE_NAME, hidden_name
from covid19.audit.inputs import count_boxes
from covid19.core.addresses import on_disk
from covid19.core.console import Progress, say
from covid19.core.errors import InputError
from covid19.core.executor.background import in_background
from covid19.core.executor.local import LocalExecutor
from covid19.core.outputs import OutputTransaction, check_outputs
from covid19.core.settings import Settings
from covid19.data.dataset import Record, inputs_in
from covid19.data.decoding import DecodingPool
from covid19.data.gathering import gather, label_table
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.data.shared_files import UnreadableError
from covid19.features.cache import open_caches
from covid19.inference.writers import csv_cell
from covid19.lungs.drawn import find_masks
from covid19.lungs.hiding import hidden_pictures
from covid19.lungs.scan import Lungs, find_lungs

FLAG = "--write-hidden"
FILES_AHEAD = 8  # whose pictures are made before they are written
COLUMNS = ("image", "class", "original", "hidden", "lungs")


def write_hidden(settings: Settings, folder: Path) -> None:
    """Write each image of a data set with its lungs hidden, in each way that the audit weighs, and a table that names them.

    The pictures are PNG files of the images' own sizes, in a folder for each way of hiding and below it in the data set's own
    folders. The table has a row for each picture: its path, its class, the image that it was made of, what is hidden, and
    whether the lungs were found, drawn, or taken to be the box.

    Args:
        settings: the data, how lungs are found, and the caches.
        folder: to make; the user alone can read it.

    Raises:
        InputError: the folder exists, or the data set cannot be used.
    """
    data, compute = settings.data, settings.compute
    if folder.exists():
        raise InputError(f"{FLAG} '{folder}' exists; expected a folder that does not exist yet: give another path")
    find_masks(settings.lungs.lung_masks)
    check_outputs((folder,), inputs_in(data.dataset))
    gathered = gather(data.dataset, label_table(data), settings.evaluation.positive)
    with (
        OutputTransaction() as outputs,
        DecodingPool(data.file_timeout) as decoder,
        open_caches(compute.cache, compute.cache_dir, compute.cache_size) as caches,
    ):
        executor, read = LocalExecutor(decoder.run), partial(read_picture, run=decoder.run)
        wanted = Filter(data.metadata, data.projection, data.allow_conflicts)
        dataset = read_dataset(gathered, wanted, caches.scans, executor, read)
        warn_of_skipped(dataset)
        lungs = find_lungs(dataset.records, settings.lungs, caches.lungs, executor, read)
        draft = outputs.draft(folder)
        draft.mkdir()
        rows = list(_write(dataset.records, lungs, draft, decoder))
        with (draft / TABLE_NAME).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([csv_cell(cell) for cell in row] for row in rows)
    boxes = count_boxes(dataset.records, lungs)
    say(
        f"Wrote {len(rows)} pictures of {len(dataset.records)} images and {TABLE_NAME} to {folder}; in {boxes} images no lungs "
        "were found, and a box is hidden. Next: the model's scores of these pictures, as a table with the columns image and "
        f"score, for covid19 audit --predictions SCORES --hidden-predictions HIDDEN_SCORES. {NOTICE}"
    )


def _write(
    records: Sequence[Record], lungs: Mapping[str, Lungs], folder: Path, decoder: DecodingPool
) -> Iterator[tuple[str, ...]]:
    """Write the pictures, and yield the table's rows.

    Raises:
        UnreadableError: an image cannot be read any more.
    """

    def pictures(record: Record) -> list[bytes] | str:
        try:
            with on_disk(record.path) as file:
                return decoder.run(hidden_pictures, file, [lungs[record.digest].hiding(HIDES[probe]) for probe in FOLDERS])
        except (OSError, ValueError) as error:
            return str(error)

    with Progress("Hiding lungs", len(records), "images") as progress:
        for record, made in zip(records, in_background(pictures, records, FILES_AHEAD), strict=True):
            if isinstance(made, str):
                raise UnreadableError({record.name: made})
            for probe, content in zip(FOLDERS, made, strict=True):
                name = hidden_name(probe, record.name)
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                yield name, record.label, record.name, probe, lungs[record.digest].origin
            progress.advance(1)
