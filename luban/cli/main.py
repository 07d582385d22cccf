"""luban: the command line. Results go to stdout, progress and logs to stderr; exit codes are stable.

0 done · 1 internal · 2 recipe or command line · 3 data · 4 training · 5 bundle · 6 machine · 130, 143 interrupted and saved
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from luban import __version__
from luban.cli.logs import start_logging
from luban.cli.words import speak_chinese
from luban.errors import LubanError, MachineError, RecipeError
from luban.messages import tr

ORDER = (
    "new",
    "check",
    "plan",
    "train",
    "evaluate",
    "predict",
    "explain",
    "serve",
    "monitor",
    "export",
    "example",
    "tasks",
    "models",
    "doctor",
)
NOT_COMMANDS = ("__init__", "main", "logs", "output", "progress", "words")


class Commands(click.Group):
    """Finds a command in the file of its name."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order of a first use; new files at the end."""
        found = {path.stem for path in Path(__file__).parent.glob("*.py")} - {*NOT_COMMANDS}
        return [name for name in ORDER if name in found] + sorted(found - {*ORDER})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import one command's file."""
        if name not in self.list_commands(context):
            return None
        return importlib.import_module(f"luban.cli.{name}").command

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        """An unknown command is an error with the nearest name."""
        if args and self.get_command(context, args[0]) is None and not args[0].startswith("-"):
            raise RecipeError("L190", tr("no such command"), where="luban", received=args[0], allowed=self.list_commands(context))
        return super().resolve_command(context, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=tr("From your own data to a deployed, explained model. Begin with `luban new DATA`, or `luban example reviews-zh`."),
)
@click.version_option(__version__, prog_name="luban", help=tr("Show the version and exit."))
def luban() -> None:
    """The group of all commands."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every error is one line with a code and a fix."""
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    speak_chinese()
    start_logging(quiet="--quiet" in arguments)
    sys.exit(run(arguments, as_json))


def run(arguments: list[str], as_json: bool) -> int:
    """The exit code."""
    try:
        return luban.main(arguments, prog_name="luban", standalone_mode=False) or 0
    except LubanError as error:
        show_error(error.as_dict() | {"exit_code": error.exit_code}, error.line(), as_json)
        return error.exit_code
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        usage = RecipeError(
            "L191", error.format_message(), where="luban " + " ".join(arguments[:1]), fix=tr("`luban COMMAND --help` shows the options")
        )
        show_error(usage.as_dict() | {"exit_code": 2}, usage.line(), as_json)
        return 2
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo(tr("interrupted; what was trained is saved, the same command goes on"), err=True)
        return getattr(error.__cause__ or error, "exit_code", 130)  # click wraps what interrupts it
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        what = tr("the system refuses: {why}", why=error.strerror or str(error))
        refused = MachineError("L506", what, where=str(error.filename or ""), fix=tr("check space and rights of the folder"))
        show_error(refused.as_dict() | {"exit_code": refused.exit_code}, refused.line(), as_json)
        return refused.exit_code
    except Exception as error:  # noqa: BLE001 the last line of defence: a person never sees a traceback unasked
        return internal(error, as_json)


def internal(error: Exception, as_json: bool) -> int:
    """An error of ours: one line, and the traceback only where asked for."""
    if os.environ.get("LUBAN_TRACEBACK"):
        traceback.print_exception(error)
    what = tr("internal error: {kind}: {why}", kind=type(error).__name__, why=str(error)[:200])
    fix = tr("set LUBAN_TRACEBACK=1 and report what it prints")
    show_error({"code": "L999", "what": what, "fix": fix, "exit_code": 1}, f"L999 {what} → {fix}", as_json)
    return 1


def show_error(facts: dict[str, Any], line: str, as_json: bool) -> None:
    """To stderr; as JSON to stdout where asked for."""
    if as_json:
        click.echo(json.dumps({"error": facts}, ensure_ascii=False))
    click.echo(click.style(tr("error"), fg="red", bold=True) + " " + line.replace("\n", " "), err=True)
