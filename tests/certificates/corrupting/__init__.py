"""What a corruption does, by what it is done to; `tests.certificates.corruptions` has the table of all kinds."""
