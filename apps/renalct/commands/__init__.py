"""The programs: one module per command, with `add_arguments(parser)` and `run(arguments)`."""
