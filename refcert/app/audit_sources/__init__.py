"""Where planes to be audited come from: a run, files, a directory, or a function that is asked for them."""
