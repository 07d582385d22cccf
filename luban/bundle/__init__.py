"""One artifact, the same behaviour everywhere: weights, preprocessing, labels, report; nothing in it can run."""
