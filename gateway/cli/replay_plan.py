"""What a replay runs: which flow, from which record to which, and what it is compared with."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.cli.moment import moment, show
from gateway.data.table import parse_time
from gateway.engine.replay_beside import Recorded, revisions_of
from gateway.engine.replay_ends import End
from gateway.engine.store_read import Checkpoint, Journal, StateReader
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.lint import lint
from gateway.flow.variables import resolve

WARM_UP_MIN_S: Final = 600.0
WARM_UP_MAX_S: Final = 86_400.0
TAGS_MAX: Final = 20_000


@dataclass(frozen=True)
class Plan:
    """What is run: the recorded flow, and the edited one if there is one.

    Args:
        recorded: The recorded flow and the span of time.
        edited: What it is compared with; None for what was live.
        stored: The state it starts from; None when it starts fresh.
        records: About how many records there are to run.
        warm_up_s: How much is run before what is reported [s].
        warnings: What the reader should know.
    """

    recorded: Recorded
    edited: Document | None
    stored: Checkpoint | None
    records: int
    warm_up_s: float
    warnings: list[str]

    @property
    def started(self) -> str:
        """What the state at the start is: checkpoint, beginning, or fresh."""
        if self.stored is not None:
            return "checkpoint"
        return "fresh" if self.recorded.is_fresh else "beginning"


def plan_of(
    args: argparse.Namespace, reader: StateReader, values: Mapping[str, str], now: int
) -> Plan:
    """What the arguments ask for.

    Args:
        args: As the command line gave them.
        reader: The state file.
        values: Values of variables in flow files.
        now: The time now [ns].

    Raises:
        ConfigError: It cannot be done; the message says why and what to do.
    """
    start = moment(args.from_, now)
    end = min(moment(args.to, now, start), now)
    if end <= start:
        raise ConfigError(f"--to ({show(end)}) is not after --from ({show(start)}).")
    path = Path(args.flow)
    # What the gateway asks for is a name, whatever files lie about where it runs.
    is_file = not args.gently and (path.suffix in (".yaml", ".yml") or path.is_file())
    document = load(path, values) if is_file else None
    name = args.flow if document is None else document.name
    journal = _journal(reader, name, start, end)
    edited = replace(load(args.against, values), name=name) if args.against else None
    follows = document is None
    document = document or _deployed(reader, name, start)
    documents = [document, *([edited] if edited else [])]
    warm_up_s = _warm_up_s(args.warm_up, documents)
    stored = None if args.warm_up else reader.checkpoint(name, start)
    if stored is not None and stored.seq + 1 < journal.first:
        stored = None
    first = stored.seq + 1 if stored else reader.first_at(name, start - round(warm_up_s * 1e9))
    assert first is not None, "something is recorded at or after the start"
    warnings = []
    if journal.from_ts > start:
        warnings.append(f"Records begin at {show(journal.from_ts)}, after --from.")
    recorded = Recorded(
        state=str(reader.path),
        flow=name,
        text=document.text(),
        first=first,
        start=start,
        end=end,
        follows=follows,
        watch=tuple(_watched(args.watch, documents)),
        tags_max=TAGS_MAX,
        from_checkpoint=stored is not None,
        is_fresh=stored is None and first > 1,
    )
    return Plan(recorded, edited, stored, journal.last - first + 1, warm_up_s, warnings)


def _journal(reader: StateReader, name: str, start: int, end: int) -> Journal:
    journal = reader.journal(name)
    if journal is None:
        raise ConfigError(f"Nothing is recorded of a flow {name!r}.", hint=_known(reader))
    if journal.to_ts < start or journal.from_ts >= end:
        raise ConfigError(
            f"Nothing is recorded of {name} from {show(start)} to {show(end)}.",
            hint=f"There are records from {show(journal.from_ts)} to {show(journal.to_ts)}.",
        )
    return journal


def _deployed(reader: StateReader, name: str, at: int) -> Document:
    """The flow as it ran at a time [ns]; the oldest one known if none is of before."""
    revisions = reader.revisions(name)
    if not revisions:
        raise ConfigError(
            f"The state file does not hold the text of the flow {name!r}.",
            hint=f"Name its file instead, such as flows/{name}.flow.yaml.",
        )
    before = [revision for revision in revisions if revision.ts <= at]
    return revisions_of(reader, name)((before or revisions[:1])[-1].number)


def load(path: Path, values: Mapping[str, str]) -> Document:
    """A flow from a file, checked as `genba lint` does, its variables replaced.

    Raises:
        ConfigError: It cannot run; the message has every error.
    """
    document = Document.load(path)
    errors = [one for one in lint(document, values) if one.severity == "error"]
    found = [str(one) for one in errors if not one.field.startswith("tests")]
    if found:
        raise ConfigError("This flow cannot run:\n  " + "\n  ".join(found))
    return document.with_values(lambda value: resolve(value, values))


def _known(reader: StateReader) -> str:
    names = [journal.flow for journal in reader.journals()]
    if not names:
        return "Nothing is recorded of any flow: with `durability: memory` nothing is."
    return f"There are records of {', '.join(names)}."


def _warm_up_s(text: str | None, documents: Sequence[Document]) -> float:
    """What was asked for; else twice the longest time that a node's options name."""
    if text is not None:
        try:
            return parse_time(text) / 1e9
        except ValueError as error:
            raise ConfigError(str(error), where="--warm-up") from error
    longest = 0.0
    for document in documents:
        for entry in document.nodes.values():
            for option, value in entry.config.items():
                if option.endswith("_s") and isinstance(value, int | float):
                    longest = max(longest, float(value))
    return min(max(2 * longest, WARM_UP_MIN_S), WARM_UP_MAX_S)


def _watched(ends: Sequence[str], documents: Sequence[Document]) -> Iterator[End]:
    for end in ends:
        node, _, port = end.partition(".")
        classes = [cls for d in documents if (cls := d.class_of(node)) and node in d.nodes]
        ports = [known.name for cls in classes for known in cls.outputs]
        if (port or "out") not in ports:
            known = ", ".join(dict.fromkeys(f"{node}.{name}" for name in ports)) or "none"
            raise ConfigError(f"There is no output {end!r}.", hint=f"Of {node} there is: {known}.")
        yield node, port or "out"
