"""From the pixels that a DICOM file stores to those that a viewer shows: padding, modality, VOI, palette, inversion.

DICOM PS3.3, C.11.1 (modality), C.11.2 (VOI), C.7.6.3.1.5 (palette), C.7.5.1.1.2 (padding), C.11.6 (presentation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TABLE_BITS = 16


def displayed(stored: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """The grey values or colours that a viewer shows, before an inversion.

    Args:
        stored: pixels as stored, (height, width).
        dataset: of pydicom, whose elements may be empty or make no sense.

    Returns:
        Values of any depth, (height, width), or RGB, (height, width, 3). What is padding has the darkest value of all others.

    Raises:
        ValueError: a table of values is damaged.
    """
    from pydicom.pixels.processing import apply_color_lut, apply_windowing

    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        colours = _with_palette(stored, dataset)
        return np.asarray(apply_color_lut(stored, dataset) if colours is None else colours)
    padding = _padding(stored, dataset)
    values = stored
    if item := _first_item(dataset, "ModalityLUTSequence"):
        values = _with_table(values, item.LUTDescriptor, item.LUTData, dataset)
    else:
        slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
        if slope or intercept:
            values = values.astype(np.float64) * (slope or 1.0) + (intercept or 0.0)
        else:  # nothing to rescale: pydicom would multiply by an empty element
            for name in ("RescaleSlope", "RescaleIntercept"):
                dataset.pop(name, None)
    if item := _first_item(dataset, "VOILUTSequence"):
        values = _with_table(values, item.LUTDescriptor, item.LUTData, dataset)
    elif _has_window(dataset):
        if "RescaleSlope" in dataset or "RescaleIntercept" in dataset:
            dataset.RescaleSlope, dataset.RescaleIntercept = slope or 1.0, intercept or 0.0
        values = apply_windowing(values, dataset)
    return _without_padding(values, padding, is_negative(dataset))


def is_negative(dataset: Any) -> bool:
    """Whether low values are to be shown bright: MONOCHROME1, or an inverse presentation of MONOCHROME2."""
    inverse = str(dataset.get("PresentationLUTShape") or "").strip().upper() == "INVERSE"
    interpretation = dataset.get("PhotometricInterpretation")
    return interpretation == "MONOCHROME1" or (interpretation == "MONOCHROME2" and inverse)


def _padding(stored: NDArray[Any], dataset: Any) -> NDArray[np.bool_] | None:
    """Which pixels fill the picture's frame where the detector saw nothing; None if no value is declared for that."""
    value, limit = _number(dataset, "PixelPaddingValue"), _number(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return None
    limit = value if limit is None else limit
    padding = (stored >= min(value, limit)) & (stored <= max(value, limit))
    if not padding.any() and value >= 1 << 15 and stored.min() < 0:  # written as unsigned over signed pixels
        padding = stored == value - (1 << 16)
    return padding if padding.any() and not padding.all() else None


def _without_padding(values: NDArray[Any], padding: NDArray[np.bool_] | None, negative: bool) -> NDArray[Any]:
    """The values with the padding made as dark as the darkest of the others are shown."""
    if padding is None:
        return values
    seen = values[~padding]
    values = values.copy()
    values[padding] = seen.max() if negative else seen.min()
    return values


def _first_item(dataset: Any, name: str) -> Any:
    """The first item of a sequence that has a table; None without one."""
    item = next(iter(dataset.get(name) or ()), None)
    return item if item is not None and "LUTData" in item and item.get("LUTDescriptor") else None


def _number(dataset: Any, name: str) -> float | None:
    """The first value of an element as a finite number; None where it is empty or none."""
    value = dataset.get(name)
    several = hasattr(value, "__len__") and not isinstance(value, str | bytes)
    try:
        number = float(value[0] if several else value)
    except (TypeError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def _has_window(dataset: Any) -> bool:
    """Whether the header has a window that means something; one of no width shows nothing."""
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if center is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return False
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        function = "LINEAR"
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = center, width, function
    return True


def _with_palette(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8] | None:
    """Colours of 8 bits by the palette; None where the palette is packed in segments."""
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if any(f"{name}Data" not in dataset for name in names):
        return None
    channels = []
    for name in names:
        descriptor = dataset[f"{name}Descriptor"].value
        channel = _with_table(stored, descriptor, dataset[f"{name}Data"].value, dataset)
        deep = int(descriptor[2]) > 8 and channel.max(initial=0) > 255
        channels.append(channel >> 8 if deep else channel)
    return np.stack(channels, axis=-1).astype(np.uint8)


def _with_table(values: NDArray[Any], descriptor: Any, data: Any, dataset: Any) -> NDArray[Any]:
    """Values mapped by a table: those below its first get its first entry, those above its last the last.

    The index is a wide number: in the type of the table's entries, 8 bits, a pixel of 12 would be cut off.

    Args:
        values: to map.
        descriptor: how many entries there are, which value the first is for, bits of an entry.
        data: entries as numbers, or as bytes.
        dataset: that the table belongs to.

    Raises:
        ValueError: there are fewer entries than the descriptor says, or they have too many bits.
    """
    count, first, bits = (int(number) for number in descriptor)
    count = count or 1 << 16
    if dataset.get("PixelRepresentation") == 1 and first >= 1 << 15:
        first -= 1 << 16
    if bits > MAX_TABLE_BITS:
        raise ValueError(f"its table of values has entries of {bits} bits, expected {MAX_TABLE_BITS} at most")
    table = _entries(data, count, bits)
    index = np.rint(values).astype(np.int64) - first
    return np.asarray(table[np.clip(index, 0, len(table) - 1)])


def _entries(data: Any, count: int, bits: int) -> NDArray[Any]:
    """The entries of a table; two of 8 bits may stand in one word of 16."""
    if isinstance(data, bytes | bytearray):
        words = np.frombuffer(data, "<u2" if len(data) >= 2 * count else np.uint8)
    else:
        words = np.asarray(data).astype(np.int64).ravel() & 0xFFFF
        if bits <= 8 and len(words) < count:
            words = words.astype("<u2").view(np.uint8)
    if len(words) < count:
        raise ValueError(f"its table of values has {len(words)} entries, expected {count}")
    entries = words[:count]
    return entries.astype(np.uint8 if bits <= 8 and entries.max() < 1 << 8 else np.uint16)
