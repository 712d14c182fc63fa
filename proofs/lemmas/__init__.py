"""One lemma per file; the table is `proofs.registry`."""
