"""Look an HDF5 file over before anything of it is read: it may come from anybody."""

from __future__ import annotations

import h5py

UNREAD = {"name"}  # Keras writes this attribute, and never reads it


def check_hdf5(file: h5py.File, most: int) -> None:
    """Make sure that a file holds plain arrays of its own and no more of them than expected, judged by headers alone.

    Args:
        file: open for reading.
        most: bytes that all arrays together may take, uncompressed.

    Raises:
        ValueError: it holds a link to elsewhere, data kept outside of it, values that are no numbers, or too much.
    """
    # An exception may not leave h5py's visits, but the first answer ends them.
    linked = file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name)
    if linked is not None:
        raise ValueError(f"'{linked}' is a link to elsewhere")
    total = 0

    def look(name: str, item: h5py.Group | h5py.Dataset) -> str | None:
        nonlocal total
        if not isinstance(item, h5py.Dataset):
            return None
        if item.external or item.is_virtual:
            return f"the values of '{name}' lie outside of the file"
        if item.shape is None or (item.dtype.kind not in "fiu" and (item.dtype.kind != "S" or item.shape != ())):
            return f"'{name}' holds no numbers"
        total += item.nbytes
        return f"its arrays take more than the {most / 1e6:.0f} MB expected" if total > most else None

    problem = file.visititems(look)
    if problem is not None:
        raise ValueError(problem)


def datasets_below(group: h5py.Group) -> list[h5py.Dataset]:
    """The arrays in a group, found without its attributes: text in them, once damaged, HDF5 may read for ever."""
    found: list[h5py.Dataset] = []
    group.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found


def check_attributes(file: h5py.File) -> None:
    """Make sure that no attribute that Keras reads is text of variable length: over its heap, if damaged, HDF5 never ends.

    Raises:
        ValueError: one is.
    """

    def look(name: str, item: h5py.Group | h5py.Dataset) -> str | None:
        return name if any(has_variable_length(item, key) for key in set(item.attrs) - UNREAD) else None

    found = look("/", file) or file.visititems(look)
    if found is not None:
        raise ValueError(f"an attribute of '{found}' is of variable length")


def has_variable_length(item: h5py.Group | h5py.Dataset, key: str) -> bool:
    """Whether an attribute is text that has to be looked up in the file's heap."""
    return bool(item.attrs.get_id(key).dtype.hasobject)
