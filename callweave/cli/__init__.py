"""The command line (contract.md part 2). Each module holds the commands of one kind; `callweave.cli.app` joins them."""
