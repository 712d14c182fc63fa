"""TRUSTED: plain code on the standard library and python-flint alone. Keep it readable in an evening."""
