"""Python runs this at its start where the folder is on PYTHONPATH: the campaign's processes and all that they start."""

from refcert.audit.mutations.hook import install_from_environment

install_from_environment()
