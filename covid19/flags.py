"""The flags of each command and their help texts. Defaults come from `Settings`."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.settings import Settings
from covid19.values import degrees, folds, gigabytes, rate, share, threshold_rule, whole


def add_train_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the train command, their defaults from `Settings`."""
    add = parser.add_argument
    add("-d", "--dataset", type=Path, required=True, metavar="DIR", help="folder with one folder of images for each class")
    add(
        "-m",
        "--model",
        type=Path,
        default=Settings.model,
        metavar="FILE",
        help="model to write; HDF5 if it ends in .h5 or .hdf5, else a Keras archive (default %(default)s)",
    )
    add(
        "-p",
        "--plot",
        type=Path,
        default=Settings.plot,
        metavar="FILE",
        help="plot of loss and accuracy by epoch to write, PNG (default %(default)s)",
    )
    add(
        "-r",
        "--report",
        type=Path,
        default=Settings.report,
        metavar="FILE",
        help="metrics report to write, JSON (default %(default)s)",
    )
    add(
        "-lr",
        "--learning-rate",
        "--learning",
        type=rate,
        default=Settings.learning_rate,
        metavar="RATE",
        help="Adam's first learning rate; it decays to 0 over the epochs (default %(default)s)",
    )
    add(
        "-e",
        "--epochs",
        "--epoch",
        type=whole(1),
        default=Settings.epochs,
        metavar="N",
        help="passes over the training images (default %(default)s)",
    )
    add(
        "-bs",
        "--batch-size",
        "--batchsize",
        type=whole(1),
        default=Settings.batch_size,
        metavar="N",
        help="images in one training step of the head (default %(default)s)",
    )
    add(
        "--test-size",
        type=share,
        default=Settings.test_size,
        metavar="SHARE",
        help="share of each class held out for the test, between 0 and 1 (default %(default)s)",
    )
    add(
        "--seed",
        type=whole(0, 2**32 - 2),
        default=Settings.seed,
        metavar="N",
        help="seed of the split, the rotations and the training (default %(default)s)",
    )
    add(
        "--views",
        type=whole(0),
        default=Settings.views,
        metavar="N",
        help="rotated views of each training image beside the image itself; "
        "each costs one run of the base (default %(default)s)",
    )
    add(
        "--rotation",
        type=degrees,
        default=Settings.rotation,
        metavar="DEG",
        help="largest rotation of a view, degrees either way (default %(default)s)",
    )
    add(
        "--weights",
        default=Settings.weights,
        metavar="auto|imagenet|random|FILE",
        help="weights of the base: auto = ImageNet, or untrained with a warning where it cannot be had; "
        "imagenet = that or fail; random = untrained; or a file in the official VGG16 layout without top "
        "(default %(default)s)",
    )
    add(
        "--positive",
        metavar="CLASS",
        help="positive class, whose recall is the sensitivity (default: the one whose name contains 'covid', else the first)",
    )
    add(
        "--from",
        dest="start_from",
        type=Path,
        metavar="MODEL",
        help="start from the head of an earlier model of the same classes and base",
    )
    add("--folds", type=folds, default=Settings.folds, metavar="N", help="parts of the cross-validation; 0 does without it")
    add("--repeats", type=whole(1), default=Settings.repeats, metavar="N", help="cross-validations, each divided anew")
    add(
        "--threshold",
        type=threshold_rule,
        default=Settings.threshold,
        metavar="RULE",
        help="when the positive class is called: argmax (it is the likeliest), youden, or the threshold that reaches a wanted "
        "sensitivity or specificity out of fold, such as sens=0.95 or spec=0.95 (default %(default)s)",
    )
    add(
        "--prevalence",
        type=share,
        metavar="SHARE",
        help="share of the positive class among the patients to come, for predictive values (default: the test part's own)",
    )
    add(
        "--no-groups",
        dest="groups",
        action="store_false",
        help="split by image, so that a patient may stand on both sides: the plain split of the original analysis",
    )
    add(
        "--allow-conflicts",
        action="store_true",
        help="drop images that lie under two classes, rather than refuse the dataset",
    )
    _add_data_flags(parser)


def add_check_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the check command."""
    add = parser.add_argument
    add("dataset", type=Path, metavar="DATASET", help="folder with one folder of images for each class")
    add("--json", dest="as_json", action="store_true", help="print the findings as JSON")
    _add_data_flags(parser)


def _add_data_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that reads a data set."""
    add = parser.add_argument
    add(
        "--metadata",
        type=Path,
        metavar="FILE",
        help="table with patient and view of each image, as of ieee8023's collection (default: metadata.csv in the dataset)",
    )
    add(
        "--view",
        choices=("PA", "any"),
        default=Settings.view,
        help="PA leaves out images whose known view is another; any keeps them (default %(default)s)",
    )
    add(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="folder of the feature store, where what the base saw is kept between runs (default: the user's cache folder)",
    )
    add(
        "--cache-size",
        type=gigabytes,
        default=Settings.cache_size,
        metavar="GB",
        help="size of the feature store; the features used longest ago go first (default 2)",
    )
    add("--no-cache", dest="cache", action="store_false", help="neither use nor fill the feature store")


def add_prepare_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the prepare command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder to make; must not exist, or be empty")
    add("--collection", type=Path, metavar="DIR", help="checkout of the ieee8023 covid-chestxray-dataset")
    add("--kaggle", type=Path, metavar="DIR", help="Kaggle's chest_xray folder, with train, val and test")
    add("--download", action="store_true", help="fetch what is not given: the collection with git, Kaggle's set with kagglehub")
    add(
        "--controls",
        choices=("same-source", "kaggle-normal", "kaggle-pneumonia", "kaggle"),
        default="same-source",
        help="where the other class comes from: the other findings of the same collection, so that the source cannot tell the "
        "class, or Kaggle's children (default %(default)s)",
    )
    add("--count", type=whole(2), metavar="N", help="images of each class at most (default: all, as many controls as COVID-19)")
    add("--one-per-patient", action="store_true", help="take one image of each patient")
    add("--link", action="store_true", help="make symbolic links rather than copies")
    add("--seed", type=whole(0, 2**32 - 2), default=42, metavar="N", help="seed of every choice (default %(default)s)")
    add("--dry-run", action="store_true", help="say how many images would be taken and write nothing")


def add_sample_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the sample command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder to make; must not exist, or be empty")
    add("--count", type=whole(1), default=25, metavar="N", help="images of each class (default %(default)s)")
    add("--size", type=whole(64, 4096), default=256, metavar="PIXELS", help="mean side of an image (default %(default)s)")
    add("--seed", type=whole(0, 2**32 - 2), default=42, metavar="N", help="seed of all drawing (default %(default)s)")
