"""refcert: the reference verifier for recurrent networks. This package doubts what the engine computes."""
