"""Which version of jobtable this is."""

from importlib.metadata import PackageNotFoundError, version


def our_version() -> str:
    try:
        return version("jobtable")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0"
