"""The flags that `train` and `audit` share. Defaults come from `Settings`."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.cli.flags_data import add_cluster_flag, add_data_flags, add_fail_flag
from covid19.cli.values import address, box, degrees, folds, fraction, rate, threshold_rule, whole
from covid19.core.settings import DataSettings, EvaluationSettings, LungSettings, TrainingSettings


def add_positive_flag(parser: argparse.ArgumentParser) -> None:
    """The flag for the positive class."""
    parser.add_argument(
        "--positive",
        metavar="CLASS",
        help="positive class, whose recall is the sensitivity (default: the one whose name contains 'covid', else the first)",
    )


def add_dataset_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that says what to train on."""
    parser.add_argument(
        "-d",
        "--dataset",
        type=address,
        required=True,
        metavar="DIR",
        help="folder with one folder of images for each class, or an address of one that fsspec knows, such as "
        "s3://bucket/xrays",
    )


def add_lung_flags(parser: argparse.ArgumentParser, region: str | None, region_help: str) -> None:
    """The flags of every command that finds lungs in a data set.

    Args:
        parser: of the command.
        region: default of `--region`.
        region_help: what it is, in words.
    """
    add = parser.add_argument
    add(
        "--region",
        choices=("image", "lungs"),
        default=region,
        help="what the model is shown of each picture: all of it, or the lungs alone, cropped to them and with what lies "
        f"outside filled in (default: {region_help})",
    )
    add(
        "--lung-masks",
        type=Path,
        metavar="DIR",
        help="masks of the lungs, named as their image and _mask, used instead of found ones",
    )
    add(
        "--lung-box",
        type=box,
        default=LungSettings.lung_box,
        metavar="L,T,R,B",
        help="left, top, right and bottom of the box that is taken for the lungs where none are found, as fractions of the "
        "picture (default 0.12,0.15,0.88,0.85)",
    )


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that a training run and an audit share."""
    add = parser.add_argument
    add(
        "-lr",
        "--learning-rate",
        "--learning",
        type=rate,
        default=TrainingSettings.learning_rate,
        metavar="RATE",
        help="Adam's first learning rate; it decays to 0 over the epochs (default %(default)s)",
    )
    add(
        "-e",
        "--epochs",
        "--epoch",
        type=whole(1),
        default=TrainingSettings.epochs,
        metavar="N",
        help="passes over the training images (default %(default)s)",
    )
    add(
        "-bs",
        "--batch-size",
        "--batchsize",
        type=whole(1),
        default=TrainingSettings.batch_size,
        metavar="N",
        help="images in one training step of the head (default %(default)s)",
    )
    add(
        "--split",
        choices=("given", "new"),
        default=DataSettings.split,
        help="of data that come with a split, in folders such as train and test or in a column of the table: given keeps it, "
        "new pools all images and splits anew by patient (default %(default)s)",
    )
    add(
        "--test-size",
        type=fraction,
        default=EvaluationSettings.test_size,
        metavar="FRACTION",
        help="fraction of each class held out for the test, between 0 and 1 (default %(default)s)",
    )
    add(
        "--seed",
        type=whole(0, 2**32 - 2),
        default=TrainingSettings.seed,
        metavar="N",
        help="seed of the split, the rotations and the training (default %(default)s)",
    )
    add(
        "--augmentations",
        "--views",
        type=whole(0, 1000),
        default=TrainingSettings.augmentations,
        metavar="N",
        help="rotated copies of each training image beside the image itself; "
        "each costs one forward pass of the backbone (default %(default)s)",
    )
    add(
        "--rotation",
        type=degrees,
        default=TrainingSettings.rotation,
        metavar="DEG",
        help="largest rotation of a copy, degrees either way (default %(default)s)",
    )
    add(
        "--weights",
        default=TrainingSettings.weights,
        metavar="auto|imagenet|random|FILE",
        help="weights of the base: auto = ImageNet, or untrained with a warning where it cannot be had; "
        "imagenet = that or fail; random = untrained; or a file in the official VGG16 layout without top "
        "(default %(default)s)",
    )
    add_positive_flag(parser)
    add(
        "--from",
        dest="start_from",
        type=Path,
        metavar="MODEL",
        help="start from the head of an earlier model of the same classes and base",
    )
    add(
        "--folds",
        type=folds,
        default=EvaluationSettings.folds,
        metavar="N",
        help="parts of the cross-validation; 0 does without it",
    )
    add(
        "--repeats",
        type=whole(1, 1000),
        default=EvaluationSettings.repeats,
        metavar="N",
        help="cross-validations, each divided anew",
    )
    add(
        "--threshold",
        type=threshold_rule,
        default=EvaluationSettings.threshold,
        metavar="RULE",
        help="when the positive class is predicted: argmax (it is the likeliest), youden, or the threshold that reaches a "
        "wanted sensitivity or specificity out of fold, such as sens=0.95 or spec=0.95 (default %(default)s)",
    )
    add(
        "--prevalence",
        type=fraction,
        metavar="FRACTION",
        help="fraction of the positive class among the future patients, for predictive values (default: the test part's own)",
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
    add_lung_flags(parser, LungSettings.region, LungSettings.region)
    add_fail_flag(parser)
    add_data_flags(parser)
    add_cluster_flag(parser)
    parser.set_defaults(command="")  # the line as typed, which `cli.main` fills in
