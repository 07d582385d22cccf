"""One file per task; what the engine asks of each is in `luban/task.py`."""
