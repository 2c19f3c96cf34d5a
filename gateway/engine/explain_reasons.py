"""Reasons: why an explanation is the template's, in the language of the explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from models.explainer.text import Explanation, Language

Code = Literal["off", "usual", "none", "late", "over", "unchecked", "busy", "away"]
_SAID: Final[Mapping[Code, Mapping[Language, str]]] = {
    "off": {
        "en": "Models are switched off for explanations (--explain-deadline-s 0).",
        "ja": "説明文のモデルは無効になっています（--explain-deadline-s 0）。",
    },
    "usual": {
        "en": "Texts are the template's, unless a rule for explain names a model.",
        "ja": "用途 explain の規則でモデルを指定しない限り、文章はテンプレートです。",
    },
    "none": {
        "en": "No model can be used for this: {detail}",
        "ja": "使用できるモデルがありません：{detail}",
    },
    "late": {
        "en": "The model did not finish within {detail} s.",
        "ja": "モデルの応答が {detail} 秒以内に完了しませんでした。",
    },
    "over": {
        "en": "The alarm was over before a model had written.",
        "ja": "モデルが書き終える前にアラームが復旧しました。",
    },
    "unchecked": {
        "en": "The model's text did not pass the check against the data.",
        "ja": "モデルの文章はデータとの照合に合格しませんでした。",
    },
    "busy": {
        "en": "Too many alarms came at once for a model to write about each.",
        "ja": "アラームが同時に多数発生したため、モデルでは作成していません。",
    },
    "away": {
        "en": "The model did not answer: {detail}",
        "ja": "モデルが応答しませんでした：{detail}",
    },
}


def reason(code: Code, language: Language, detail: object = "") -> str:
    """A sentence.

    >>> reason("late", "en", 2)
    'The model did not finish within 2 s.'
    """
    return _SAID[code][language].replace("{detail}", str(detail))


def with_reason(
    text: Explanation, language: Language, code: Code, detail: object = ""
) -> Explanation:
    """A text with the reason why it is the template's."""
    return replace(text, reason=reason(code, language, detail))


__all__ = ["Code", "reason", "with_reason"]
