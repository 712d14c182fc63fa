"""`refcert check` and `refcert explain`: certificates for people and for scripts; the kernel alone says VALID."""
