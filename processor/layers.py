"""Where a setting comes from: one layer per place, and which layer won.

    flags  >  environment JOBTABLE_SECTION__KEY  >  jobtable.toml  >  default

A layer is a flat table from a path, such as ("processor", "timeout"), to a value and the words that name its place in
an error. Flat, because then "who set this key" is one look-up; `nest` makes the tree that the models validate.
Layers know nothing of particular keys: the shape comes in as the pydantic model.
"""

import json
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from pydantic import BaseModel

from processor.errors import SettingsError

PREFIX = "JOBTABLE_"
CONFIG = "JOBTABLE_CONFIG"
DEFAULT_FILE = "jobtable.toml"

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A value somebody wrote, and where: `place` opens an error, `origin` closes a line of `jobtable config`."""

    value: Any
    place: str
    origin: str


Layer = dict[Path, Setting]


def find_file(path: File | None, environ: Mapping[str, str]) -> File | None:
    """Choose the configuration file; one that was asked for by name must exist."""
    if path is not None:
        return _existing(path, "--config")
    if environ.get(CONFIG):
        return _existing(File(environ[CONFIG]), CONFIG)
    return File(DEFAULT_FILE) if File(DEFAULT_FILE).is_file() else None


def _existing(path: File, asked_by: str) -> File:
    if path.is_file():
        return path
    kind = "is not a file" if path.exists() else "does not exist"
    raise SettingsError(
        f"The configuration file {path} (from {asked_by}) {kind}. Nothing was started.",
        "Correct the path, or leave it out to use ./jobtable.toml or the defaults.",
    )


def from_file(path: File, model: type[BaseModel]) -> Layer:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}. Nothing was started.") from error
    except ValueError as error:  # TOML's own errors name line and column; so does a wrong byte's
        raise SettingsError(f"{path} is not valid TOML: {error}. Nothing was started.") from error
    return {keys: Setting(value, f"{path}: {spell(keys)}", path.name) for keys, value in flatten(table, model)}


def from_flags(flags: Mapping[str, Any]) -> Layer:
    """`flags` maps a dotted key to a value, or to None where the flag was not given; it is named after its key."""
    layer: Layer = {}
    for key, value in flags.items():
        flag = f"--{key.rsplit('.', 1)[-1].replace('_', '-')}"
        if value is not None:
            layer[tuple(key.split("."))] = Setting(value, flag, f"flag {flag}")
    return layer


def from_environment(environ: Mapping[str, str], model: type[BaseModel], in_file: Layer) -> Layer:
    """Read the variables that begin with `JOBTABLE_`; free names, such as those of types, are matched with the file's.

    Variables without `__` are not ours (Kubernetes puts JOBTABLE_PORT into the containers beside a service called
    jobtable), except those that would be ours with one more underscore: they are misspelled.
    """
    layer: Layer = {}
    spellings = {variable(keys).replace("__", "_"): variable(keys) for keys, _ in fields(model)}
    for name, text in sorted(environ.items()):  # a table in one piece comes before its single keys
        if not name.startswith(PREFIX) or name == CONFIG:
            continue
        if "__" not in name:
            if name in spellings:
                raise SettingsError(
                    f"The environment variable {name} is not known. Nothing was started.",
                    f"Section and key are separated by two underscores: {spellings[name]}.",
                )
            continue
        keys, annotation = _resolve(name.removeprefix(PREFIX).split("__"), model, in_file)
        value = _decoded(text, annotation)
        leaves = flatten(value, annotation, keys) if isinstance(value, dict) and value else [(keys, value)]
        for leaf, part in leaves:
            layer = merge(layer, {leaf: Setting(part, f"environment variable {name}", f"environment {name}")})
    return layer


def _resolve(parts: list[str], model: type[BaseModel], in_file: Layer) -> tuple[Path, Any]:
    """Follow the parts of a variable's name into the models; unknown parts stay, in lower case, to be refused later."""
    keys: list[str] = []
    shape: Any = model
    while parts:
        inner, item = model_of(shape), item_of(shape)
        if inner is not None:
            keys.append(parts.pop(0).lower())
            shape = {name: field.annotation for name, field in named_fields(inner)}.get(keys[-1])
        elif item is not None and model_of(item) is not None:
            beside = {path[len(keys)] for path in in_file if path[: len(keys)] == tuple(keys) and path != tuple(keys)}
            keys.append(_known_name(parts.pop(0), beside))
            shape = item
        else:  # a table with free keys, such as `environment`: its keys are spelled as they are
            keys.append("__".join(parts) if item is not None else "__".join(parts).lower())
            return tuple(keys), item
    return tuple(keys), shape


