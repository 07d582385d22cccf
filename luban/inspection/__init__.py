"""The data report: what the data holds and what is doubtful in it, on one page and as JSON."""
