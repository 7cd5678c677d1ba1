"""docs/configuration.md has every key with its default, and no key that does not exist."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from processor import layers
from processor import settings as s

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.*) \|$", re.MULTILINE)
SECTIONS: dict[str, type[BaseModel]] = {
    name: found
    for name, field in s.Settings.model_fields.items()
    if (found := layers.model_of(field.annotation)) is not None
} | {"types.NAME": s.Type, "schedules.NAME": s.Schedule}
NEEDED = {"types.NAME": 'python = "a:b"', "schedules.NAME": 'type = "a"\ncron = "@daily"'}


def documented(section: str) -> dict[str, str]:
    """The keys in a section's table, with their default."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## [{section}]\n")
    return {key: default for key, default, _ in ROW.findall(rest.partition("\n## ")[0])}


def in_force(folder: Path, section: str, line: str) -> dict[str, object]:
    (folder / "x.toml").write_text(f"[{section}]\n{NEEDED.get(section, '')}\n{line}\n", encoding="utf-8")
    settings = s.load(folder / "x.toml", {})
    return {one.key: one.value for one in s.explain(settings)}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_and_no_other(section: str) -> None:
    assert list(documented(section)) == [name for name, _ in layers.named_fields(SECTIONS[section])]


@pytest.mark.parametrize(("section", "key"), [(section, key) for section in SECTIONS for key in documented(section)])
def test_the_documented_default_is_the_default(tmp_path: Path, section: str, key: str) -> None:
    default = documented(section)[key]
    if default.startswith("`"):
        written = in_force(tmp_path, section, f"{key} = {default.strip('`')}")
        assert written == in_force(tmp_path, section, "")
    elif default == "host name":
        assert dict(layers.named_fields(SECTIONS[section]))[key].default_factory is not None
    elif default == "as [processor]":
        assert key in s.INHERITED
    elif default == "required":
        assert dict(layers.named_fields(SECTIONS[section]))[key].is_required()
    elif default in ("as [retry]", "as [retention]"):
        assert default == f"as [{key}]"
    else:
        assert default == "none"
        assert dict(layers.named_fields(SECTIONS[section]))[key].default is None
        assert section != "types.NAME" or key not in s.INHERITED
