"""How good is it, beside what, and how sure: metrics, intervals, calibration, the report."""
