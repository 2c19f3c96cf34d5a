"""What each type of node of Node-RED becomes, and what to do about those that become nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.flow.expression import Formula
from gateway.flow.nodered_devices import DEVICES, tag_of
from gateway.flow.nodered_export import Export, Item, Left, Made, list_of, number_of, text_of

Result = Made | Left
_UNITS_S: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}


def make(export: Export, item: Item) -> Result:
    """What a node becomes."""
    kind = item["type"]
    tab = text_of(item, "z")
    if tab in export.subflows and kind != "subflow":
        return Left(f"It is inside the subflow {export.subflows[tab]!r}; see there.")
    if kind.startswith("subflow:"):
        name = export.subflows.get(kind.removeprefix("subflow:"), "?")
        return Left(f"There are no subflows: put the nodes of {name!r} here, each time.")
    if kind in _ADVICE:
        return Left(_ADVICE[kind])
    if maker := {**DEVICES, **_MAKERS}.get(kind):
        return maker(export, item)
    if kind.startswith(("ui_", "ui-")):
        return Left("Dashboards are made from tags: open Dashboards and choose the tags.")
    return Left(f"There is no node like {kind!r} here. `genba nodes` lists all there are.")


_EVENTS: Final = (
    "Alarms and reports do this for every flow: a failed node, a lost connection and refused rows "
    "are shown, counted and kept without a node for it."
)
_WEB: Final = "There is no node for HTTP. Put the value on MQTT, or use the API of this gateway."
_RAW: Final = (
    "There is no node for raw TCP or UDP. A device that sends lines can be read by a "
    "serial.source behind a serial server, or by its own protocol."
)
_ADVICE: Final[Mapping[str, str]] = {
    "catch": _EVENTS,
    "status": _EVENTS,
    "complete": "A sink is done when its row left the outbox; nothing has to wait for that.",
    "group": "A frame around boxes means nothing; there are no frames here.",
    "subflow": "There are no subflows: its nodes are to be put where it is used.",
    "link call": "A flow cannot be called: wire the nodes themselves.",
    "http in": _WEB,
    "http response": _WEB,
    "http request": _WEB,
    "websocket in": _WEB,
    "websocket out": _WEB,
    "tcp in": _RAW,
    "tcp out": _RAW,
    "tcp request": _RAW,
    "udp in": _RAW,
    "udp out": _RAW,
    "exec": "A flow cannot start programs. Let the program read a topic of MQTT.",
    "template": "Texts are made by the sink: see `template` of mqtt.sink.",
    "trigger": "A value that comes back after a time is an alarm with a delay, or alarm.stale.",
    "split": "A sample is one value already; arrays are taken apart by the source.",
    "join": "Several tags are put together by compute.expression with `inputs`.",
    "batch": "Values are put together by a window: window.tumbling or window.count.",
    "sort": "Windows sort by time by themselves.",
    "file in": "A file is read by file.csv_source, when the flow starts: add one with its path.",
    "watch": "There is no node that watches files.",
    "csv": "A CSV file is read by file.csv_source.",
    "xml": "There is no node for XML. Let the device send JSON.",
    "html": "There is no node for HTML.",
    "yaml": "There is no node for YAML. Let the device send JSON.",
}
"""By hand: every other core node has a maker, or is named as one that is not known."""


def _hand_on(text: str) -> Callable[[Export, Item], Result]:
    return lambda export, item: Made("", text=text)


def _inject(export: Export, item: Item) -> Result:
    after = export.after(item)
    if after and all(one["type"] == "OpcUa-Item" for one in after):
        return Made("", text="Not needed: a subscription sends by itself.", takes=False)
    value = number_of(item, "payload")
    kind = text_of(item, "payloadType")
    if kind == "bool":
        value = float(text_of(item, "payload") == "true" or item.get("payload") is True)
    if kind not in ("num", "bool") or value is None or not math.isfinite(value):
        return Left(
            f"It sends {kind or 'str'} that is no number. test.inject sends numbers; a "
            "source needs no trigger here."
        )
    tag = tag_of(text_of(item, "topic")) or tag_of(text_of(item, "name")) or "inject"
    config: dict[str, Any] = {"rows": f"{tag} 0s {value:g}"}
    if text_of(item, "crontab"):
        return Made("test.inject", config, "changed", "Sends once: there is no clock time here.")
    if repeat := number_of(item, "repeat"):
        config["every_s"] = repeat
        return Made("test.inject", config, "carried", f"Sends {tag} every {repeat:g} s.")
    text = f"Sends {tag} once, when the flow starts; there is no button."
    return Made("test.inject", config, "changed", text)


def _debug(export: Export, item: Item) -> Result:
    return Made("log.sink", {}, "changed", "Writes samples, not whole messages, to the log.")


def _change(export: Export, item: Item) -> Result:
    rules = [rule for rule in list_of(item, "rules") if isinstance(rule, Mapping)]
    if len(rules) != 1:
        return Left(f"It has {len(rules)} rules; write each as compute.expression or rename.")
    (rule,) = rules
    kind, what, to = (text_of(rule, key) for key in ("t", "p", "to"))
    if (kind, what) == ("set", "payload") and text_of(rule, "pt") in ("msg", ""):
        formula = to if text_of(rule, "tot") in ("num", "jsonata") else ""
        formula = re.sub(r"\b(?:msg\.)?payload\b", "value", formula)
        if formula and _is_formula(formula):
            text = f"Computes {formula}; the JSONata was arithmetic."
            return Made("compute.expression", {"formula": formula}, "changed", text)
    if (kind, what, text_of(rule, "tot")) == ("set", "topic", "str") and tag_of(to):
        config = {"match": "{name}", "to": tag_of(to)}
        text = "Every tag with a name of one level gets this name: two tags become one."
        return Made("compute.rename", config, "changed", text)
    return Left(f"The rule {kind} {what} has no place: a sample has a value, a time and a quality.")


def _switch(export: Export, item: Item) -> Result:
    rules = [rule for rule in list_of(item, "rules") if isinstance(rule, Mapping)]
    prop = text_of(item, "property") or "payload"
    advice = "For a limit use alarm.limit; to choose tags give the next node a filter in `tags`."
    if prop != "payload" or len(rules) != 1:
        return Left(f"It has {len(rules)} ways out by {prop}. {advice}")
    (rule,) = rules
    low, high = number_of(rule, "v"), number_of(rule, "v2")
    config: dict[str, Any]
    match text_of(rule, "t"):
        case "gte" | "gt" if low is not None:
            config = {"low": low}
        case "lte" | "lt" if low is not None:
            config = {"high": low}
        case "btwn" if low is not None and high is not None and low != high:
            config = {"low": min(low, high), "high": max(low, high)}
        case kind:
            return Left(f"The rule {kind!r} has no node. {advice}")
    text = f"Drops what is outside; a value at the very end is inside. {advice}"
    return Made("filter.range", {**config, "outside": "drop"}, "changed", text)


def _function(export: Export, item: Item) -> Result:
    code = text_of(item, "func")
    lines = len(code.splitlines())
    found = re.fullmatch(r"\s*msg\.payload\s*=\s*(?P<what>[^;\n]+);?\s*return\s+msg;?\s*", code)
    formula = re.sub(r"\bmsg\.payload\b", "value", found["what"]).strip() if found else ""
    if formula and _is_formula(formula):
        return Left(
            f"Code is not carried over. This one is arithmetic: a compute.expression with "
            f"formula {formula!r} does the same."
        )
    return Left(
        f"Code is not carried over ({lines} lines of JavaScript). Write it as compute.expression, "
        "a window or an alarm, or as a node of your own: `genba docs add_a_node`."
    )


def _range(export: Export, item: Item) -> Result:
    ends = [number_of(item, key) for key in ("minin", "maxin", "minout", "maxout")]
    action = text_of(item, "action") or "scale"
    if any(end is None for end in ends) or ends[0] == ends[1] or action not in ("scale", "clamp"):
        return Left(f"The action {action!r} with these ends has no node; see compute.scale.")
    a, b, c, d = (float(end or 0.0) for end in ends)
    if action == "scale" and not item.get("round"):
        config = {"raw": [a, b], "scaled": [c, d]}
        return Made("compute.scale", config, "carried", f"Scales {a:g}..{b:g} to {c:g}..{d:g}.")
    formula = f"(value - {_literal(a)}) * {_literal((d - c) / (b - a))} + {_literal(c)}"
    if action == "clamp":
        formula = f"clamp({formula}, {_literal(min(c, d))}, {_literal(max(c, d))})"
    if item.get("round"):
        formula = f"round({formula})"
    return Made("compute.expression", {"formula": formula}, "carried", f"Computes {formula}.")


def _delay(export: Export, item: Item) -> Result:
    if text_of(item, "pauseType") not in ("rate", "timed", "queue"):
        return Left("A sample carries its own time, so there is nothing to delay.")
    rate, units = number_of(item, "rate"), number_of(item, "nbRateUnits") or 1.0
    unit_s = _UNITS_S.get(text_of(item, "rateUnits") or "second")
    if not rate or rate < 0 or units <= 0 or unit_s is None:
        return Left("It has no rate that can be read; filter.rate limits samples of each tag.")
    config = {"every_s": round(units * unit_s / rate, 6)}
    if item.get("drop") and text_of(item, "pauseType") == "rate":
        text = "Limits each tag by itself, by the time of its samples."
        return Made("filter.rate", config, "changed", text)
    text = "Drops what is too much, of each tag by itself; Node-RED would have sent it later."
    return Made("filter.rate", config, "changed", text)


def _rbe(export: Export, item: Item) -> Result:
    func, gap = text_of(item, "func") or "rbe", text_of(item, "gap")
    if func == "rbe":
        text = "Passes what changes at all, by tag, and a change of quality."
        return Made("filter.deadband", {"band": 1e-12}, "changed", text)
    if func in ("deadband", "deadbandEq") and not gap.endswith("%"):
        band = number_of(item, "gap")
        if band is not None and band > 0:
            text = "Compares with the value that passed last, by tag."
            is_same = func == "deadband" and text_of(item, "inout") != "in"
            verdict = "carried" if is_same else "changed"
            return Made("filter.deadband", {"band": band}, verdict, text)  # type: ignore[arg-type]  # a verdict
    if gap.endswith("%"):
        return Left("filter.deadband knows percent of a tag's range, not of its last value.")
    return Left(f"The filter {func!r} has no node; filter.range drops values out of a range.")


def _file(export: Export, item: Item) -> Result:
    path = re.split(r"[\\/]", text_of(item, "filename"))[-1]
    if not path or text_of(item, "filenameType") not in ("", "str"):
        return Left("Its file is named by the message; file.jsonl_sink writes to one file.")
    if text_of(item, "overwriteFile") == "delete":
        return Left("A flow deletes no files.")
    text = "Appends a JSON object a line, into the gateway's own folder, and begins new files."
    return Made("file.jsonl_sink", {"path": f"{path}.jsonl"}, "changed", text)


def _is_formula(text: str) -> bool:
    try:
        Formula(text, ["value"])
    except ConfigError:
        return False
    return True


def _literal(value: float) -> str:
    """A number that the expression language reads back exactly."""
    return json.dumps(value)


_MAKERS: Final[Mapping[str, Callable[[Export, Item], Result]]] = {
    "inject": _inject,
    "debug": _debug,
    "change": _change,
    "switch": _switch,
    "function": _function,
    "range": _range,
    "delay": _delay,
    "rbe": _rbe,
    "filter": _rbe,
    "file": _file,
    "json": _hand_on("Not needed: the source reads JSON."),
    "link in": _hand_on("Its wires go straight to where they lead."),
    "link out": _hand_on("Its wires go straight to where they lead."),
    "junction": _hand_on("Its wires go straight to where they lead."),
    "comment": _hand_on("Stands as a comment above the nodes."),
}

__all__ = ["make"]
