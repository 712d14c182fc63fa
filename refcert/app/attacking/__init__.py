"""`refcert attack`: the smallest adversarial perturbation that one attack finds for each sample."""
