"""Told: sentences of the gateway in the language that a caller asks for; English without one."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.api.messages_explain import Language
from gateway.flow.said import in_language


async def told(value: Any, language: Language) -> Any:
    """JSON values whose sentences are of a language; all else, numbers and names, is as it was.

    Args:
        value: What is answered; it is not changed. Its records stay English.
        language: As the caller asked, by ``?language=ja``, like that of an explanation. Other
            than a header, it changes no answer that a script has relied on.
    """
    return value if language == "en" else await asyncio.to_thread(in_language, value, language)


__all__ = ["Language", "told"]
