"""`envoyctl completion`: what a shell needs to complete words and names."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from api.client.options import Call, common
from reconciler.usage import Command

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    cls=Command,
    examples=[
        ('eval "$(envoyctl completion bash)"', "in ~/.bashrc"),
        ('eval "$(envoyctl completion zsh)"', "in ~/.zshrc"),
        ("envoyctl completion fish > ~/.config/fish/completions/envoyctl.fish", "once"),
    ],
    exits=[(0, "the script is printed")],
)
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
@common
def completion(call: Call, shell: str) -> None:
    """Print the completion script for a shell."""
    root = click.get_current_context().find_root().command
    script = SHELLS[shell](root, {}, "envoyctl", "_ENVOYCTL_COMPLETE")
    words = script.source_template % script.source_vars()
    if call.output == "table":
        call.terminal.raw(words)
    else:
        call.answer({"shell": shell, "script": words}, None)
