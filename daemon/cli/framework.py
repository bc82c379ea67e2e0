"""The shape of a command on top of click: single-dash long options, global flags anywhere, lazy loading, examples.

Theory: every long option exists as `-name` and `--name`, as Nomad's users type it; help shows the first. Flags are
never bundled (`-fn` is a flag named fn), so a misspelt option is named whole and with a suggestion. The global flags
are accepted by every group and command. A group knows its commands from the registry and imports one when it is called.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from daemon.cli import complain
from daemon.cli.console import Console, PipeClosed
from daemon.cli.registry import ALIASES, Entry, child
from daemon.cli.settings import Settings
from daemon.model.errors import EncampError

GLOBAL_HELP = "Global options: -address -region -namespace -no-color -force-color; see `encamp --help`."


class Option(click.Option):
    """An option that help lists with a single dash."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The left and right column of its help; the double-dash twin is left out."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        left = ", ".join(_without_twins(self.opts))
        if self.secondary_opts:
            left += f"/{_without_twins(self.secondary_opts)[0]}"
        if not self.is_flag and not self.count:
            left += f" {self.make_metavar(ctx)}"
        return left, record[1]


def _without_twins(names: Sequence[str]) -> list[str]:
    return [name for name in names if not name.startswith("--") or name[1:] not in names]


