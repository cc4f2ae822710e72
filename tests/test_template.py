"""A repository made from the template: an editor finds what its settings name."""

import json
import re
from pathlib import Path

from click.testing import CliRunner

from reconciler.cli import convoy


def test_editor_settings_name_schemas_that_are_there(tmp_path: Path) -> None:
    """The schema for fleet files, and every schema it refers to, lies in the new repository itself."""
    assert CliRunner().invoke(convoy, ["init", "--no-git", str(tmp_path)]).exit_code == 0

    settings = json.loads((tmp_path / ".vscode" / "settings.json").read_text())
    (schema,) = settings["yaml.schemas"]
    found = tmp_path / schema
    names = re.findall(r'"\$ref": "([^"#]+)"', found.read_text())
    assert names
    assert [name for name in names if not (found.parent / name).is_file()] == []
