"""From an answer to a score. Pure, without a judge model."""
