"""Certificates: what bounds rest on, in the format of `proofs/spec/certificate_v1.md`. They are only written here."""
