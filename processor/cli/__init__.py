"""The command line: composes the other rooms, one file for each command.

`root` is the way in and turns errors into one line and an exit code · `session` has the settings and the database of
one call · `given` reads what people type · `shown` writes what they see. A command imports what it needs when it runs,
so that `jobtable --help` costs neither the database's libraries nor the tables'.
"""


def main() -> None:
    """Run `jobtable`."""
    from processor.cli.root import start

    start()
