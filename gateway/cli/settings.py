"""Settings: what `genba run` can be told, and where each value comes from.

A later source wins: what is usual < the file genba.toml < the environment < the command line.
Each setting is declared once; its option, its line in the file, its variable and its help
follow from that (`_setting`).
"""

from __future__ import annotations

import argparse
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.cli._setting import BY_NAME, SETTINGS, TABLES, Setting
from gateway.cli._values import switch
from gateway.errors import ConfigError
from gateway.flow.findings import near

FILE: Final = Path("/etc/genba/genba.toml")
VARIABLES: Final = "variables"
"""The table of the file with a value for each ``${NAME}`` in the flows."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, and where that comes from."""

    setting: Setting
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings as they are now.

    Args:
        values: By name.
        variables: Values for ``${NAME}`` in flows, from the file.
        file: The file that was read; None when there is none.
        warnings: What should be mended, in sentences.
    """

    values: Mapping[str, Value]
    variables: Mapping[str, str]
    file: Path | None
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value


def take_config(parser: argparse.ArgumentParser) -> None:
    """Declare ``--config``."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"file with settings; else $GENBA_CONFIG, else {FILE} when there is one",
    )


def take_settings(parser: argparse.ArgumentParser) -> None:
    """Declare ``--config`` and an option for each setting; those left out stay None."""
    take_config(parser)
    for one in SETTINGS:
        words = f"{one.about[0].lower()}{one.about[1:-1]} [{one.unit}]".replace("%", "%%")
        if one.name == "flows":
            parser.add_argument("flows", nargs="*", type=Path, help=words)
        elif one.parse is switch:
            parser.add_argument(
                one.option, action=argparse.BooleanOptionalAction, default=None, help=words
            )
        elif one.many:
            parser.add_argument(
                one.option, action="append", type=one.parse, metavar="NAME", help=words
            )
        else:
            parser.add_argument(one.option, type=one.parse, metavar="VALUE", help=words)


def read(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that hold for a command.

    Args:
        args: Options that `take_settings` declared.
        environ: The environment.

    Raises:
        ConfigError: The file or a value is wrong; the text names which, and what to write.
    """
    file, table, warnings = _file(getattr(args, "config", None), environ)
    values: dict[str, Value] = {}
    for one in SETTINGS:
        given = getattr(args, one.name, None)
        if given not in (None, []):
            values[one.name] = Value(one, given, "command line")
        elif one.variable in environ:
            words = environ[one.variable]
            found: Any = words.split(os.pathsep) if one.many else words
            where = f"${one.variable}"
            values[one.name] = Value(one, _parsed(one, found, where), where)
        elif one.name in table:
            where = f"{file}: {one.name}"
            values[one.name] = Value(one, _parsed(one, table[one.name], where), str(file))
        else:
            values[one.name] = Value(one, one.usual(), "usual")
    variables = table.get(VARIABLES, {})
    if not isinstance(variables, dict) or not all(
        isinstance(one, str | int | float) for one in variables.values()
    ):
        raise ConfigError("This is no table of texts and numbers.", where=f"{file}: [{VARIABLES}]")
    texts = {str(name).lower(): str(one) for name, one in variables.items()}
    return Settings(values, texts, file, tuple(warnings))


def usual() -> Settings:
    """The settings of a gateway that nobody has told anything."""
    return Settings({one.name: Value(one, one.usual(), "usual") for one in SETTINGS}, {}, None)


def _file(
    named: Path | None, environ: Mapping[str, str]
) -> tuple[Path | None, dict[str, Any], list[str]]:
    asked = named or (Path(environ["GENBA_CONFIG"]) if "GENBA_CONFIG" in environ else None)
    path = asked or FILE
    try:
        if asked is None and not path.is_file():
            return None, {}, []
        mode = path.stat().st_mode
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        text = f"The settings cannot be read: {error.strerror or error}."
        raise ConfigError(text, where=str(path)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        text = f"This is no TOML: {error}."
        raise ConfigError(text, where=str(path), hint="genba config example") from error
    table = _flat(table, path)
    warnings = []
    if mode & stat.S_IWOTH:
        raise ConfigError(
            "Everybody on this machine can change it.", where=str(path), hint=f"chmod 0640 {path}"
        )
    if mode & stat.S_IROTH:
        warnings.append(f"Everybody on this machine can read {path}. Run: chmod 0640 {path}")
    return path, table, warnings


def _flat(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """All settings by their names, those of tables too.

    Raises:
        ConfigError: There is no such setting.
    """
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name in TABLES and isinstance(value, dict):
            found |= {f"{name}_{key}": one for key, one in value.items()}
        else:
            found[name] = value
    for name in found:
        if name not in BY_NAME and name != VARIABLES:
            hint = near(name, [*BY_NAME, *TABLES, VARIABLES])
            raise ConfigError(f"There is no setting {name!r}.", where=str(path), hint=hint)
    return found


def _parsed(one: Setting, found: Any, where: str) -> Any:
    """The value of what a file or the environment says.

    Raises:
        ConfigError: It is none.
    """
    try:
        if one.many:
            if not isinstance(found, list):
                raise argparse.ArgumentTypeError(f"{found!r} is no list; write [{found!r}]")
            return [one.parse(str(word)) for word in found]
        if isinstance(found, bool):
            return one.parse(str(found).lower())
        if isinstance(found, list | dict):
            raise argparse.ArgumentTypeError(f"{found!r} is no single value; write {one.unit}")
        return one.parse(str(found))
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise ConfigError(f"{error}.", where=where, hint=f"{one.about} [{one.unit}]") from error
