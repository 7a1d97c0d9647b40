"""What maintainers run: calibration, publishing audits, measuring the house."""
