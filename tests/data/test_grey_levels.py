"""Deep pixels and DICOM's transformations: what is shown does not depend on a few odd pixels, nor on who wrote the header."""

import io

import cv2
import numpy as np
import pydicom
import pytest
from helpers.corpus import GREY, dicom
from helpers.images import write_image
from numpy.testing import assert_allclose
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian

from covid19.data.build.phantoms import draw_phantom
from covid19.data.grey_levels import display_range, to_8_bits
from covid19.data.images import decode_bytes, read_picture


def chest(bits=12):
    """A phantom of a deeper detector."""
    generator = np.random.default_rng(2)
    return draw_phantom(generator, np.random.default_rng(2), 256, sick=False).astype(np.uint16) * ((1 << bits) // 256 - 2) + 100


def with_hot_pixels(values):
    values[3, 5] = values[200, 100] = 65535
    return values


def with_label(values):
    label = cv2.putText(
        np.zeros(values.shape, np.uint8), "LEFT 12:34", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, 255, 2, cv2.LINE_AA
    )
    return np.where(label, np.uint16(257) * label, values)


def with_frame(values):
    values = values + np.uint16(20000)
    values[:, :60] = 0
    return values


@pytest.mark.parametrize("spoil", [with_hot_pixels, with_label, with_frame])
def test_what_a_few_pixels_have_does_not_flatten_the_lungs(spoil):
    plain, spoiled = to_8_bits(chest()), to_8_bits(spoil(chest()))
    inner = np.s_[60:, 70:]
    assert spoiled[inner].std() > 0.7 * plain[inner].std()
    assert np.corrcoef(plain[inner].ravel(), spoiled[inner].ravel())[0, 1] > 0.97


@pytest.mark.parametrize(
    "values",
    [
        np.tile(np.arange(4096, dtype=np.uint16), (64, 1)),
        np.repeat(np.array([[1000, 3000], [3000, 9000]], np.uint16), 50, axis=0),
        np.where(np.arange(10_000).reshape(100, 100) % 3, 0, 500).astype(np.uint16),  # two shades
        np.arange(-50, 50, dtype=np.int16).reshape(10, 10),
    ],
)
def test_an_image_without_outliers_uses_its_own_range(values):
    assert display_range(values) == (values.min(), values.max())


def test_prediction_and_training_see_one_picture(tmp_path):
    path = write_image(tmp_path / "a.png", with_label(chest()))
    whole, negative = decode_bytes(path.read_bytes())
    assert not negative
    assert_allclose(cv2.resize(whole, (224, 224), interpolation=cv2.INTER_AREA), read_picture(path).pixels, atol=1)


def deep(values, change=lambda dataset: None, bits=12):
    """What is decoded of a DICOM file of so many bits."""

    def write(dataset):
        dataset.Rows, dataset.Columns = values.shape
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
        dataset.PixelRepresentation = int(values.dtype.kind == "i")
        dataset.PixelData = values.tobytes()
        change(dataset)

    pixels, negative = decode_bytes(dicom(write))
    return 255 - pixels[..., 0] if negative else pixels[..., 0]


def test_padding_is_left_out_and_shown_black(tmp_path):
    padded = chest()
    padded[:, :80] = 4095
    expected = deep(chest())[:, 80:]
    for photometric, shown in (("MONOCHROME2", padded), ("MONOCHROME1", np.where(padded == 4095, 4095, 4094 - padded))):

        def declare(dataset, photometric=photometric):
            dataset.PixelPaddingValue, dataset.PhotometricInterpretation = 4095, photometric

        found = deep(shown.astype(np.uint16), declare)
        assert found[:, :80].max() == 0
        assert np.corrcoef(found[:, 80:].ravel(), expected.ravel())[0, 1] > 0.99


def test_a_range_of_padding_and_a_negative_value_are_padding():
    values = chest().astype(np.int16)
    values[:, :40], values[:, 40:80] = -2000, -1999

    def declare(dataset):
        dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = -2000, -1999

    assert deep(values, declare, 16)[:, :80].max() == 0
    assert deep(values, declare, 16)[:, 80:].std() > 30


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_of_8_bit_entries_maps_12_bit_pixels(name, packed):
    values = np.tile(np.arange(4096, dtype=np.uint16), (16, 1))
    table = (np.arange(4096) / 4095 * 255).round().astype(np.uint8)

    def declare(dataset):
        item = type(dataset.file_meta).__mro__[1]()
        item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 8], "US"
        item.LUTData = table.tobytes() if packed else table.astype("<u2").tobytes()
        setattr(dataset, name, [item])

    assert_allclose(deep(values, declare)[0], table, atol=1)


def test_a_table_gives_its_ends_to_values_outside_of_it():
    values = np.tile(np.arange(4096, dtype=np.uint16), (16, 1))

    def declare(dataset):
        item = type(dataset.file_meta).__mro__[1]()
        item.LUTDescriptor, item.LUTData = [256, 1000, 16], np.arange(0, 65536, 256).astype("<u2").tobytes()
        dataset.VOILUTSequence = [item]

    found = deep(values, declare)[0]
    assert (found[:1001].max(), found[1255:].min()) == (0, 255)
    assert_allclose(found[1000:1256], np.arange(256), atol=1)


