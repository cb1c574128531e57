"""What the functions of the package return: reports with attributes, which can be saved and which a notebook shows."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from covid19.api.data import TemporaryFolder
from covid19.audit.result import AuditResult
from covid19.core.outputs import OutputTransaction, json_text
from covid19.inference.answer import Answer
from covid19.model.info import Verdict

Content = TypeVar("Content")

FRAME_HEIGHT_PX = 720


class Result(Generic[Content]):
    """The result of a command. Its fields are those of `report`: `result.audit` is `result.report.audit`.

    Args:
        report: what was found, as the command's JSON has it.
        text: the same in words.
        files: what the command wrote, by kind (report, page, model, plot).
        folder: where it wrote them, kept as long as this; None if it wrote where it was told to.
    """

    def __init__(
        self, report: Content, text: str, files: Mapping[str, Path] | None = None, folder: TemporaryFolder | None = None
    ) -> None:
        self.report, self.text, self.files = report, text, dict(files or {})
        self._folder = folder

    def __getattr__(self, name: str) -> Any:
        """A field of the report."""
        if name.startswith("_") or name == "report":
            raise AttributeError(name)
        return getattr(self.report, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in dir(self.report) if not name.startswith("_"))})

    def __repr__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """The report as the command's JSON has it."""
        content: dict[str, Any] = msgspec.to_builtins(self.report)
        return content

    def save(self, folder: str | Path) -> list[Path]:
        """Write the report and what else the command wrote into a folder, which is made if it is missing; return the paths.

        Raises:
            OSError: it cannot be written; nothing has changed.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        with OutputTransaction() as outputs:
            for path in self.files.values():
                shutil.copy(path, outputs.draft(target / path.name))
            if not self.files:
                outputs.draft(target / "report.json").write_text(json_text(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return [target / path.name for path in self.files.values()] or [target / "report.json"]

    def _repr_html_(self) -> str:
        """The page in a frame, for notebooks; the text where there is no page."""
        if "page" not in self.files:
            return f"<pre>{html.escape(self.text)}</pre>"
        page = html.escape(self.files["page"].read_text(encoding="utf-8"))
        return f'<iframe sandbox srcdoc="{page}" style="width:100%;height:{FRAME_HEIGHT_PX}px;border:0"></iframe>'


class AuditedResult(Result[Content]):
    """The result of a command that audits."""

    @property
    def verdict(self) -> Verdict | None:
        """The audit's verdict; None without an audit."""
        audit: AuditResult | None = self.report.audit  # type: ignore[attr-defined]  # every report of these commands has one
        return audit.verdict if audit else None


class Predictions(msgspec.Struct, frozen=True):
    """What `covid19 predict --json` prints: what is known of the model, an answer for each image, and whether they differ."""

    model: dict[str, Any]
    answers: list[Answer]
    shift: dict[str, Any] | None
