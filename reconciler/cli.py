"""`convoy`: the only reader of the command line and of the environment."""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from reconciler.commands.options import STATE, Call, Failure, call, no_color, state_named, store_named
from reconciler.terminal import Terminal
from reconciler.usage import Program

# Command ⇒ where it is; by what a person is doing.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "A fleet repository": {
        "init": "fleet:init",
        "validate": "validate:validate",
        "render": "render:render",
        "plan": "plan:plan",
        "comment": "comment:comment",
        "import": "importing:bring",
    },
    "Making it so": {
        "apply": "run:apply",
        "serve": "serve:serve",
        "sync": "sync:sync",
        "rollback": "rollback:rollback",
        "down": "run:down",
    },
    "Looking": {
        "status": "look:status",
        "get": "look:get",
        "explain": "explain:explain",
        "diff": "diff:diff",
        "history": "history:history",
        "logs": "logs:logs",
        "events": "events:events",
        "top": "top:top",
        "watch": "watch:watch",
        "doctor": "doctor:doctor",
    },
    "Stepping in": {
        "confirm": "orders:confirm",
        "suspend": "orders:suspend",
        "resume": "orders:resume",
        "take-over": "orders:take_over",
    },
    "Keeping it": {"backup": "backup:backup", "restore": "backup:restore"},
    "More": {
        "account": "account:account",
        "token": "token:token",
        "hook": "hook:hook",
        "secret": "secret:secret",
        "demo": "demo:demo",
        "notify": "notify:notify",
        "completion": "completion:completion",
    },
}


# What people look for under a word of another's.
ELSEWHERE: Mapping[str, str] = {
    "hold": "`convoy suspend` holds a resource as it is for a while, and `convoy rollback` holds content that must not come "
    "back; `convoy status` shows what is held, and why",
    "release": "`convoy resume` ends what `convoy suspend` began, `convoy confirm` lets held deletes go ahead, and a hold of "
    "`convoy rollback` is released by a commit with the trailer `Convoy-Release: KIND/NAME`",
}


class Commands(Program):
    """Finds each command in its module when it is asked for, so that none of them pays for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for commands in SECTIONS.values():
            if cmd_name in commands:
                module, _, attribute = commands[cmd_name].partition(":")
                return cast(click.Command, getattr(importlib.import_module(f"reconciler.commands.{module}"), attribute))
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in ELSEWHERE and not ctx.resilient_parsing:
            ctx.fail(f"There is no `convoy {args[0]}`: {ELSEWHERE[args[0]]}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                found = ((name, self.get_command(ctx, name)) for name in commands)
                formatter.write_dl([(name, command.get_short_help_str(100)) for name, command in found if command is not None])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        # Before any option is read, and also while a shell completes a line and nothing is called.
        extra.setdefault(
            "obj", Call(default_state(os.environ), Terminal.of(os.environ), token=os.environ.get("CONVOY_TOKEN", ""))
        )
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            failure.tell(call(ctx))
            raise click.exceptions.Exit(failure.exit_code) from failure


@click.command(
    cls=Commands,
    name="convoy",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`convoy COMMAND --help` shows examples. Start with `convoy init my-fleet`, or see `convoy demo`.",
)
@click.option(
    "--state",
    type=STATE,
    envvar="CONVOY_STATE",
    callback=state_named,
    expose_value=False,
    help="Convoy's own directory; also $CONVOY_STATE.  [$XDG_STATE_HOME/convoy]",
)
@click.option(
    "--store",
    metavar="URL",
    envvar="CONVOY_STORE",
    callback=store_named,
    expose_value=False,
    help="Where facts are kept: sqlite:///FILE or postgresql+psycopg://HOST/DATABASE; also $CONVOY_STORE, which is the place "
    "for a password.  [convoy.db in --state]",
)
@click.option("--no-color", is_flag=True, callback=no_color, expose_value=False, help="No colours; also $NO_COLOR.")
@click.version_option(package_name="convoy-fleet", message="%(version)s", help="The version of Convoy.")
def convoy() -> None:
    """Git holds what should be; Convoy makes it so: virtual machines, containers and Envoy proxies."""


def default_state(environment: Mapping[str, str]) -> Path | None:
    """https://specifications.freedesktop.org/basedir-spec/latest/: a relative path there is to be ignored."""
    named = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(named):
        return Path(named) / "convoy"
    home = environment.get("HOME", "")
    return Path(home) / ".local" / "state" / "convoy" if os.path.isabs(home) else None


def main() -> None:
    convoy(prog_name="convoy")