def test_a_table_of_values_that_is_too_short_is_refused():
    def declare(dataset):
        item = type(dataset.file_meta).__mro__[1]()
        item.LUTDescriptor, item.LUTData = [4096, 0, 16], bytes(100)
        dataset.VOILUTSequence = [item]

    with pytest.raises(ValueError, match="its table of values has 100 entries, expected 4096"):
        deep(chest(), declare)


def tags(**values):
    return lambda dataset: [setattr(dataset, name, value) for name, value in values.items()]


@pytest.mark.parametrize(
    "change",
    [
        tags(RescaleSlope="", RescaleIntercept=""),
        tags(RescaleSlope="1", RescaleIntercept=""),
        tags(WindowCenter=2000, WindowWidth=0),
        tags(WindowCenter="", WindowWidth=""),
        tags(WindowCenter="2000"),
        tags(VOILUTSequence=[]),
        tags(PixelPaddingValue=None),
        tags(RescaleSlope="1", RescaleIntercept="-1000", WindowWidth="0.5", WindowCenter="7"),
    ],
)
def test_an_empty_or_senseless_transformation_is_none(change):
    assert_allclose(deep(chest(), change), deep(chest()), atol=1)


def lookup(first, entries, vr="US"):
    """A table of values, kept as numbers or as bytes."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, 16])
    item.add_new("LUTData", vr, entries.tobytes() if vr == "OW" else [int(entry) for entry in entries])
    return item


CURVE = (np.sqrt(np.arange(4096) / 4095) * 65535).astype(np.uint16)
WINDOW = {"WindowCenter": 700, "WindowWidth": 1000}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (tags(RescaleSlope=-1, RescaleIntercept=0, WindowCenter=-700, WindowWidth=1000), lambda v: -np.clip(v, 200.5, 1199.5)),
        (tags(**WINDOW, VOILUTFunction="SIGMOID"), lambda v: 1 / (1 + np.exp(-4 * (v - 700) / 1000))),
        (tags(**WINDOW, VOILUTFunction="LINEAR_EXACT"), lambda v: np.clip(v, 200, 1200)),
        (tags(WindowCenter=[700, 9], WindowWidth=[1000, 9]), lambda v: np.clip(v, 200, 1199)),
        (tags(WindowCenter=60_000, WindowWidth=10), lambda v: v),
        (tags(VOILUTSequence=[lookup(0, CURVE)]), lambda v: CURVE[v.astype(int)]),
        (tags(VOILUTSequence=[lookup(0, CURVE, "OW")]), lambda v: CURVE[v.astype(int)]),
        *(
            (tags(RescaleIntercept=-1024, VOILUTSequence=[lookup(first, CURVE)]), lambda v: CURVE[v.astype(int)])
            for first in (-1024, 65536 - 1024)
        ),
        (tags(VOILUTSequence=[lookup(60_000, CURVE)]), lambda v: v),
    ],
)  # fmt: skip
def test_a_window_or_table_shows_what_the_standard_says_and_one_without_a_pixel_in_it_is_none(change, expected):
    assert_allclose(deep(chest(), change), to_8_bits(expected(chest().astype(float))), atol=1)


@pytest.mark.parametrize(("high_bit", "signed"), [(15, False), (13, False), (15, True)])
def test_bits_that_do_not_begin_at_the_lowest_are_moved_there(high_bit, signed):
    values = chest().astype(np.int16) - 2048 * signed
    moved = (values.astype(np.int32) << high_bit - 11).astype(np.int16 if signed else np.uint16)
    assert_allclose(deep(moved, tags(HighBit=high_bit)), deep(chest()), atol=1)


def test_a_range_of_padding_that_is_written_as_unsigned_is_padding_of_signed_pixels():
    values = chest().astype(np.int16) - 1000
    values[:, :40], values[:, 40:80] = -2048, -2010

    def declare(dataset):
        dataset.add_new("PixelPaddingValue", "US", 65536 - 2048)
        dataset.add_new("PixelPaddingRangeLimit", "US", 65536 - 2000)

    assert deep(values, declare, 16)[:, :80].max() == 0
    assert deep(values, declare, 16)[:, 80:].std() > 30


def test_a_table_of_a_big_endian_file_is_read_in_its_order():
    dataset = Dataset()
    dataset.update(pydicom.dcmread(io.BytesIO(dicom())))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.Rows, dataset.Columns = chest().shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.add_new("PixelData", "OW", chest().byteswap().tobytes())
    dataset.VOILUTSequence = [lookup(0, CURVE.byteswap(), "OW")]
    stream = io.BytesIO(bytes(128))
    pydicom.dcmwrite(stream, dataset, implicit_vr=False, little_endian=False)
    content = stream.getvalue()
    pixels, _ = decode_bytes(content if content[128:132] == b"DICM" else bytes(128) + b"DICM" + content)
    assert_allclose(pixels[..., 0], deep(chest(), tags(VOILUTSequence=[lookup(0, CURVE)])), atol=1)


def test_an_inverse_presentation_is_a_negative():
    inverse = deep(4095 - chest(), tags(PresentationLUTShape="INVERSE"))
    assert_allclose(inverse, deep(chest()), atol=1)
    same = deep(4095 - chest(), tags(PresentationLUTShape="INVERSE", PhotometricInterpretation="MONOCHROME1"))
    assert_allclose(same, inverse, atol=1)
    assert np.array_equal(decode_bytes(dicom(tags(PresentationLUTShape="IDENTITY")))[0][..., 0], GREY)
