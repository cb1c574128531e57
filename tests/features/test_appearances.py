"""The appearance of a run's images: measured once of what the backbone is given, then known."""

import numpy as np
import pytest
from helpers.datasets import read_records

from covid19.data.appearance import appearance
from covid19.data.images import read_picture
from covid19.data.shared_files import UnreadableError
from covid19.features.appearances import find_appearances
from covid19.features.augmentation import View
from covid19.features.cache import AppearanceCache
from covid19.lungs.masks import packed
from covid19.lungs.occlusion import Hides, Occlusion

GB = 10**9


def views(phantoms):
    """Each of three images whole, and with all but its upper left quarter hidden."""
    corner = np.zeros((224, 224), bool)
    corner[:112, :112] = True
    hidden = Occlusion(Hides.SURROUNDINGS, packed(corner), is_box=True)
    return [View(record, occlusion=part) for record in read_records(phantoms)[:3] for part in (None, hidden)]


def test_it_is_that_of_the_view_and_is_measured_once(phantoms, tmp_path):
    asked = views(phantoms)
    expected = []
    for view in asked:
        pixels = read_picture(view.record.path).pixels
        expected.append(appearance(view.occlusion.apply(pixels) if view.occlusion else pixels))
    with AppearanceCache(tmp_path, GB) as cache:
        np.testing.assert_array_equal(find_appearances(asked, cache, read_picture), expected)
    assert len(np.unique(expected, axis=0)) == 6

    def never(path):
        raise AssertionError(f"decoded {path}")

    with AppearanceCache(tmp_path, GB) as cache:
        np.testing.assert_array_equal(find_appearances(asked[::-1], cache, never), expected[::-1])
        assert find_appearances([], cache, never).shape == (0, 14)


def test_images_that_cannot_be_read_any_more_are_named_and_the_others_are_kept(phantoms):
    asked = views(phantoms)[::2]

    def read(path):
        if path == asked[1].record.path:
            raise OSError("gone")
        return read_picture(path)

    with AppearanceCache(None, GB) as cache:
        with pytest.raises(UnreadableError) as error:
            find_appearances(asked, cache, read)
        assert error.value.lost == {asked[1].record.name: "cannot be opened: gone"}
        assert find_appearances([asked[0], asked[2]], cache, lambda _: pytest.fail("decoded")).shape == (2, 14)
