"""The layout: where boxes stand on the canvas, in a file of its own beside the flow.

So moving a box changes no byte of the flow file, and a flow without a layout still runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.data.whole import write_whole
from gateway.errors import ConfigError

Layout = dict[str, tuple[float, float]]
"""(x, y) of each node, in boxes from the upper left corner."""


def layout_path(flow_file: str | Path) -> Path:
    """The layout that belongs to a flow file.

    >>> layout_path("flows/press.yaml").name, layout_path("press.flow.yaml").name
    ('press.layout.json', 'press.layout.json')
    """
    path = Path(flow_file)
    stem = path.name.removesuffix(".yaml").removesuffix(".yml").removesuffix(".flow")
    return path.with_name(f"{stem}.layout.json")


def load_layout(flow_file: str | Path) -> Layout:
    """Where the boxes of a flow stand; empty when no one has moved any.

    Raises:
        ConfigError: The file is no layout; deleting it costs only the positions.
    """
    path = layout_path(flow_file)
    try:
        data = json.loads(path.read_text("utf-8"))
        return {str(node): (float(x), float(y)) for node, (x, y) in data.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"This is no layout: {error}.",
            where=path.name,
            hint="Delete the file; the boxes are then placed anew.",
        ) from error


def save_layout(flow_file: str | Path, layout: Mapping[str, tuple[float, float]]) -> None:
    """Write the layout, a node a line in order of their names."""
    rows = [f"  {json.dumps(node)}: [{x:g}, {y:g}]" for node, (x, y) in sorted(layout.items())]
    write_whole(layout_path(flow_file), "{\n" + ",\n".join(rows) + "\n}\n" if rows else "{}\n")


__all__ = ["Layout", "layout_path", "load_layout", "save_layout"]
