"""What this project promises of its model."""


def test_promised_radius(refcert_check, refcert_model, refcert_data):
    x, labels = refcert_data
    refcert_check.radius_at_least(refcert_model, x[:10], labels[:10], radius=0.02, clip=(0.0, 1.0))
