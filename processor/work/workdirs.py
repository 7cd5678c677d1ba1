"""Private folders: made for a run or worker, measured while it lives, removed after it, whatever it left in them.

    <root>/jobtable-<pid>-<token>/          one per supervisor, 0700, its lock held as long as the supervisor lives
    <root>/jobtable-<pid>-<token>/17/       one per process

Removal works on the folder as the handler left it: without permissions, a million files, deeper than a path may be
long. The first entries go at once; what takes longer is given to a process of its own (this file, run as a script),
because a supervisor that deletes for seconds is one that kills late. A supervisor that was killed leaves a folder
whose lock is free: the next one that meets it kills what still carries its marker, and removes it."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from itertools import count

PREFIX = "jobtable-"
AT_ONCE = 200  # entries removed by the supervisor itself: about 2 ms


class Workdirs:
    """The private folders of one supervisor. `on_leftover` hears the token of a dead one whose folder is found."""

    def __init__(self, on_leftover: Callable[[str], None], remove_later: Callable[[str], None]) -> None:
        self.token = secrets.token_hex(8)
        self._on_leftover = on_leftover
        self._remove_later = remove_later
        self._bases: dict[str, tuple[str, int]] = {}
        self._numbers = count(1)

    def make(self, root: str) -> str:
        """Make an empty folder that only we can enter. Raises OSError."""
        base = self._base(root)
        try:
            return self._make_in(base)
        except FileNotFoundError:  # somebody who cleans up temporary folders took the base away
            os.close(self._bases.pop(root)[1])
            return self._make_in(self._base(root))

    def _make_in(self, base: str) -> str:
        path = os.path.join(base, str(next(self._numbers)))
        os.mkdir(path, 0o700)
        return path

    def remove(self, path: str) -> None:
        """Remove a folder and everything in it: at once where it holds little, else soon."""
        if not _remove_some(path, AT_ONCE):
            self._remove_later(path)

    def close(self) -> None:
        for base, lock in self._bases.values():
            self.remove(base)
            os.close(lock)

    def _base(self, root: str) -> str:
        if root not in self._bases:
            os.makedirs(root, exist_ok=True)
            self._remove_leftovers(root)
            base = os.path.join(root, f"{PREFIX}{os.getpid()}-{self.token}")
            os.makedirs(base, 0o700, exist_ok=True)
            self._bases[root] = (base, _lock(os.path.join(base, ".lock")))
        return self._bases[root][0]

    def _remove_leftovers(self, root: str) -> None:
        for token, path in leftovers(root):
            self._on_leftover(token)
            self._remove_later(path)


def leftovers(root: str) -> Iterator[tuple[str, str]]:
    """Find the folders of supervisors that are dead and could not clean up: their tokens and paths."""
    try:
        names = os.listdir(root)
    except OSError:
        return
    for name in names:
        path = os.path.join(root, name)
        if name.startswith(PREFIX) and _is_ours(path):
            lock = _lock_if_free(os.path.join(path, ".lock"))
            if lock is not None:
                yield name.rpartition("-")[2], path
                os.close(lock)


def measure(path: str, slice_size: int = 500) -> Iterator[int]:
    """Add up the disk space below a folder, giving the sum so far after every `slice_size` entries and at the end."""
    total = seen = 0
    folders = [path]
    while folders:
        for entry in _entries(folders.pop()):
            total += _space(entry)
            if _is_folder(entry):
                folders.append(entry.path)
            seen += 1
            if seen % slice_size == 0:
                yield total
    yield total


def remove(path: str) -> bool:
    """Remove a folder completely; says whether it is gone."""
    return _remove_some(path, sys.maxsize)


def _remove_some(top: str, budget: int) -> bool:
    """Remove up to `budget` entries. Subfolders are moved up before they are emptied, so no depth is too deep."""
    folders, names = [top], count()
    while folders:
        folder = folders.pop()
        _open_up(folder)
        for entry in _entries(folder):
            budget -= 1
            if budget < 0:
                return False
            if _is_folder(entry):
                folders.append(entry.path if folder == top else _moved_up(entry.path, top, names))
            else:
                _ignore_errors(os.unlink, entry.path)
        if folder != top:
            _ignore_errors(os.rmdir, folder)
    _ignore_errors(os.rmdir, top)
    return not os.path.lexists(top)


def _moved_up(path: str, top: str, names: Iterator[int]) -> str:
    _open_up(path)
    target = os.path.join(top, f".gone-{os.getpid()}-{next(names)}")
    return target if _ignore_errors(os.rename, path, target) else path


def _ignore_errors(call: Callable[..., None], *arguments: str) -> bool:
    """Do it if it can be done: what stays makes the last rmdir fail, which the caller hears of."""
    try:
        call(*arguments)
    except OSError:
        return False
    return True


def _open_up(folder: str) -> None:
    _ignore_errors(lambda path: os.chmod(path, 0o700), folder)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Scan a folder lazily: listing a million entries first would take a second."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return  # it vanished, or was never readable


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _space(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0


def _is_ours(path: str) -> bool:
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()


def _lock(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _lock_if_free(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


if __name__ == "__main__":
    sys.exit(not remove(sys.argv[1]))
