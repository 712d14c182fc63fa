"""Input sets in the engine's dtype: one file for each kind, see `gpu_engine.propagation.concretize`."""
