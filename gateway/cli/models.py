"""genba models: which language models there are, which does what, and try or install one."""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from gateway.api.client import URL
from gateway.api.client_models import ModelClient
from gateway.engine.program import module_words
from gateway.errors import ConfigError
from gateway.flow.generate import TASKS
from models.llm import binding

_KEPT_S: Final = 150.0
"""A large model is loaded first, so an answer may take a while."""


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "models", help="list, add, try and install language models"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list")
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    verbs.add_parser("list", help="models, their state, and files; also without an action")
    _add_add(verbs)
    remove = verbs.add_parser("remove", help="take a model out of the list; its file stays")
    remove.add_argument("name", help="the model")
    rules = verbs.add_parser("rules", help="print the list with its rules, or save an edited one")
    rules.add_argument("file", nargs="?", help="the list to save; - is standard input")
    tries = verbs.add_parser("try", help="ask something")
    tries.add_argument("text", help="the question")
    tries.add_argument("--model", default="", help="which; else the rules say")
    tries.add_argument("--task", choices=TASKS, default="chat", help="what for")
    tries.add_argument("--language", default="en", help="of the answer")
    tries.add_argument(
        "--may-leave", action="store_true", help="the question holds no data of the plant"
    )
    verbs.add_parser("forget", help="drop all answers that are kept")
    install = verbs.add_parser("install", help="install what runs local models on this machine")
    install.add_argument("--jobs", type=int, default=2, help="compilers at once")
    install.add_argument(
        "--background", action="store_true", help="go on beside, at the lowest priority; say where"
    )
    install.add_argument("--again", action="store_true", help="also where it is installed already")


def _add_add(verbs: Any) -> None:
    one = verbs.add_parser("add", help="add a model, or change one")
    one.add_argument("name", help="what to call it here")
    where = one.add_mutually_exclusive_group(required=True)
    where.add_argument("--file", help="a GGUF file in the folder `models` of the state")
    where.add_argument("--url", help="a server, such as http://10.0.0.9:8080/v1")
    one.add_argument("--model", help="the model's name at the server")
    one.add_argument("--key", help="name of the secret with the key of the server")
    one.add_argument("--inside", action="store_true", help="the server stands in the plant")
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="any other option, such as context=4096 (genba docs models)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    if args.verb == "install":
        return _install(args)
    client = ModelClient(args.api, timeout_s=_KEPT_S)
    match args.verb:
        case "add":
            print(client.add_model(args.name, _options(args)))
        case "remove":
            print(client.remove_model(args.name))
        case "rules" if args.file:
            text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text("utf-8")
            print(client.set_models(text))
        case "rules":
            print(client.models()["text"], end="")
        case "try":
            _try(client, args)
        case "forget":
            print(client.forget_answers())
        case _:
            _list(client.models())
    return 0


def _try(client: ModelClient, args: argparse.Namespace) -> None:
    found = client.try_model(
        args.text,
        model=args.model,
        task=args.task,
        language=args.language,
        is_private=not args.may_leave,
    )
    print(found["text"])
    cost = f", cost {found['cost']:.4g}" if found["cost"] else ""
    kept = ", answered before" if found["is_cached"] else ""
    print(
        f"\n{found['model']}: {found['tokens_in']} + {found['tokens_out']} tokens in "
        f"{found['took_s']:.2f} s{cost}{kept}. {found['reason']}"
    )


def _list(found: dict[str, Any]) -> None:
    if found["problem"]:
        print(f"The usual models stand: {found['problem']}\n")
    for row in found["models"]:
        options, counts = row["options"], row["counts"]
        where = options.get("url") or options.get("file")
        took = f"{row['latency_s']:.2f} s" if row["latency_s"] is not None else "-"
        print(f"{row['model']:<20} {options['kind']:<7} {where}")
        print(
            f"{'':<20} {row['state']}; answered {counts.get('answered', 0)} of "
            f"{counts.get('asked', 0)}, usually in {took}; kept answers used "
            f"{counts.get('cached', 0)}"
        )
    for file in found["files"]:
        if not file["model"] and not (file["file"] == "own" and file["problem"]):
            hint = (
                file["problem"] or f"not in the list: genba models add NAME --file {file['file']}"
            )
            print(f"{file['file']:<20} file    {hint}")
    runs = found["binding"]
    print(f"\nLocal models are run by {runs}." if runs else "\nLocal models: genba models install")
    print(f"{found['answers']} answers are kept.")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """A model as the list has it."""
    options: dict[str, Any] = {}
    for word in args.set:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is no OPTION=VALUE.")
        options[key] = value.split(",") if key in ("tasks", "languages") else value
    if args.file:
        return {"kind": "gguf", "file": args.file, **options}
    if not args.model:
        raise ConfigError("Say which model of the server: --model NAME")
    given = {"kind": "server", "url": args.url, "model": args.model, **options}
    if args.key:
        given["key"] = args.key
    if args.inside:
        given["is_inside"] = True
    return given


def _install(args: argparse.Namespace) -> int:
    if (there := binding.installed()) and not args.again:
        if not args.background:
            print(f"{there} is installed already.")
        return 0
    if args.background:
        return _beside(args)
    try:
        print(binding.install(_step, jobs=args.jobs))
    except binding.Failed as error:
        print(f"genba: {error}", file=sys.stderr)
        print("Everything else runs without it; explanations come from templates.")
        return 1
    return 0


def _beside(args: argparse.Namespace) -> int:
    """Begin it in a process of its own; a second one ends at once, since the first has the lock."""
    folder = binding.cache()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "install.log"
    with (folder / "install.lock").open("w") as lock, log.open("wb") as out:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"What runs language models is being prepared already: {log}")
            return 0
        subprocess.Popen(
            ["nice", "-n", "19", *module_words("gateway"), "models", "install", "--jobs", "1"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=[lock.fileno()],  # It has the lock until it ends.
            start_new_session=True,
        )
    print(f"What runs language models is prepared meanwhile, in some minutes: {log}")
    print("Until then explanations come from templates, which are as true.")
    return 0


def _step(text: str) -> None:
    """A line a step; the percents of a terminal stay on one line."""
    if sys.stdout.isatty() and text.endswith("%"):
        print(f"\r{text}", end="" if "100 %" not in text else "\n", flush=True)
    else:
        print(text, flush=True)
