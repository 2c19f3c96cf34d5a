"""Let through the events that fit."""

from __future__ import annotations

from gateway import Alarms, Context, Events, Example, Outputs, Port, Transform
from nodes._events import ALARMS, IN, Rule, RuleConfig, events_of


class FilterConfig(RuleConfig):
    pass


class Filter(Transform[FilterConfig, Events | Alarms]):
    """Let through the events that fit: by topic, by what stands in them, by an expression.

    All that is asked for must hold. Paths lead into the event's data, such as `user.name` or
    `rows.0`. Alarms may come in as well: they become events whose topic is `alarm/raised`,
    `alarm/cleared` and so on, with tag, condition, state, priority, value, limit, unit, text and
    actor, so they can go to mails and webhooks with words of one's own.

    State: none.
    Cost: ~2 µs an event and condition.
    """

    Config = FilterConfig
    inputs = (IN, ALARMS)
    outputs = (
        Port("out", "events", "Events that fit."),
        Port("rest", "events", "The others."),
    )
    examples = (
        Example(
            "Errors of one service",
            {"topics": ["log/web/#"], "equals": {"level": ["error", "fatal"]}},
            given='1s log/web/a {"level": "error"}\n2s log/web {"level": "info"}\n'
            '3s log/db {"level": "error"}',
            expect={
                "out": '1s log/web/a {"level": "error"}',
                "rest": '2s log/web {"level": "info"}\n3s log/db {"level": "error"}',
            },
        ),
        Example(
            "By a number inside, and by words",
            {
                "where": "status >= 500 and ms > 100",
                "numbers": {"status": "response.status", "ms": "ms"},
                "contains": {"path": "/pay"},
            },
            given='1s r {"response": {"status": 503}, "ms": 250, "path": "/Pay/now"}\n'
            '2s r {"response": {"status": 503}, "path": "/pay"}',
            expect='1s r {"ms": 250, "path": "/Pay/now", "response": {"status": 503}}',
        ),
        Example(
            "Alarms that are raised, as events",
            {"topics": ["alarm/raised"]},
            given={
                "alarms": "5s TT101 HI raised UNACK 76 75\n9s TT101 HI returned RTNUN 74 75",
            },
            expect={
                "out": '5s alarm/raised {"actor": "", "alarm": "test:TT101:HI", "condition": "HI", '
                '"limit": 75.0, "occurrence": 0, "overlay": "NONE", "priority": "medium", '
                '"state": "UNACK", "tag": "TT101", "text": "", '
                '"time": "1970-01-01T00:00:05.000Z", "unit": "", "value": 76.0, '
                '"change": "raised"}',
            },
        ),
    )

    def __init__(self, config: FilterConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._rule = Rule(config)

    def process(self, message: Events | Alarms, port: str) -> Outputs:
        events = events_of(message, self.ctx)
        fits = self._rule.fits(events)
        out = tuple(e for e, fit in zip(events, fits, strict=True) if fit)
        rest = tuple(e for e, fit in zip(events, fits, strict=True) if not fit)
        return {port: part for port, part in (("out", out), ("rest", rest)) if part}
