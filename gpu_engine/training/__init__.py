"""Training for robustness: fine-tuning on adversarial inputs, and on differentiable bounds. Nothing here is a claim."""
