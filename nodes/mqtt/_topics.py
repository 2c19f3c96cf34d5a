"""Topics: what a filter matches, and how a topic becomes the name of a tag.

Source: MQTT 5.0 (OASIS 2019), 4.7 Topic Names and Topic Filters; 4.8.2 Shared Subscriptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway import ConfigError

_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")
_UNFIT = re.compile(r"[\s+\x00]+")
TOPIC_BYTES_MAX = 65_535


def shared_part(pattern: str) -> str:
    """The filter inside a shared subscription, or the filter itself.

    >>> shared_part("$share/pool/plant/#"), shared_part("plant/#")
    ('plant/#', 'plant/#')
    """
    if pattern.startswith("$share/"):
        return pattern.split("/", 2)[2]
    return pattern


def check_filter(pattern: str) -> None:
    """Refuse a filter no broker takes.

    Raises:
        ConfigError: It is not a topic filter.

    >>> check_filter("plant/+/oil/#")
    >>> check_filter("plant/a+/oil")
    Traceback (most recent call last):
    gateway.errors.ConfigError: 'plant/a+/oil' is no topic filter. + must fill a whole level.
    """
    if pattern.startswith("$share/") and pattern.count("/") < 2:
        raise ConfigError(f"{pattern!r} is no topic filter.", hint="Write $share/<group>/<filter>.")
    levels = shared_part(pattern).split("/")
    if not pattern or "\0" in pattern or len(pattern.encode()) > TOPIC_BYTES_MAX:
        raise ConfigError("A topic filter has 1 to 65,535 bytes.")
    for position, level in enumerate(levels):
        if "+" in level and level != "+":
            raise ConfigError(f"{pattern!r} is no topic filter.", hint="+ must fill a whole level.")
        if "#" in level and (level != "#" or position != len(levels) - 1):
            raise ConfigError(f"{pattern!r} is no topic filter.", hint="# must be the last level.")


def overlap(left: str, right: str) -> bool:
    """Whether some topic matches both filters; a broker may then send it twice.

    >>> overlap("a/+/c", "a/b/#"), overlap("a/+", "a/b/c"), overlap("a/#", "a"), overlap("+", "$a")
    (True, False, True, False)
    """
    one, two = shared_part(left).split("/"), shared_part(right).split("/")
    for position, level in enumerate(one):
        if position == len(two):
            return level == "#"
        other = two[position]
        if "#" in (level, other):
            wild, named = (level, other) if level == "#" else (other, level)
            return not (position == 0 and wild == "#" and named.startswith("$"))
        if position == 0 and "+" in (level, other) and (level + other).startswith(("$", "+$")):
            return False
        if level != other and "+" not in (level, other):
            return False
    return len(one) == len(two) or two[len(one)] == "#"


def filter_of(template: str) -> str:
    """The topic filter behind a template: a name in braces is one level.

    >>> filter_of("plant/{area}/{line}/#")
    'plant/+/+/#'
    """
    return "/".join("+" if _NAME.fullmatch(level) else level for level in template.split("/"))


class TopicMap:
    """Turns topics into tag names by templates.

    Args:
        topics: Templates such as ``plant/{area}/{line}/{measure}``; ``+`` and ``#`` may stand
            in them too.
        tag: The name to make: ``{area}/{measure}``; ``{topic}`` is the whole topic.

    Raises:
        ConfigError: A template is no topic filter, or `tag` names what no template captures.

    >>> names = TopicMap(["plant/{area}/{line}/{measure}"], "{area}.{line}/{measure}")
    >>> names("plant/press hall/3/oil"), names("other/press/3/oil")
    ('press_hall.3/oil', None)
    >>> TopicMap(["a/#"], "{area}/x")
    Traceback (most recent call last):
    gateway.errors.ConfigError: The template 'a/#' captures no {area}, which is asked for.
    """

    def __init__(self, topics: list[str], tag: str = "{topic}") -> None:
        self.filters = [filter_of(template) for template in topics]
        self.tag = tag
        wanted = set(_NAME.findall(tag)) - {"topic"}
        self._patterns = []
        for template, pattern in zip(topics, self.filters, strict=True):
            check_filter(pattern)
            missing = wanted - set(_NAME.findall(template))
            if missing:
                raise ConfigError(
                    f"The template {template!r} captures no {{{min(missing)}}}, which is asked for."
                )
            self._patterns.append(re.compile(_regex(shared_part(template)), re.DOTALL))

    def fields(self, topic: str) -> dict[str, str] | None:
        """What the first matching template captures; None when none matches."""
        for pattern in self._patterns:
            found = pattern.match(topic)
            if found is not None:
                return {"topic": topic, **found.groupdict()}
        return None

    def __call__(self, topic: str) -> str | None:
        """The tag's name; None when no template matches."""
        fields = self.fields(topic)
        return None if fields is None else clean(fill(self.tag, fields))

    def fixed(self) -> list[str]:
        """Names of the tags that need no message to be known: topics without a wildcard."""
        names = []
        for pattern in self.filters:
            topic = shared_part(pattern)
            if "+" not in topic and "#" not in topic and (name := self(topic)) is not None:
                names.append(name)
        return names


def fill(template: str, fields: Mapping[str, str]) -> str:
    """A template with its names filled in; other braces stay.

    >>> fill('{"v": {value}}', {"value": "3"})
    '{"v": 3}'
    """
    return _NAME.sub(lambda found: fields.get(found[1], found[0]), template)


def names_in(template: str) -> set[str]:
    """The names a template asks for.

    >>> sorted(names_in("{tag}/{unit}"))
    ['tag', 'unit']
    """
    return set(_NAME.findall(template))


def clean(name: str) -> str:
    """A tag name without blanks and plus signs, at most 255 characters long.

    >>> clean("hall 1/oil + water")
    'hall_1/oil_water'
    """
    return _UNFIT.sub("_", name)[:255]


def topic_name(text: str) -> str:
    """A topic to publish to: a feature becomes a level, wildcards are not allowed.

    >>> topic_name("genba/press1/oil#mean")
    'genba/press1/oil/mean'
    """
    return text.replace("#", "/").replace("+", "_").replace("\0", "")


def _regex(template: str) -> str:
    levels = template.split("/")
    parts = []
    for position, level in enumerate(levels):
        named = _NAME.fullmatch(level)
        first = "(?!\\$)" if position == 0 else ""
        slash = "/" if position else ""
        if level == "#":
            parts.append(f"{first}(?:{slash}.*)?" if position else f"{first}.*")
        elif level == "+":
            parts.append(f"{slash}{first}[^/]*")
        elif named:
            parts.append(f"{slash}{first}(?P<{named[1]}>[^/]*)")
        else:
            parts.append(slash + re.escape(level))
    return "".join(parts) + r"\Z"
