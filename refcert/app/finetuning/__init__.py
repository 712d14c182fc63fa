"""`refcert finetune`: training for robustness, with the metrics of all attacks before and after."""