def option(*names: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare `-name` and its twin `--name`; a bare word at the end names the parameter."""
    declared: list[str] = []
    for name in names:
        declared.append(name)
        if name.startswith("-") and len(name) > 2:
            declared.append("/".join(f"-{part}" for part in name.split("/")))
    return click.option(*declared, cls=Option, **settings)


json_option = option("-json", "as_json", is_flag=True, help="Print JSON for programs.")
verbose_option = option("-verbose", "verbose", is_flag=True, help="Full ids and all details.")


def _global_params() -> list[click.Parameter]:
    def keep(name: str, fixed: Any = None) -> Callable[[click.Context, click.Parameter, Any], None]:
        def callback(ctx: click.Context, _: click.Parameter, value: Any) -> None:
            if value:
                setattr(settings_of(ctx), name, value if fixed is None else fixed[0])

        return callback

    def make(name: str, help_: str, callback: Any, **more: Any) -> click.Parameter:
        return Option([f"-{name}", f"--{name}"], help=help_, expose_value=False, callback=callback, **more)

    return [
        make("address", "Where the agent is (ENCAMP_ADDR).", keep("address"), metavar="ADDR"),
        make("region", "Region to ask (ENCAMP_REGION).", keep("region"), metavar="NAME"),
        make(
            "namespace",
            "Namespace, `*` for all in lists (ENCAMP_NAMESPACE).",
            keep("namespace"),
            metavar="NAME",
        ),
        make("no-color", "Never colour.", keep("color", [False]), is_flag=True),
        make("force-color", "Always colour.", keep("color", [True]), is_flag=True),
    ]


def settings_of(ctx: click.Context) -> Settings:
    """The one Settings of this call."""
    return ctx.find_root().ensure_object(Settings)


class _Common(click.Command):
    """What commands and groups share: global flags and exact words about wrong options."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.global_params = _global_params()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, then the global ones."""
        return [*super().get_params(ctx), *self.global_params]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse options that do not exist before click would read them letter by letter."""
        if not ctx.resilient_parsing:
            self._check_options(ctx, args)
        return super().parse_args(ctx, args)

    def _check_options(self, ctx: click.Context, args: Sequence[str]) -> None:
        known: dict[str, click.Option | None] = {
            name: param
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in (*param.opts, *param.secondary_opts)
        }
        known.update(dict.fromkeys(("-h", "-help", "--help")))
        rest = iter(args)
        for arg in rest:
            if arg == "--" or (not arg.startswith("-") and not ctx.allow_interspersed_args):
                return
            if not arg.startswith("-") or arg == "-":
                continue
            name, equals, _ = arg.partition("=")
            if name not in known:
                if name[:2] in known and name[2:].isdigit():
                    continue
                _refuse_option(ctx, name, known)
            param = known[name]
            if param is not None and not equals and not param.is_flag and not param.count:
                next(rest, None)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Options of this command; the global ones in full only at the top."""
        show_all = ctx.parent is None
        rows = [
            record
            for param in self.get_params(ctx)
            if (show_all or param not in self.global_params)
            and param.name != "help"
            and (record := param.get_help_record(ctx)) is not None
        ]
        if rows:
            with formatter.section("Options"):
                formatter.write_dl(rows)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        if not show_all:
            formatter.write_paragraph()
            formatter.write_text(GLOBAL_HELP)


def _refuse_option(ctx: click.Context, name: str, known: Iterable[str]) -> NoReturn:
    near = difflib.get_close_matches(
        f"-{name.lstrip('-')}", [each for each in known if each[:2] != "--"], n=2
    )
    raise click.NoSuchOption(name, possibilities=near, ctx=ctx)


class Command(_Common):
    """A command with an example in its help. `error_code` is what it exits with when it fails."""

    def __init__(self, *args: Any, example: str = "", error_code: int = 1, **settings: Any) -> None:
        context = {"help_option_names": ["-h", "-help", "--help"], **settings.pop("context_settings", {})}
        super().__init__(*args, context_settings=context, **settings)
        self.example = example
        self.error_code = error_code

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; errors meant for people are explained, anything else is a bug and shows its trace."""
        try:
            return super().invoke(ctx)
        except EncampError as error:
            complain.explain(error, Console(settings_of(ctx).color))
        except BrokenPipeError as error:
            # click would answer this one itself, with exit code 1
            raise PipeClosed from error
        except OSError as error:
            complain.os_error(error, Console(settings_of(ctx).color))
        return self.error_code

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example, as it is typed."""
        if self.example:
            with formatter.section("Example"):
                for line in self.example.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class LazyGroup(_Common, click.Group):
    """A group whose commands come from the registry and are imported when they are called."""

    def __init__(self, path: str, **settings: Any) -> None:
        context = {"help_option_names": ["-h", "-help", "--help"], "max_content_width": 100}
        super().__init__(path.rpartition(" ")[2] or "encamp", context_settings=context, **settings)
        self.path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of its commands, in the registry's order."""
        return [entry.name for entry in child(self.path)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command. Top-level short names (`run`, `logs`) lead to the full ones."""
        path = f"{self.path} {cmd_name}".strip()
        if not self.path and cmd_name in ALIASES:
            path = ALIASES[cmd_name]
        entry = next((each for each in child(path.rpartition(" ")[0]) if each.path == path), None)
        return None if entry is None else load(entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a misspelt name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(
                name, [*self.list_commands(ctx), *(ALIASES if not self.path else ())], n=2
            )
            hint = f" Did you mean {' or '.join(repr(each) for each in near)}?" if near else ""
            called = f"encamp {self.path}".strip()
            raise click.UsageError(f"No such command {name!r}.{hint} `{called} --help` lists them.", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands from the registry: help imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.help) for entry in child(self.path)])
        if not self.path:
            names = ", ".join(sorted(ALIASES))
            formatter.write_paragraph()
            formatter.write_text(f"Short forms at the top level: {names}.")


def load(entry: Entry) -> click.Command:
    """The command of an entry; a group is made on the spot."""
    if not entry.target:
        return LazyGroup(entry.path, help=entry.help)
    module, _, name = entry.target.partition(":")
    found = getattr(import_module(f"daemon.cli.commands.{module}"), name)
    assert isinstance(found, click.Command)
    return found


def command(
    name: str, *, example: str = "", error_code: int = 1, **settings: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command."""
    return click.command(name, cls=Command, example=example, error_code=error_code, **settings)
