"""What the task `recommendation` is made of: ids, examples, the memory of histories, ranking in blocks, reasons."""
