"""Look an HDF5 file over before anything of it is read: it may come from anybody."""

from __future__ import annotations

import h5py


def check_hdf5(file: h5py.File, most: int) -> None:
    """Make sure that a file holds plain arrays of its own and no more of them than expected, judged by headers alone.

    Args:
        file: open for reading.
        most: bytes that all arrays together may take, uncompressed.

    Raises:
        ValueError: it holds a link to elsewhere, data kept outside of it, values that are no numbers, or too much.
    """

    def check_link(name: str, link: object) -> None:
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"'{name}' is a link to elsewhere")

    total = 0

    def measure(name: str, item: h5py.Group | h5py.Dataset) -> None:
        nonlocal total
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise ValueError(f"the values of '{name}' lie outside of the file")
        if item.shape is None or (item.dtype.kind not in "fiu" and item.shape != ()):
            raise ValueError(f"'{name}' holds no numbers")
        total += item.nbytes
        if total > most:
            raise ValueError(f"its arrays take more than the {most / 1e6:.0f} MB expected")

    file.visititems_links(check_link)
    file.visititems(measure)
