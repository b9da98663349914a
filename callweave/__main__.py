"""`python -m callweave` and the `callweave` command."""

from callweave.cli.app import main

if __name__ == "__main__":
    main()
