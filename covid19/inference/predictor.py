"""Ask a saved model about images: files and folders in; labels, calibrated probabilities and heat maps out, as they come.

Every answer carries what is known of the model: its cross-validated numbers, the audit's verdict and the research-only notice.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19 import NOTICE
from covid19.core.addresses import absolute_text, as_path, is_address
from covid19.core.console import Progress
from covid19.core.errors import InputError
from covid19.core.executor.background import in_background
from covid19.core.executor.executor import Failed, Resources, Task
from covid19.core.executor.opening import open_executor
from covid19.core.outputs import PRIVATE_FOLDER, atomic_write, check_outputs
from covid19.core.settings import FILE_TIMEOUT_S
from covid19.data.dataset import list_inputs
from covid19.data.decoding import MODULES, DecodingPool
from covid19.data.images import Pixels, read_picture, why_unreadable
from covid19.evaluation.metrics import predict_labels
from covid19.features.backbone.network import build_base
from covid19.features.batches import BATCH_SIZE, PREFETCHED_BATCHES
from covid19.inference.writers import Answer, CsvWriter, JsonWriter, TextWriter, Writer, unanswered
from covid19.model.file import read_content, read_model
from covid19.model.gradcam import gradcam
from covid19.model.load import heads_in
from covid19.model.novelty import is_unlike

Array = NDArray[np.float32]

NOT_ALIKE = "not like the training images"
NO_NUMBER = "the model gave no number"
ENLARGED = 448  # pixels, of a heat map's picture
OPACITY = 0.4  # of the heat map over the picture
OVERLAY_ENDING = "_heatmap.png"
DIGEST_SIGNS = 12  # hexadecimal, of a heat map's name that would meet another
MAX_WORD_BYTES = 255 - len(OVERLAY_ENDING)  # of a heat map's name before its ending: file systems take 255


class Predictor:
    """A saved model, ready to be asked.

    Args:
        source: path or content of a file that `covid19 train` wrote; it is read once.
        name: to call the file by in an error; '' takes the path.

    Raises:
        InputError: it is no such file.
    """

    def __init__(self, source: Path | bytes, name: str = "") -> None:
        content = read_model(source, name)
        self.info, self._novelty_detector = content.info, content.novelty_detector
        self._base, self._heads = build_base(content.weights), heads_in(content)
        self.classes: list[str] = self.info["classes"]

    def ask(self, files: Sequence[str], pixels: Pixels) -> tuple[list[Answer], Array]:
        """Answers for pictures, uint8 RGB (n, 224, 224, 3), and the heat maps of the classes called, float32 (n, 7, 7).

        A picture for which the model gives no finite number gets a problem in place of a label, and an empty heat map.
        """
        maps = np.asarray(self._base.predict_on_batch(pixels.astype(np.float32) / np.float32(255)), np.float32)
        features = maps.mean(axis=(1, 2))
        finite = np.isfinite(features).all(axis=1)
        features = np.where(finite[:, None], features, np.float32(0))
        said = self._heads.probabilities(features)[:, 0]
        finite &= np.isfinite(said).all(axis=1)
        called = predict_labels(said, self.classes.index(self.info["positive"]), self.info["threshold"])
        unusual = self._novelty_detector.percentile(features)
        answers, heat = [], np.zeros(maps.shape[:3], np.float32)
        for row, file in enumerate(files):
            if not finite[row]:
                answers.append(unanswered(file, NO_NUMBER))
                continue
            heat[row] = gradcam(maps[row : row + 1], self._heads, int(called[row]))[0]
            probabilities = dict(zip(self.classes, map(float, said[row]), strict=True))
            unlike = is_unlike(pixels[row], float(unusual[row]))
            label, problem = ("", NOT_ALIKE) if unlike else (self.classes[called[row]], "")
            answers.append(Answer(file, label, probabilities, float(unusual[row]), problem))
        return answers, heat

    def about(self) -> dict[str, Any]:
        """What every answer carries: the model's own numbers, the audit's verdict, the notice."""
        return {
            "positive": self.info["positive"],
            "threshold": self.info["threshold"],
            "base": self.info["base"]["weights"],
            "cross_validation": self.info["cross_validation"],
            "audit": self.info["audit"],
            "notice": NOTICE,
        }


def predict(
    model: Path, inputs: Sequence[Path], output: str, heatmaps: Path | None, file_timeout: float = FILE_TIMEOUT_S,
    cluster: str | None = None,
) -> bool:  # fmt: skip
    """Answer for every image below the inputs, batch by batch, and print the answers as they come.

    Args:
        model: a file that `covid19 train` wrote.
        inputs: images, or folders of images.
        output: 'text', 'json' (one object) or 'csv'.
        heatmaps: folder for the pictures with their Grad-CAM laid over, or None.
        file_timeout: seconds that reading one file may take.
        cluster: where to do it, see `Settings`.

    Returns:
        Whether every file could be read.

    Raises:
        InputError: an input does not exist, there are no images, the model or the cluster cannot be used, or a heat map cannot
            be written or would overwrite an input.
    """
    files = list_inputs(inputs)
    overlays = _overlay_paths(heatmaps, inputs, files, model) if heatmaps else {}
    content = read_content(model)
    predictor = Predictor(content, str(model))
    writers: dict[str, Callable[..., Writer]] = {"text": TextWriter, "json": JsonWriter, "csv": CsvWriter}
    writer = writers[output](predictor.classes, predictor.about(), files)
    readable = True
    task = PredictTask(content, predictor, bool(overlays))
    with (
        DecodingPool(file_timeout) as decoder,
        open_executor(cluster, decoder.run, file_timeout, quiet=True) as executor,
        closing(executor.map(task, [absolute_text(as_path(file)) for file in files], ordered=True)) as results,
        Progress("Predicting", len(files), "images", plain=False) as progress,
    ):
        writer.begin()
        for position, result in results:
            answer, picture = (unanswered("", result.reason), b"") if isinstance(result, Failed) else result
            writer.answer(answer._replace(file=files[position]))
            readable &= answer.unusual is not None
            if picture:
                with atomic_write(overlays[files[position]], private=True) as draft:
                    draft.write_bytes(picture)
            progress.advance(1)
        writer.end()
    return readable


class PredictTask(Task[str, tuple[Answer, bytes]]):
    """Answers for the files at paths or addresses, in their order: the answer, and its heat map as a PNG file's bytes, or none.

    Args:
        model: content of a model's file, from which the predictor is made on other machines.
        predictor: of this machine.
        overlays: whether to draw heat maps.
    """

    preload = MODULES

    def __init__(self, model: bytes, predictor: Predictor, overlays: bool) -> None:
        self._model, self._overlays = model, overlays
        self._predictor: Predictor | None = predictor

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_predictor": None}

    def set_up(self, resources: Resources) -> None:
        """Load the model where it is not yet."""
        self._run = resources.run
        self._ready = self._predictor or Predictor(self._model)

    def run(self, items: Sequence[str]) -> Iterator[tuple[int, tuple[Answer, bytes]]]:
        """Decode in the background, and ask the model batch by batch."""
        starts = range(0, len(items), BATCH_SIZE)
        loaded = in_background(
            lambda at: [self._read(file) for file in items[at : at + BATCH_SIZE]], starts, PREFETCHED_BATCHES
        )
        for start, pictures in zip(starts, loaded, strict=True):
            yield from enumerate(self._answer(items[start : start + BATCH_SIZE], pictures), start)

    def _answer(self, files: Sequence[str], pictures: Sequence[Pixels | str]) -> list[tuple[Answer, bytes]]:
        results = [(unanswered(file, str(picture)), b"") for file, picture in zip(files, pictures, strict=True)]
        good = [number for number, picture in enumerate(pictures) if not isinstance(picture, str)]
        if good:
            pixels = np.stack([np.asarray(pictures[number]) for number in good])
            answers, heat = self._ready.ask([files[number] for number in good], pixels)
            for number, answer, picture, own in zip(good, answers, pixels, heat, strict=True):
                results[number] = answer, as_png(overlay(picture, own)) if self._overlays else b""
        return results

    def _read(self, file: str) -> Pixels | str:
        """A picture, or why it cannot be read."""
        try:
            return read_picture(as_path(file), self._run).pixels
        except (OSError, ValueError) as error:
            return why_unreadable(error)


def overlay(pixels: Pixels, heat: Array) -> Pixels:
    """A picture, uint8 RGB (224, 224, 3), enlarged, with a heat map (7, 7) laid over: uint8 RGB (448, 448, 3)."""
    size = (ENLARGED, ENLARGED)
    strength = np.clip(cv2.resize(heat / max(float(heat.max()), 1e-9), size, interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((255 * strength).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = OPACITY * strength[..., None]
    large = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray((1 - share) * large + share * colours, np.uint8)


def _overlay_paths(folder: Path, inputs: Sequence[Path], files: Sequence[str], model: Path) -> dict[str, Path]:
    """Where each file's heat map is written; the folder, made if missing, is for the user alone.

    Raises:
        InputError: the folder cannot be made or written or is one of the inputs, or a heat map would overwrite an image or the
            model.
    """
    place = folder.resolve()
    if any(place.is_relative_to(given.resolve()) for given in inputs if not is_address(given) and given.is_dir()):
        raise InputError(
            f"--heatmaps '{folder}' lies in a folder that is read, so that the next run would take the heat maps for X-rays; "
            "expected a folder outside of the inputs: give another"
        )
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--heatmaps '{folder}' cannot be made ({error.strerror}); expected a folder, or a path for a new one: give another"
        ) from error
    paths = {file: folder / name for file, name in overlay_names(files).items()}
    existing = [path for path in paths.values() if path.exists()]
    check_outputs(existing or list(paths.values())[:1], [model, *map(as_path, files)] if existing else ())
    return paths


def overlay_names(files: Iterable[str]) -> dict[str, str]:
    """The name of each file's heat map: its path in one word, so that equal names in two folders do not meet.

    Those that would meet all the same (`a/b.png` and `a_b.png`, `x.png` and `x.jpg`, also where the file system does not tell
    upper from lower case), and those too long for a file's name, carry a digest of their path.
    """
    plain = {file: _in_one_word(file) for file in files}
    count = Counter(map(_same_on_disk, plain.values()))
    names = {
        file: f"{word}{OVERLAY_ENDING}"
        for file, word in plain.items()
        if count[_same_on_disk(word)] == 1 and len(os.fsencode(word)) <= MAX_WORD_BYTES
    }
    taken = set(map(_same_on_disk, names.values()))
    for file in sorted(plain.keys() - names.keys()):
        start = os.fsencode(plain[file])[: MAX_WORD_BYTES - DIGEST_SIGNS - 1].decode(errors="ignore")
        for attempt in itertools.count():
            digest = hashlib.sha256(f"{attempt}/{file}".encode(errors="surrogatepass")).hexdigest()[:DIGEST_SIGNS]
            name = f"{start}-{digest}{OVERLAY_ENDING}"
            if _same_on_disk(name) not in taken:
                break
        taken.add(_same_on_disk(name))
        names[file] = name
    return names


def _in_one_word(file: str) -> str:
    return "_".join(part for part in Path(file).with_suffix("").parts if part not in ("/", "//", "..", "."))


def _same_on_disk(name: str) -> str:
    """Equal for names that some file systems take for one: by case and by composition of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def as_png(picture: Pixels) -> bytes:
    """A picture, uint8 RGB, as the bytes of a PNG file."""
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
