"""The engine: bounds of recurrent classifiers by linear bounding planes, in PyTorch. Nobody has to trust it."""
