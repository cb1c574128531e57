"""From the pixels that a DICOM file stores to those that a viewer shows: padding, modality, VOI, palette, inversion.

DICOM PS3.3, C.11.1 (modality), C.11.2 (VOI), C.7.6.3.1.5 (palette), C.7.5.1.1.2 (padding), C.11.6 (presentation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TABLE_BITS = 16
BIG_ENDIAN = "1.2.840.10008.1.2.2"  # transfer syntax
EXPONENT = 700.0  # the largest that float64 has room for
TINY_WIDTH = 1e-6  # of a window that is a step


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
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return _with_palette(stored, dataset)
    padding = _padding(stored, dataset)
    scaled = _with_modality(stored, dataset)
    shown = _with_voi(scaled, dataset)
    seen = shown if padding is None else shown[~padding]
    if seen.min() == seen.max():  # a window or a table in which no pixel lies shows nothing
        shown = scaled
    return _without_padding(shown, padding, is_negative(dataset))


def is_negative(dataset: Any) -> bool:
    """Whether low values are to be shown bright: MONOCHROME1, or an inverse presentation of MONOCHROME2."""
    inverse = str(dataset.get("PresentationLUTShape") or "").strip().upper() == "INVERSE"
    interpretation = dataset.get("PhotometricInterpretation")
    return interpretation == "MONOCHROME1" or (interpretation == "MONOCHROME2" and inverse)


def _with_modality(stored: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """The values that the stored ones stand for; an empty element and a slope of 0 scale nothing."""
    if item := _first_item(dataset, "ModalityLUTSequence"):
        return _with_table(stored, item.LUTDescriptor, item["LUTData"], dataset)
    slope, intercept = _number(dataset, "RescaleSlope") or 1.0, _number(dataset, "RescaleIntercept") or 0.0
    return stored if (slope, intercept) == (1.0, 0.0) else stored.astype(np.float64) * slope + intercept


def _with_voi(values: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """The values by the first table or window of those of interest; a window of no width shows nothing and is none."""
    if item := _first_item(dataset, "VOILUTSequence"):
        return _with_table(values, item.LUTDescriptor, item["LUTData"], dataset)
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "").strip().upper()
    is_exact = function in ("LINEAR_EXACT", "SIGMOID")
    if center is None or width is None or width <= 0 or (width < 1 and not is_exact):
        return values
    wide = values.astype(np.float64)
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (wide - center) / width, -EXPONENT, EXPONENT))))
    if not is_exact:
        center, width = center - 0.5, max(width - 1, TINY_WIDTH)
    return np.clip((wide - center) / width + 0.5, 0, 1)


def _padding(stored: NDArray[Any], dataset: Any) -> NDArray[np.bool_] | None:
    """Which pixels fill the picture's frame where the detector saw nothing; None if no value is declared for that."""
    value, limit = _number(dataset, "PixelPaddingValue"), _number(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return None
    limit = value if limit is None else limit
    padding = _between(stored, value, limit)
    if not padding.any() and min(value, limit) >= 1 << 15 and stored.min() < 0:  # written as unsigned over signed pixels
        padding = _between(stored, value - (1 << 16), limit - (1 << 16))
    return padding if padding.any() and not padding.all() else None


def _between(values: NDArray[Any], one: float, other: float) -> NDArray[np.bool_]:
    return np.asarray((values >= min(one, other)) & (values <= max(one, other)))


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


def _with_palette(stored: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """Colours by the palette, of 8 bits unless it is packed in segments."""
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if any(f"{name}Data" not in dataset for name in names):
        from pydicom.pixels.processing import apply_color_lut

        return np.asarray(apply_color_lut(stored, dataset))
    channels = []
    for name in names:
        descriptor = dataset[f"{name}Descriptor"].value
        channel = _with_table(stored, descriptor, dataset[f"{name}Data"], dataset)
        deep = int(descriptor[2]) > 8 and channel.max(initial=0) > 255
        channels.append(channel >> 8 if deep else channel)
    return np.stack(channels, axis=-1).astype(np.uint8)


def _with_table(values: NDArray[Any], descriptor: Any, element: Any, dataset: Any) -> NDArray[Any]:
    """Values mapped by a table: those below its first get its first entry, those above its last the last.

    The index is a wide number: in the type of the table's entries, 8 bits, a pixel of 12 would be cut off.

    Args:
        values: to map.
        descriptor: how many entries there are, which value the first is for, bits of an entry.
        element: of pydicom, whose value has the entries as numbers, or as bytes.
        dataset: that the table belongs to.

    Raises:
        ValueError: there are fewer entries than the descriptor says, or they have too many bits.
    """
    count, first, bits = (int(number) for number in descriptor)
    count = count or 1 << 16
    # A negative first value may be written as an unsigned one: its element takes after the stored pixels, or the scaled ones.
    if first >= 1 << 15 and (dataset.get("PixelRepresentation") == 1 or values.min() < 0):
        first -= 1 << 16
    if bits > MAX_TABLE_BITS:
        raise ValueError(f"its table of values has entries of {bits} bits, expected {MAX_TABLE_BITS} at most")
    table = _entries(element, count, bits, dataset.file_meta.get("TransferSyntaxUID") == BIG_ENDIAN)
    index = np.rint(values).astype(np.int64) - first
    return np.asarray(table[np.clip(index, 0, len(table) - 1)])


def _entries(element: Any, count: int, bits: int, is_big_endian: bool) -> NDArray[Any]:
    """The entries of a table; two of 8 bits may stand in one word of 16."""
    data = element.value
    if isinstance(data, bytes | bytearray):
        word = ">u2" if is_big_endian and element.VR == "OW" else "<u2"
        words = np.frombuffer(data, word if len(data) >= 2 * count else np.uint8)
        if word == ">u2" and words.dtype == np.uint8:
            words = words[: len(words) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()
    else:
        words = np.asarray(data).astype(np.int64).ravel() & 0xFFFF
        if bits <= 8 and len(words) < count:
            words = words.astype("<u2").view(np.uint8)
    if len(words) < count:
        raise ValueError(f"its table of values has {len(words)} entries, expected {count}")
    entries = words[:count]
    return entries.astype(np.uint8 if bits <= 8 and entries.max() < 1 << 8 else np.uint16)
