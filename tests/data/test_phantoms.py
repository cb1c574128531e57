"""The phantoms."""

import hashlib
from collections import Counter

import cv2
import numpy as np
import pytest
from helpers.datasets import read_records

from covid19.core.errors import InputError
from covid19.data.build.phantoms import draw_phantom, write_sample


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.png")
    }


def test_the_same_seed_draws_the_same_files_whatever_the_count(tmp_path):
    for name, count, seed in (("a", 3, 5), ("b", 2, 5), ("c", 3, 6)):
        write_sample(tmp_path / name, count, 96, seed)
    first, fewer, other = digests(tmp_path / "a"), digests(tmp_path / "b"), digests(tmp_path / "c")
    assert sorted(first) == [f"{label}/{label}-{n:04d}.png" for label in ("covid", "normal") for n in (1, 2, 3)]
    assert fewer.items() <= first.items()
    assert len(set(first.values()) | set(other.values())) == 12


def test_files_are_grey_and_their_size_varies_about_the_one_asked_for(tmp_path):
    write_sample(tmp_path / "x", 6, 160, 0)
    images = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "x").rglob("*.png")]
    assert all(image.ndim == 2 and image.dtype == np.uint8 for image in images)
    sides = [side for image in images for side in image.shape]
    assert min(sides) >= 140
    assert max(sides) <= 180
    assert len(set(sides)) > 6


def test_sickness_brightens_the_lower_lungs_and_changes_nothing_outside_them():
    drawn = {
        sick: draw_phantom(np.random.default_rng(3), np.random.default_rng(3), 256, sick).astype(int) for sick in (True, False)
    }
    haze = drawn[True] - drawn[False]
    height, width = haze.shape
    assert (haze >= 0).all()
    assert haze.max() > 5
    edge = 24  # the outer tenth
    inner = np.zeros_like(haze, bool)
    inner[edge:-edge, edge:-edge] = True
    assert (haze[~inner] == 0).all()
    assert (haze[:, int(0.47 * width) : int(0.53 * width)] <= 2).all()  # spine
    assert haze[height // 2 :].sum() > haze[: height // 2].sum()


def test_some_patients_have_several_images_and_the_table_says_which(tmp_path):
    write_sample(tmp_path / "x", 12, 96, 0)
    records = read_records(tmp_path / "x")
    images = Counter(record.patient for record in records)
    assert len(records) == 24
    assert 1 in images.values()
    assert max(images.values()) > 1
    assert {record.projection for record in records} == {"PA"}
    assert all(record.patient.startswith(f"metadata:{record.label}-") for record in records)


def test_two_images_of_one_patient_are_more_alike_than_of_two(tmp_path):
    def draw(patient, image):
        generators = (np.random.default_rng(seed) for seed in (patient, image))
        return cv2.resize(draw_phantom(*generators, 256, sick=False), (64, 64), interpolation=cv2.INTER_AREA).ravel()

    same = [np.corrcoef(draw(p, 2 * p), draw(p, 2 * p + 1))[0, 1] for p in range(12)]
    other = [np.corrcoef(draw(p, 2 * p), draw(p + 1, 2 * p + 1))[0, 1] for p in range(12)]
    assert np.mean(same) > np.mean(other)


def test_a_folder_that_holds_something_is_never_written_into(tmp_path):
    (tmp_path / "note.txt").touch()
    with pytest.raises(InputError, match="is not empty; expected a new or empty folder"):
        write_sample(tmp_path, 1, 96, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
