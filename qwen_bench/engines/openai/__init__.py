"""The engine for OpenAI-compatible servers. Importing the package imports no SDK."""
