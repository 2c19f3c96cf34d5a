"""The list of models as it stands: a text file beside the state, and the files it may name.

A version is the hash of the text, as it is for dashboards: nobody saves over what they have not
seen, and every text that was ever saved stands in the audit.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.data.whole import write_whole
from gateway.engine.models_local import OWN_FILE
from gateway.errors import ConfigError, Disconnected
from gateway.flow.models import OWN, USUAL, LocalModel, Model, ModelList, ModelRule
from models.llm import gguf

_log = logging.getLogger("genba.models")
FILE: Final = "models.yaml"
FOLDER: Final = "models"
FILES_MAX: Final = 200
Audit = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]
"""Records who did what: (actor, action, detail)."""


class ModelBook:
    """Models and rules, and how they are changed.

    Args:
        state: Folder of the gateway's state.
        audit: Records a change before it is made.
        changed: Called when it is made.
    """

    def __init__(self, state: Path, audit: Audit, changed: Callable[[], None]) -> None:
        self.folder = state / FOLDER
        self._path = state / FILE
        self.record = audit
        """Records who did what."""
        self._changed = changed
        self._lock = asyncio.Lock()
        self.found = USUAL
        self.version = ""
        self.problem = ""
        """Why the file cannot be used; then the usual models stand."""
        self._load()

    def _load(self) -> None:
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            self.problem = f"{FILE} cannot be read: {error}."
            return
        self.version = _version(text)
        try:
            self.found = ModelList.parse(text, FILE)
        except ConfigError as error:
            self.problem = str(error)
            _log.error("The usual models are taken: %s", error)

    def text(self) -> str:
        """The list as it stands."""
        return self.found.text()

    async def put(self, found: ModelList, base: str | None, actor: str, action: str) -> None:
        """Save a list.

        Args:
            found: As it is to be.
            base: The version that was edited; None takes whatever is there.
            actor: Who saves it.
            action: For the audit.

        Raises:
            ConfigError: Somebody else has saved it since.
            Disconnected: It cannot be recorded, or the disk does not take it.
        """
        async with self._lock:
            if base is not None and base != self.version:
                raise ConfigError(
                    "The list of models was changed meanwhile.",
                    hint="Look at it as it is now, then make your change again.",
                )
            text = found.text()
            detail = {"before": self.version, "after": _version(text), "text": text}
            await self.record(actor, action, detail)
            try:
                await asyncio.to_thread(write_whole, self._path, text)
            except OSError as error:
                raise Disconnected(f"{FILE} cannot be written ({error.strerror}).") from error
            self.found, self.version, self.problem = found, _version(text), ""
        self._changed()

    async def add(self, name: str, model: Model, actor: str) -> None:
        """Add a model, or put it in the place of one; a file is looked at and remembered.

        Raises:
            ConfigError: The file is not there or is no model.
            Disconnected: As for `put`.
        """
        if isinstance(model, LocalModel) and model.file != OWN:
            model = await asyncio.to_thread(self._looked_at, model)
        models = {**self.found.models, name: model}
        await self.put(self._with(models, self.found.rules), None, actor, "models/add")

    async def remove(self, name: str, actor: str) -> None:
        """Take a model away, also out of the rules.

        Raises:
            ConfigError: There is none of this name.
            Disconnected: As for `put`.
        """
        if name not in self.found.models:
            raise ConfigError(f"There is no model {name!r}.", hint="genba models list")
        models = {key: model for key, model in self.found.models.items() if key != name}
        rules = []
        for rule in self.found.rules:
            left = tuple(one for one in rule.models if one != name)
            if left or not rule.models:  # A rule without models would mean: all of them.
                rules.append(rule.model_copy(update={"models": left}))
        await self.put(self._with(models, tuple(rules)), None, actor, "models/remove")

    def _with(self, models: Mapping[str, Model], rules: tuple[ModelRule, ...]) -> ModelList:
        values = ModelList.model_construct(models=dict(models), rules=rules)
        return ModelList.of(values.model_dump(mode="json"))

    def _looked_at(self, model: LocalModel) -> LocalModel:
        path = self.folder / model.file
        try:
            about = gguf.about(path)
            size, digest = path.stat().st_size, gguf.sha256(path)
        except OSError as error:
            raise ConfigError(
                f"There is no file {model.file} in {self.folder}: {error.strerror}.",
                hint="Copy it there first.",
            ) from error
        except gguf.Damaged as error:
            raise ConfigError(f"{model.file} is no model that can be used: {error}.") from error
        update: dict[str, Any] = {"size": size, "sha256": digest}
        if about.context and model.context > about.context:
            update["context"] = max(about.context, 64)
        return model.model_copy(update=update)

    def files(self) -> list[dict[str, Any]]:
        """Files of models, ours first, each with what it says of itself; it may block."""
        named = {m.file: n for n, m in self.found.models.items() if isinstance(m, LocalModel)}
        paths = sorted(self.folder.glob("*.gguf"))[:FILES_MAX] if self.folder.is_dir() else []
        rows = []
        for file, path in ((OWN, OWN_FILE), *((path.name, path) for path in paths)):
            row: dict[str, Any] = {"file": file, "model": named.get(file, ""), "problem": ""}
            try:
                about = gguf.about(path)
                row |= {
                    "bytes": path.stat().st_size,
                    "title": about.name,
                    "architecture": about.architecture,
                    "parameters": about.parameters,
                    "kind": about.kind,
                    "context": about.context,
                }
            except gguf.Damaged as error:
                row["problem"] = f"It is no model that can be used: {error}."
            except OSError as error:
                row["problem"] = f"It is not there: {error.strerror}."
            rows.append(row)
        return rows


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


__all__ = ["FILE", "FOLDER", "ModelBook"]
