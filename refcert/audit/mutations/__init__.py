"""The mutation campaign: planted faults over engine and reference, and which layer of checks catches each of them.

`python -m refcert.audit.mutations` in a checkout; `docs/mutation.md` says how to read the result and add a fault.
Imports nothing, because the import hook is loaded from here before any module that it may change.
"""
