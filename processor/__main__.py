"""`python -m processor` is `jobtable`."""

from processor.cli import main

if __name__ == "__main__":
    main()
