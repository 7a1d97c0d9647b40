"""Charts of the report, one module a chart; each draws a matplotlib figure from plain values."""
