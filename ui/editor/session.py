"""Session: one flow while people edit it, shared by all tabs in which it is open.

It lives in the process of the screens. What it holds is kept as a draft on the gateway a moment
after each edit, so that a closed tab or a restart loses nothing; what somebody did last, and can
take back, is kept by person and survives a reload of the page and a deploy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.flow.compare import Difference, compare
from gateway.flow.document import Document
from ui.editor.drafts import Deployed, Draft
from ui.editor.keeping import Keeper, Start, name_of
from ui.editor.level import level_of
from ui.editor.merge import MEANING, whole
from ui.editor.ops import Op, done
from ui.editor.patch import Patch, diff, patched
from ui.editor.place import placed
from ui.editor.tree import Tree, document_of, tree_of
from ui.editor.view import View, changed, view_of
from ui.editor.wires import PORTS, links_of
from ui.engine import Api

UNDO_MAX: Final = 200
COLOURS: Final = 6
Say = Callable[[str, Any], None]


@dataclass(eq=False)
class Tab:
    """One browser tab in which the flow is open.

    Args:
        id: Of the tab.
        actor: Who looks.
        say: Tells the browser: (what, values).
        api: The API as that person has it.
        may_edit: Whether they may change flows.
    """

    id: str
    actor: str
    say: Say
    api: Api
    may_edit: bool = True
    colour: int = 0
    level: str = ""
    """The subflow whose inside it shows; empty for the flow itself."""
    selected: list[str] = field(default_factory=list)


@dataclass
class Steps:
    """What one person can take back, and do again."""

    undo: deque[Patch] = field(default_factory=lambda: deque(maxlen=UNDO_MAX))
    redo: deque[Patch] = field(default_factory=lambda: deque(maxlen=UNDO_MAX))


class Session:
    """One flow that is edited.

    Args:
        flow: Its name.
        running: The flow that runs, if one does.
        kept: The draft that is kept, if there is one.
        start: Runs something beside the page.

    Raises:
        ConfigError: There is neither, or the draft cannot be read.
    """

    def __init__(
        self, flow: str, running: Deployed | None, kept: Draft | None, start: Start
    ) -> None:
        if running is None and kept is None:
            raise ConfigError(f"There is no flow {flow!r}.", hint="Make it on the page Flows.")
        self.flow = flow
        self.tabs: list[Tab] = []
        self.running = running
        self.base = running.revision if running is not None else None
        self.origin: Tree = placed(running.tree) if running else tree_of(Document(flow))
        self.rival: Deployed | None = None
        """What somebody else deployed while this was edited."""
        self.problems: list[dict[str, Any]] = []
        """What lint found last, as `POST /api/flows/{flow}/lint` gives it."""
        self.version = kept.version if kept is not None else 0
        """Of the draft that is kept; 0 for none."""
        self.tree = self.origin
        if kept is not None:
            document = Document.parse(kept.text, f"{flow}.flow.yaml")
            self.tree = placed(tree_of(document, kept.layout))
        self._steps: dict[str, Steps] = {}
        self._view: View = view_of(self.tree, self._shown_origin())
        self._joined = 0
        self.keeper = Keeper(self, start)

    # ------------------------------------------------------------------ what there is

    @property
    def document(self) -> Document:
        """The flow as it is edited."""
        return document_of(self.tree)

    def text(self) -> str:
        """The flow file; of a flow that means the same as the one that runs, its very bytes."""
        if self.running is not None and not diff(self.origin, self.tree, MEANING, ordered=False):
            return self.running.text
        return self.document.text()

    def difference(self) -> Difference:
        """What differs from what runs, in the words of the flow."""
        return compare(document_of(self.origin), self.document)

    def changes(self) -> int:
        """How many things differ from what runs."""
        places = {(c.section, c.id) for c in diff(self.origin, self.tree, MEANING, ordered=False)}
        before = {link.key for link in links_of(self.origin)}
        after = {link.key for link in links_of(self.tree)}
        others = sum(section != "wires" for section, _ in places)
        return others + len(before ^ after)

    @property
    def is_kept(self) -> bool:
        """Whether all that was edited is on the gateway."""
        return self.keeper.is_saved

    def view(self) -> View:
        """All that the canvas shows."""
        return self._view

    def status(self, tab: Tab) -> dict[str, Any]:
        """What the bar of one tab shows."""
        steps = self._steps.get(tab.actor, Steps())
        return {
            "undo": len(steps.undo),
            "redo": len(steps.redo),
            "changes": self.changes(),
            "revision": self.base,
            "state": self.running.state if self.running is not None else "",
            "durability": self.tree["head"]["flow"]["durability"],
        }

    def _shown_origin(self) -> Tree | None:
        return self.origin if self.running is not None else None

    # ------------------------------------------------------------------ who is here

    def join(self, tab: Tab) -> None:
        """Somebody opens the flow."""
        tab.colour = self._joined % COLOURS
        self._joined += 1
        self.tabs.append(tab)
        self.say_presence()
        self.keeper.look()

    def leave(self, tab: Tab) -> None:
        """They have closed it."""
        if tab in self.tabs:
            self.tabs.remove(tab)
            self.say_presence()
            self.keeper.left(tab)

    def select(self, tab: Tab, ids: Sequence[str], level: str = "") -> None:
        """What somebody looks at, and inside which subflow."""
        tab.selected, tab.level = list(ids), level
        self.say_presence()

    def say_presence(self) -> None:
        """Tell every tab who else is here."""
        for tab in self.tabs:
            others = [
                {
                    "tab": o.id,
                    "name": name_of(o.actor),
                    "colour": o.colour,
                    "level": o.level,
                    "selected": o.selected,
                }
                for o in self.tabs
                if o is not tab
            ]
            tab.say("presence", others)

    def say_all(self, what: str, values: Any) -> None:
        """Tell every tab."""
        for tab in list(self.tabs):
            tab.say(what, values)

    # ------------------------------------------------------------------ edits

    def edit(self, tab: Tab, op: Op) -> list[str]:
        """Do something; returns the ids of nodes and frames that are new, where it was done.

        Raises:
            ConfigError: It cannot be done; the sentence says why.
        """
        level = str(op.get("in") or "")
        before = level_of(self.tree, level)
        self.turn_to(tab, whole(done(self.tree, op)))
        after = level_of(self.tree, level)
        return [
            name
            for part in ("nodes", PORTS, "connections", "frames")
            for name in after.get(part, ())
            if name not in before.get(part, ())
        ]

    def turn_to(self, tab: Tab, after: Tree) -> None:
        """Go to another tree, as a step that this person can take back.

        Raises:
            ConfigError: They may not.
        """
        self.allow(tab)
        back = diff(after, self.tree)
        if not back:
            return
        steps = self._steps.setdefault(tab.actor, Steps())
        steps.undo.append(back)
        steps.redo.clear()
        self.take(after)

    def allow(self, tab: Tab) -> None:
        """Let only those go on who may edit.

        Raises:
            ConfigError: This one may not.
        """
        if not tab.may_edit:
            raise ConfigError("Your account may look at flows, not change them.")

    def undo(self, tab: Tab) -> None:
        """Take back what this person did last.

        Raises:
            ConfigError: There is nothing, or somebody else has changed the same since.
        """
        steps = self._steps.setdefault(tab.actor, Steps())
        self._step(tab, steps.undo, steps.redo)

    def redo(self, tab: Tab) -> None:
        """Do again what this person took back last.

        Raises:
            ConfigError: There is nothing, or somebody else has changed the same since.
        """
        steps = self._steps.setdefault(tab.actor, Steps())
        self._step(tab, steps.redo, steps.undo)

    def _step(self, tab: Tab, taken: deque[Patch], given: deque[Patch]) -> None:
        if not tab.may_edit or not taken:
            return
        patch = taken.pop()
        after = whole(patched(self.tree, patch))
        given.append(diff(after, self.tree))
        self.take(after)

    def take(self, after: Tree) -> None:
        """Show and keep another tree."""
        self.tree = after
        self.show()
        self.keeper.touched()

    def show(self) -> None:
        """Tell every tab what the canvas shows now."""
        view = view_of(self.tree, self._shown_origin())
        delta = changed(self._view, view)
        self._view = view
        for tab in list(self.tabs):
            tab.say("patch", {"delta": delta, "status": self.status(tab)})


__all__ = ["Session", "Steps", "Tab", "name_of"]
