"""`convoy completion`: what a shell needs to complete commands, options and names."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from reconciler.commands.options import Call, Command, common

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    cls=Command,
    examples=[
        ('eval "$(convoy completion bash)"', "in ~/.bashrc"),
        ('eval "$(convoy completion zsh)"', "in ~/.zshrc"),
        ("convoy completion fish > ~/.config/fish/completions/convoy.fish", "once"),
    ],
    exits=[(0, "the script is printed")],
)
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
@common()
def completion(call: Call, shell: str) -> None:
    """Print the completion script for a shell."""
    root = click.get_current_context().find_root().command
    # The script alone: `source()` would run a shell to learn its version, and the shell that reads it says so itself.
    script = SHELLS[shell](root, {}, "convoy", "_CONVOY_COMPLETE")
    words = script.source_template % script.source_vars()
    if call.json:
        call.terminal.json({"shell": shell, "script": words})
    else:
        call.terminal.raw(words)
