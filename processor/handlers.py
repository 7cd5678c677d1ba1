"""Handlers: how they are declared, found, and called.

A handler is any callable named in the configuration as `package.module:function`, or a function under
`@handler("name")` in a module that the configuration lists. The decorator only writes on the function; there is no
registry that one import could fill twice or a test would have to empty. What a module offers is found by looking at
the module.

Every refusal is a sentence: what is wrong, what follows, what to do.
Standard library only, Python 3.9 and later: this module is imported inside the interpreter of the user.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from processor.context import Job

MARK = "__jobtable__"


class Unusable(Exception):
    """No job of this type can be run; the message is a sentence for the operator."""


class Mismatch(Exception):
    """This payload does not fit the handler; the message is a sentence for the producer."""


def handler(name: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the decorated function as the handler of the type `name`; options are those of `[types.NAME]`."""
    if callable(name) or not name:
        raise TypeError('@handler needs the name of the type, as in @handler("chapter.analyse")')

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(function, MARK, {**getattr(function, MARK, {}), name: options})
        return function

    return mark


class Entry:
    """A handler that was found and looked at: the callable, whether it is async, and how it takes its arguments."""

    def __init__(self, function: Callable[..., Any], title: str, options: Mapping[str, Any] | None = None) -> None:
        self.function = function
        self.title = title
        self.options = dict(options or {})
        self.is_async = _is_async(function)
        _refuse_generators(function, title)
        self._read_signature()

    def call(self, job: Job, payload: Any) -> Any:
        """Call the handler; an async one gives its coroutine. Raises Mismatch before anything of it runs."""
        if self._wants_nothing:
            return self.function(**self._job_argument(job))
        return self.function(**self._job_argument(job), **self._from_payload(payload))

    def _job_argument(self, job: Job) -> dict[str, Any]:
        return {self._job_name: job} if self._job_name else {}

    def _from_payload(self, payload: Any) -> dict[str, Any]:
        if not isinstance(payload, dict):
            raise Mismatch(
                f"{self.title} takes its arguments from the payload, which is {_sort(payload)} and not an object;"
                f" the job cannot start; insert it with {self._shape()}"
            )
        missing = [name for name in self._required if name not in payload]
        if missing:
            raise Mismatch(self._complaint(f"the payload lacks {missing[0]!r}, which {self.title} needs"))
        unknown = [name for name in payload if name not in self._asked]
        if unknown and not self._takes_rest:
            raise Mismatch(self._complaint(f"the payload has {unknown[0]!r}, which {self.title} does not take"))
        return payload

    def _complaint(self, what: str) -> str:
        return f"{what}; the job cannot start; insert it with {self._shape()}"

    def _shape(self) -> str:
        return "the keys " + ", ".join(f"{n} (optional)" if n not in self._required else n for n in self._asked)

    def _read_signature(self) -> None:
        self._job_name: str | None = None
        self._asked: dict[str, bool] = {}  # argument -> is it required?
        self._takes_rest = False
        for parameter in _parameters(self.function, self.title):
            self._read(parameter)
        self._required = [name for name, required in self._asked.items() if required]
        self._wants_nothing = not self._asked and not self._takes_rest  # of the payload: then any is welcome

    def _read(self, parameter: inspect.Parameter) -> None:
        if parameter.kind is parameter.VAR_KEYWORD:
            self._takes_rest = True
        elif parameter.kind is parameter.POSITIONAL_ONLY or parameter.kind is parameter.VAR_POSITIONAL:
            raise Unusable(
                f"{self.title} has the positional argument {parameter.name!r}, which no payload can fill;"
                f" its jobs cannot start; give it a plain name, as in def {_name(self.function)}(job, chapter)"
            )
        elif self._job_name is None and (parameter.name == "job" or parameter.annotation in (Job, "Job")):
            self._job_name = parameter.name
        else:
            self._asked[parameter.name] = parameter.default is parameter.empty


def resolve(target: str, name: str | None = None) -> Entry:
    """Import `package.module:function`, or with `name` the handler a module declares under it. Raises Unusable."""
    if name is not None:
        return _declared(import_module(target.partition(":")[0]), name)
    module_name, colon, path = target.partition(":")
    if not colon or not path:
        raise Unusable(f'{target!r} names no function; its jobs cannot start; write it as "package.module:function"')
    return Entry(_attribute(import_module(module_name), module_name, path), target)


