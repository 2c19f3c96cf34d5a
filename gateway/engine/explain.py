"""Explainer: says why each alarm was raised, beside everything that raises alarms.

It follows the alarm book as a screen does, so that no alarm waits for it. The facts and the
template's text are made on a thread, one incident at a time, the most urgent first; they are
stored and shown at once. Then a model may say it better, within a deadline, in a process of its
own. Whatever goes wrong with that, the template's text stays, with the reason beside it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.engine.alarmbook import PRIORITIES
from gateway.engine.executor import ThreadExecutor
from gateway.engine.explain_incident import Incident, Incidents
from gateway.engine.explain_known import Known
from gateway.engine.explain_make import Job, Made, local_zone, make
from gateway.engine.explain_queue import Queue, Wish
from gateway.engine.explain_scene import scene_of
from gateway.engine.explain_write import ModelDesk
from gateway.engine.store_explain import Explained, Key, keep
from gateway.errors import Disconnected, GatewayError

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

_log = logging.getLogger("genba.explain")
GATHER_S: Final = 0.25
"""An alarm waits so long for those that come with it."""
AGAIN_NS: Final = 120 * 10**9
"""An alarm that is over sooner is looked at once more."""
AFTER_S: Final = 3.0
"""So long after its end: one sample that is back tells no spike from a step yet."""
YOUNG_S: Final = 11.0
"""A jump that may still be a spike is looked at again when it is so much older."""
YOUNG_LOOKS_MAX: Final = 3
"""So often, each time after three times as long: what is sampled slowly takes longer to tell."""
TOOK_MAX: Final = 200
_ERRORS: Final = (GatewayError, OSError, ArithmeticError, LookupError, TypeError, ValueError)
"""What an error of ours may be: it costs this one explanation."""
_OVER: Final = frozenset({AlarmState.NORM, AlarmState.RTNUN, AlarmState.LATUN, AlarmState.LATACK})


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """How alarms are explained.

    Args:
        deadline_s: What a model has not written by then is not waited for [s]; 0 asks none.
        queue_max: Alarms that may wait.
    """

    deadline_s: float = 2.0
    queue_max: int = 100


class Explainer(Known):
    """Explains alarms as they are raised, and when somebody asks.

    Args:
        runtime: The gateway.
        options: How.
    """

    def __init__(self, runtime: Runtime, options: ExplainOptions) -> None:
        super().__init__(runtime)
        self.took: deque[float] = deque(maxlen=TOOK_MAX)
        """From the annunciation to the template's text, of the last ones [s]."""
        self._executor = ThreadExecutor("genba-explain")
        self._queue = Queue(options.queue_max)
        self._ready = asyncio.Event()
        self._incidents = Incidents()
        self._joins: list[tuple[AlarmEvent, Incident]] = []
        self._zone = local_zone()
        self.desk = ModelDesk(runtime, self.board, options.deadline_s, self.counts, self._zone)

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Explain until cancelled."""
        self._tasks.start("follow", self._follow())
        self._tasks.start("write", self.desk.run())
        self._tasks.start("catch up", self._catch_up())
        try:
            while True:
                await self._ready.wait()
                await self._join_all()
                wish = self._queue.first()
                if wish is None:
                    self._ready.clear()
                    continue
                early_s = wish.came_s + GATHER_S - self._runtime.clock.monotonic()
                if early_s > 0 and not wish.is_asked:
                    await asyncio.sleep(early_s)
                    continue  # Something more urgent may have come meanwhile.
                self._queue.remove(wish.key)
                await self._explain(wish)
        finally:
            await self._tasks.stop()
            self._executor.close()

    async def _follow(self) -> None:
        async for event in self._runtime.book.follow():
            if event.state is AlarmState.UNACK and event.overlay is Overlay.NONE:
                self._raised(event)
            elif event.state in _OVER:
                self._is_over(event)

    def _is_over(self, event: AlarmEvent) -> None:
        """A model is stopped; what has just been raised is looked at once more, as a whole.

        When a spike raises its alarm, nobody can know that it is one.
        """
        key = (event.alarm, event.occurrence)
        self.desk.over(key)
        incident = self._incidents.led_by(key)
        if incident is None or incident.is_over or event.ts - incident.event.ts > AGAIN_NS:
            return
        incident.is_over = True
        self._tasks.start("again", self._again(key, AFTER_S))

    async def _again(self, key: Key, after_s: float, *, is_young: bool = False) -> None:
        """Look at an incident once more, later; at a young one only if it still is one then."""
        await asyncio.sleep(after_s)
        incident = self._incidents.led_by(key)
        if incident is not None and (incident.is_young or not is_young):
            self._wish(Wish(incident.event, self._runtime.clock.monotonic(), is_again=True))

    def _until_old(self, incident: Incident) -> None:
        """Have a jump that may be a spike looked at again when it can be told which it is."""
        if incident.is_young and incident.looks < YOUNG_LOOKS_MAX:
            after_s = YOUNG_S * 3.0**incident.looks
            incident.looks += 1
            self._tasks.start("again", self._again(incident.lead, after_s, is_young=True))

    async def _catch_up(self) -> None:
        """What is open and was not explained before a restart."""
        for event in self._runtime.book.open():
            key = (event.alarm, event.occurrence)
            if event.state is AlarmState.UNACK and not await self.is_stored(key):
                self._raised(event)

    def _raised(self, event: AlarmEvent) -> None:
        key = (event.alarm, event.occurrence)
        known = self.board.get(key)
        if (known is not None and known.state != "none") or event.condition == "HEALTH":
            return  # It was announced again, or it is the gateway's own and says all itself.
        incident = self._incidents.of(event)
        if incident is not None and PRIORITIES.index(event.priority) <= incident.urgency:
            self._joins.append((event, incident))
            self.board.led(key, incident.lead)
        else:
            self.desk.expect()
            self._wish(Wish(event, self._runtime.clock.monotonic()))
        self._ready.set()

    def _wish(self, wish: Wish) -> None:
        self.board.set(wish.key, "waiting")
        dropped = self._queue.put(wish)
        if dropped is not None:
            note = "Too many alarms came at once, so this one was not explained. Ask for it."
            self.board.set(dropped.key, "dropped", note)
        self._ready.set()

    def figures(self) -> dict[str, Any]:
        """Counts since the start, what waits, and the times of the last ones [s]."""
        took = sorted(self.took)
        return {
            "counts": {**dict(sorted(self.counts.items())), "dropped": self.dropped},
            "waiting": self.waiting,
            "waiting_for_model": self.desk.waiting,
            "took_p50_s": took[len(took) // 2] if took else None,
            "took_p95_s": took[len(took) * 95 // 100] if took else None,
        }

    @property
    def waiting(self) -> int:
        """Alarms that wait for their facts."""
        return len(self._queue)

    @property
    def dropped(self) -> int:
        """Alarms that found no room."""
        return self._queue.dropped

    # ------------------------------------------------------------------ the work

    async def _explain(self, wish: Wish) -> None:
        runtime, event = self._runtime, wish.event
        began_s = runtime.clock.monotonic()
        self.board.set(wish.key, "looking")
        try:
            scene = scene_of(runtime, event)
            path = runtime.store.path
            work = partial(make, scene, runtime.history, path, self._zone)
            made = self.desk.prepared(await self._executor.run(work))
        except _ERRORS as error:
            _log.exception("The alarm %s could not be explained.", event.alarm)
            self.counts["failed"] += 1
            note = f"This alarm could not be explained by an error of ours: {error!r}."
            self.board.set(wish.key, "failed", note)
            return
        self.counts["explained"] += 1
        ended_s = runtime.clock.monotonic()
        if not wish.is_asked and not wish.is_again:
            self.took.append(ended_s - wish.came_s)
        incident = self._incidents.begin(event, made.moved)
        incident.is_young = made.sheet.move.is_new
        self._until_old(incident)
        members = self._queue.take_all(lambda one: not one.is_asked and incident.takes(one.event))
        for one in members:
            incident.add(one.event)
            self.counts["joined"] += 1
        row = self._row(event, made, incident, ended_s - began_s)
        for key in incident.members:
            self.board.led(key, row.key)
        self.desk.put(Job(wish, row, made))
        await self._keep(row, *self._pointers(incident))

    def _row(self, event: AlarmEvent, made: Made, incident: Incident, took_s: float) -> Explained:
        return Explained(
            event.alarm,
            event.occurrence,
            event.ts,
            self._runtime.clock.now(),
            made.sheet.to_json(),
            {one: text.to_json() for one, text in made.texts.items()},
            tuple((one.id, one.weight) for one in made.causes),
            tuple(incident.members),
            took_s=took_s,
        )

    def _pointers(self, incident: Incident) -> list[Explained]:
        others = [key for key in incident.members if key != incident.lead]
        return [Explained(*key, incident.event.ts, lead=incident.lead) for key in others]

    async def _join_all(self) -> None:
        """Write down which alarms were taken into incidents."""
        joins, self._joins = self._joins, []
        rows: dict[Key, Explained] = {}
        for event, incident in joins:
            incident.add(event)
            self.counts["joined"] += 1
            key = (event.alarm, event.occurrence)
            rows[key] = Explained(*key, event.ts, lead=incident.lead)
            progress = self.board.get(incident.lead)
            if progress is not None and progress.explained is not None:
                lead = replace(progress.explained, members=tuple(incident.members))
                rows[incident.lead] = lead
                self.board.set(lead.key, progress.state, progress.note, lead)
        if rows:
            await self._keep(*rows.values())

    async def _keep(self, *rows: Explained) -> None:
        try:
            await keep(self._runtime.store, *rows)
        except Disconnected as error:  # It is shown from memory, and made anew after a restart.
            self.counts["not_stored"] += 1
            _log.warning("An explanation is not stored: %s", error)

    async def ask(self, alarm: str, occurrence: int) -> bool:
        """Have an alarm explained anew; False when nothing is known of it."""
        event = await self.annunciation(alarm, occurrence)
        if event is None:
            return False
        key = (event.alarm, event.occurrence)
        self.board.led(key, key)
        self._wish(Wish(event, self._runtime.clock.monotonic(), is_asked=True))
        return True


__all__ = ["ExplainOptions", "Explainer"]