def _known_name(part: str, known: set[str]) -> str:
    """Match CHAPTER_ANALYSE with `chapter.analyse`, because a shell cannot name a variable with a dot."""
    matches = [name for name in sorted(known) if _shell_name(name) == part.upper()]
    if len(matches) > 1:
        raise SettingsError(
            f"{part} in the environment means each of {' and '.join(matches)}. Nothing was started.",
            "Set the key in the configuration file instead.",
        )
    return matches[0] if matches else part.lower()


def _shell_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name).upper()


def _decoded(text: str, annotation: Any) -> Any:
    """An empty variable unsets what may be unset; lists and tables may be written as JSON."""
    if text == "" and annotation is not None and type(None) in typing.get_args(annotation):
        return None
    if text[:1] in ("[", "{") and annotation is not None and not _is_scalar(annotation):
        try:
            return json.loads(text)
        except ValueError:
            return text  # refused by the model, with the variable's name
    return text


def _is_scalar(annotation: Any) -> bool:
    return unwrapped(annotation) in (str, int, float, bool)


def merge(*layers: Layer) -> Layer:
    """Lay each layer over the ones before it; a table and what is no table, under the same key, replace each other."""
    merged: Layer = {}
    for layer in layers:
        for keys, setting in layer.items():
            for covered in [other for other in merged if other[: len(keys)] == keys or keys[: len(other)] == other]:
                if covered != keys:
                    del merged[covered]
            merged[keys] = setting
    return merged


def nest(layer: Layer) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for keys, setting in layer.items():
        branch = tree
        for key in keys[:-1]:
            branch = branch.setdefault(key, {})
        branch[keys[-1]] = setting.value
    return tree


def flatten(table: Mapping[str, Any], shape: Any, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Walk a table as deep as the models go; an empty table is a value of its own."""
    inner, item = model_of(shape), item_of(shape)
    shapes = {name: field.annotation for name, field in named_fields(inner)} if inner is not None else {}
    for key, value in table.items():
        below = shapes.get(key, item)
        if isinstance(value, dict) and value and (model_of(below) is not None or item_of(below) is not None):
            yield from flatten(value, below, (*above, key))
        else:
            yield (*above, key), value


def fields(model: type[BaseModel], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every key the models have, with its annotation; `NAME` stands for a free key of a table of models."""
    for name, field in named_fields(model):
        keys = (*above, name)
        inner, item = model_of(field.annotation), item_of(field.annotation)
        if inner is not None:
            yield from fields(inner, keys)
        elif item is not None and (named := model_of(item)) is not None:
            yield from fields(named, (*keys, "NAME"))
        else:
            yield keys, field.annotation


def named_fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    return ((field.alias or name, field) for name, field in model.model_fields.items())


def unwrapped(annotation: Any) -> Any:
    """Look through `X | None` and `Annotated[X, …]`."""
    while True:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            annotation = next(argument for argument in arguments if argument is not type(None))
        elif origin is typing.Annotated:
            annotation = arguments[0]
        else:
            return annotation


def model_of(annotation: Any) -> type[BaseModel] | None:
    bare = unwrapped(annotation)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def item_of(annotation: Any) -> Any:
    """The annotation of a table's values, or None where it is no table."""
    bare = unwrapped(annotation)
    return typing.get_args(bare)[1] if typing.get_origin(bare) is dict else None


def variable(keys: Path) -> str:
    return PREFIX + "__".join(_shell_name(key) for key in keys)


def spell(keys: Path) -> str:
    """Write a path the way the file has it: `[processor] timeout`, `[types."chapter.analyse"] python`."""
    quoted = [key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key) for key in keys]
    return f"[{'.'.join(quoted[:-1])}] {quoted[-1]}" if len(keys) > 1 else quoted[0]


def folder_of(path: File | None) -> File:
    """The folder against which relative paths in the file are read; without a file, where the command was started."""
    return path.absolute().parent if path is not None else File.cwd()
