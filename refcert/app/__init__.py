"""The command line, runs and reports: engine and reference together."""
