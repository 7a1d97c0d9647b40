"""Traditional forms of characters that occur in Chinese answers, with their simplified forms."""

from __future__ import annotations

SIMPLIFIED: dict[str, str] = {"廳": "厅"}
