"""Files of training data: validated, converted, generated, compared with a suite, counted."""
