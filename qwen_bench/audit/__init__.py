"""The benchmark's test of itself: no shortcut may win, and no probe may be wrong. No model."""
