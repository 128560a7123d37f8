"""The console command `densezoo` and its subcommands; `tools/` calls the same functions."""