def import_module(name: str) -> types.ModuleType:
    """Import a module of the user; whatever its code raises becomes one sentence."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise Unusable(
            f"cannot import {name}: {type(error).__name__}: {error}; its jobs cannot start;"
            f" {_import_remedy(error, name)}"
        ) from error


def declared_in(module: types.ModuleType) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Walk the handlers a module declares or re-exports: type name, function, options."""
    for value in list(vars(module).values()):
        marks = getattr(value, MARK, None) if callable(value) else None
        if isinstance(marks, dict):
            for name, options in marks.items():
                yield name, value, options


def describe(handlers: Mapping[str, str], modules: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Say for each type: `handler`, `name` (declared ones), `async`, `options`; or `error`, a sentence.

    A module that cannot be imported is described under `module:NAME`.
    """
    described: dict[str, dict[str, Any]] = {}
    for name, target in handlers.items():
        described[name] = _described(target, None, functools.partial(resolve, target))
    owners: dict[str, Callable[..., Any]] = {}
    for module_name in modules:
        _describe_module(module_name, described, owners)
    return described


def _describe_module(
    module_name: str, described: dict[str, dict[str, Any]], owners: dict[str, Callable[..., Any]]
) -> None:
    try:
        module = import_module(module_name)
    except Unusable as error:
        described["module:" + module_name] = {"handler": module_name, "error": str(error)}
        return
    for name, function, options in declared_in(module):
        if owners.setdefault(name, function) is not function:
            described[name] = {"handler": module_name, "name": name, "error": _twice(name, owners[name], function)}
        elif name not in described:
            make = functools.partial(Entry, function, f'@handler("{name}") {_name(function)}', options)
            described[name] = _described(module_name, name, make)


def _described(target: str, name: str | None, make: Callable[[], Entry]) -> dict[str, Any]:
    try:
        entry = make()
    except Unusable as error:
        return {"handler": target, "name": name, "error": str(error)}
    return {"handler": target, "name": name, "async": entry.is_async, "options": entry.options}


def _declared(module: types.ModuleType, name: str) -> Entry:
    for declared, function, options in declared_in(module):
        if declared == name:
            return Entry(function, f'@handler("{name}") {_name(function)}', options)
    raise Unusable(
        f'{module.__name__} declares no @handler("{name}"); jobs of this type cannot start; declare it there, or take'
        " the type out of the configuration and reload"
    )


def _attribute(module: types.ModuleType, module_name: str, path: str) -> Callable[..., Any]:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        what = "has no" if value is None else "has no callable"
        raise Unusable(
            f"{module_name} {what} {path!r}; its jobs cannot start;"
            f" name a function of {getattr(module, '__file__', '?')}"
        )
    return cast("Callable[..., Any]", value)


def _parameters(function: Callable[..., Any], title: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError) as error:
        raise Unusable(
            f"the signature of {title} cannot be read ({error}); its jobs cannot start; wrap it in a plain def"
        ) from error


def _refuse_generators(function: Callable[..., Any], title: str) -> None:
    plain = inspect.unwrap(function)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise Unusable(
            f"{title} contains `yield`, so calling it would run nothing; its jobs cannot start; return the result, and"
            " report pieces on the way with job.output()"
        )


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _import_remedy(error: BaseException, name: str) -> str:
    if isinstance(error, ModuleNotFoundError) and (error.name == name or name.startswith(f"{error.name}.")):
        return 'add the folder that holds it to "pythonpath", or install it into the "interpreter" of the type'
    if isinstance(error, ImportError):
        return 'install what is missing into the "interpreter" of the type'
    return "importing it must not fail: correct the module"


def _twice(name: str, first: Callable[..., Any], second: Callable[..., Any]) -> str:
    return (
        f'@handler("{name}") stands on {first.__module__}.{_name(first)} and on {second.__module__}.{_name(second)};'
        " jobs of this type cannot start; give one of them another name"
    )


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _sort(value: Any) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "a boolean"}.get(type(value), "a number")
