"""`python -m luban`, and `torchrun -m luban`: the command line."""

from luban.cli.main import main

main()
