"""What is measured of a data set's images for the audit's probes: with their lungs, and with these hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from covid19.core.executor.executor import Executor
from covid19.data.dataset import Record
from covid19.data.images import Read
from covid19.data.measurements.registry import ProbeMeasurements
from covid19.data.scan import scan_files
from covid19.data.scan_cache import ScanCache
from covid19.lungs.scan import Lungs


def measurements_of(
    records: Sequence[Record], lungs: Mapping[str, Lungs], scans: ScanCache, executor: Executor, read: Read
) -> list[ProbeMeasurements]:
    """What was measured of each image for the probes.

    Args:
        records: the images.
        lungs: of each, by its digest, with what was measured of the picture without them.
        scans: knows what else was measured; where it was begun anew, the files are scanned again.
        executor: where that is done.
        read: decodes a file on this machine.
    """
    known = scans.measurements([record.digest for record in records])
    missing = [record for record in records if record.digest not in known]
    for number, scan in scan_files([record.path for record in missing], frozenset(), executor, read):
        if scan.measurements:
            known[missing[number].digest] = scan.measurements
    return [known[record.digest] | lungs[record.digest].measurements for record in records]
