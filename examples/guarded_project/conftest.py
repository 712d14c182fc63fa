"""What refcert-baseline.txt guards: the model as it is shipped, on data as they are prepared now."""

import pytest
from model import load
from prepare import guarded_part


@pytest.fixture(scope="session")
def refcert_model():
    """The shipped model."""
    return load()


@pytest.fixture(scope="session")
def refcert_data():
    """Its input (count, time, input) and labels."""
    return guarded_part()
