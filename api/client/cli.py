"""`envoyctl`: its words, and the only reader of its command line and environment."""

import importlib
import os
from collections.abc import Mapping
from typing import Any, cast

import click

from api.client.options import Call, Failure, call, whom
from reconciler.terminal import Terminal
from reconciler.usage import Program

# Word ⇒ where it is in api/client/commands, and what it is about; said here so that help loads none of them.
WORDS: Mapping[str, tuple[str, str]] = {
    "auth": ("auth:auth", "Log in and out."),
    "proxy": ("proxy:proxy", "Proxies: how they fare, and what they are configured with."),
    "deploy": ("deploy:deploy", "Take a version of a configuration to proxies, and watch it."),
    "cluster": ("cluster:cluster", "Clusters, and their endpoints."),
    "listener": ("entries:listener", "Listeners of a configuration."),
    "route": ("entries:route", "Routes of a configuration."),
    "cert": ("cert:cert", "Certificates."),
    "vm": ("vm:vm", "Virtual machines."),
    "container": ("container:container", "Containers on virtual machines."),
    "webhook": ("webhook:webhook", "Who is told what happens."),
    "bulk": ("bulk:bulk", "Several at once, all or none."),
    "events": ("events:events", "What happens, as it happens."),
    "metrics": ("metrics:metrics", "How much the whole system serves."),
    "audit": ("audit:audit", "Who has asked what."),
    "completion": ("completion:completion", "What a shell needs to complete words and names."),
}


class Words(Program):
    """Finds each command in its module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(WORDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in WORDS:
            return None
        module, _, attribute = WORDS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(importlib.import_module(f"api.client.commands.{module}"), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(word, about) for word, (_, about) in WORDS.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        # Before any option is read, and also while a shell completes a line and nothing is called.
        asked = Call(os.environ, Terminal.of(os.environ), url=os.environ.get("ENVOYCTL_SERVER", ""))
        extra.setdefault("obj", asked)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            failure.tell(call(ctx))
            raise click.exceptions.Exit(failure.error.exit_code) from failure


@click.command(
    cls=Words,
    name="envoyctl",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`envoyctl COMMAND --help` shows examples. Start with `envoyctl auth login --server URL --email YOU`.",
)
@click.version_option(package_name="convoy-fleet", message="%(version)s", help="The version of envoyctl.")
def envoyctl() -> None:
    """Manage a fleet of Envoy proxies over the envoy-fleet API.

    Names, UUIDs, and the first 8 digits or more of a UUID are taken wherever something is named.
    """


for option in reversed(whom()):
    option(envoyctl)


def main() -> None:
    envoyctl(prog_name="envoyctl")
