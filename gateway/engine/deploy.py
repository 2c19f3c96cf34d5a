"""Deploy: which revision of a flow runs, and what must hold before another takes its place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.engine.store import Store
from gateway.engine.store_entry import Revision
from gateway.engine.store_records import next_revision, revisions
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.lint import lint

FILE = "file"
"""The author of a revision that was found in a file."""


class Overtaken(ConfigError):  # noqa: N818 - the word for it
    """Somebody else deployed a revision since the one that was edited."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What came of a deploy.

    Args:
        flow: The flow's name.
        revision: The number of the revision that runs now.
        said: A sentence for each node that was changed and each queue that was closed.
        before: The revision whose place it took; None for a flow that is new.
    """

    flow: str
    revision: int
    said: tuple[str, ...] = ()
    before: Revision | None = None


async def first_revision(
    store: Store, document: Document, variables: Mapping[str, str], now: int
) -> tuple[Revision, str]:
    """The revision with which a flow starts.

    The file counts when it was edited since it was last read; else what was deployed after
    that goes on, however often the gateway starts.

    Args:
        store: Where revisions are kept.
        document: The flow as the file has it, variables not yet replaced.
        variables: Their values.
        now: The time [ns].

    Returns: the revision, and a sentence when it is not what the file says or is new.
    """
    known = await revisions(store, document.name)
    text, values = document.text(), used(document, variables)
    number = await next_revision(store, document.name)
    if not known:
        return Revision(number, now, FILE, "First start.", text, values), ""
    newest = known[-1]
    from_file = next((r for r in reversed(known) if r.author == FILE), None)
    if from_file is not None and from_file.text == text:
        if newest is from_file or newest.text == text:
            if newest.variables == values:
                return newest, ""
            note = "Other values for the variables."
            return Revision(number, now, FILE, note, text, values), note
        if is_removed(newest):
            return newest, ""
        return newest, (
            f"Revision {newest.number} runs, deployed by {newest.author}; "
            f"the file is still revision {from_file.number}."
        )
    note = "The file was edited."
    return Revision(number, now, FILE, note, text, values), f"Revision {number}: {note}"


def nothing(last: Revision, flow: str) -> str:
    """The text of the revision that stands for a flow that was removed: it has no nodes."""
    try:
        durability = Document.parse(last.text).durability
    except ConfigError:
        durability = "journal"
    return Document(flow, durability=durability).text()


def is_removed(revision: Revision) -> bool:
    """True when a revision says that the flow was removed."""
    try:
        return not Document.parse(revision.text).nodes
    except ConfigError:
        return False  # It cannot be read any more: that is said where it is to run.


def earlier(known: Sequence[Revision], flow: str, number: int | None) -> Revision:
    """The revision to which a flow goes back.

    Args:
        known: All its revisions, oldest first.
        flow: Its name, for messages.
        number: Which; without one the newest that differs from the last.

    Raises:
        ConfigError: There is none.
    """
    hint = f"`genba revisions {flow}` lists them."
    if number is not None:
        for revision in known:
            if revision.number == number:
                return revision
        raise ConfigError(f"{flow} has no revision {number}.", hint=hint)
    for revision in reversed(known):
        if revision.text != known[-1].text and not is_removed(revision):
            return revision
    raise ConfigError(f"{flow} has no earlier revision that differs.", hint=hint)


def used(document: Document, variables: Mapping[str, str]) -> str:
    """The variables that the flow names, as JSON; others may change without a new revision."""
    text = document.text()
    return json.dumps(
        {name: value for name, value in sorted(variables.items()) if f"${{{name}" in text}
    )


def check(
    document: Document,
    variables: Mapping[str, str],
    running: Revision | None,
    base: int | None,
) -> None:
    """Refuse what cannot run, and what would overwrite somebody else's edit.

    Raises:
        ConfigError: With the first errors of lint.
        Overtaken: Somebody else was faster.
    """
    if base is not None and running is not None and base != running.number:
        raise Overtaken(
            f"Revision {running.number} of {document.name} was deployed by {running.author} "
            f"while you edited revision {base}.",
            hint=f"Compare them: genba revisions {document.name} {base} {running.number}",
        )
    errors = [
        str(finding)
        for finding in lint(document, variables)
        if finding.severity == "error" and not finding.field.startswith("tests")
    ]
    if errors:
        raise ConfigError("This flow cannot run:\n  " + "\n  ".join(errors[:10]))
