"""Fetch the two collections that data sets are built from: the ieee8023 collection with git, Kaggle's set with kagglehub."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from pathlib import Path

from covid19.core.console import say
from covid19.core.errors import InputError
from covid19.data.build.sources import LUNG_MASKS

COLLECTION_URL = "https://github.com/ieee8023/covid-chestxray-dataset"
KAGGLE_HANDLE = "paultimothymooney/chest-xray-pneumonia"
# Give up where nothing arrives: fewer than 1000 bytes a second for 20 seconds. No question for a password either.
CLONE = ("git", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=20", "-c", "core.askPass=true", "clone")


def fetch_collection(folder: Path) -> Path:
    """Clone the collection, its newest state and of its large files only the images and lung masks; git shows the progress.

    Args:
        folder: to make; a checkout that is there already is taken as it is.

    Returns:
        The folder.

    Raises:
        InputError: git is missing, or the collection cannot be reached.
    """
    if (folder / "metadata.csv").is_file():
        return folder
    if not shutil.which("git"):
        raise InputError("--download needs git, which is not installed; expected the command 'git': install it")
    say(f"Fetching {COLLECTION_URL} into {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    for command in (
        [*CLONE, "--depth", "1", "--filter=blob:none", "--sparse", "--progress", COLLECTION_URL, str(draft)],
        ["git", "-C", str(draft), "sparse-checkout", "set", "images", LUNG_MASKS.as_posix()],
    ):
        if subprocess.run(command, check=False).returncode:
            shutil.rmtree(draft, ignore_errors=True)
            raise InputError(
                f"{COLLECTION_URL} cannot be fetched (see git's words above); expected a connection: fetch it on another "
                "machine and give it with --collection"
            )
    draft.replace(folder)
    return folder


def fetch_kaggle() -> Path:
    """Download Kaggle's chest-xray-pneumonia into kagglehub's own cache, with its progress bar; 2 GB, once.

    Returns:
        The folder it is in.

    Raises:
        InputError: kagglehub is missing, or the set cannot be reached.
    """
    try:
        kagglehub, errors = importlib.import_module("kagglehub"), importlib.import_module("kagglehub.exceptions")
    except ModuleNotFoundError as error:
        raise InputError(
            "--download of Kaggle's set needs the package kagglehub; expected it: pip install 'covid19-xray[download]'"
        ) from error
    say(f"Fetching {KAGGLE_HANDLE} from Kaggle")
    try:
        return Path(kagglehub.dataset_download(KAGGLE_HANDLE))
    except (
        OSError, errors.BackendError, errors.CredentialError, errors.DataCorruptionError, errors.NotFoundError,
        errors.UnauthenticatedError,
    ) as error:  # fmt: skip  # requests' errors are OSErrors
        raise InputError(
            f"{KAGGLE_HANDLE} cannot be fetched ({type(error).__name__}); expected a connection to kaggle.com: fetch it on "
            "another machine and give it with --kaggle"
        ) from error
