"""Messages, ChatML rendering and template checks. Pure: text in, text out."""
