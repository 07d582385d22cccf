"""How long the lists are that recommenders are judged by."""

CUTOFFS = (1, 5, 10, 20, 50, 100)
LONGEST = CUTOFFS[-1]
