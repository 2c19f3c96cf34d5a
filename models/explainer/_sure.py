"""Sure: whether a sentence that no fact contradicts says only what facts can tell.

A larger model may explain ("because the filter is old") or advise. Such words cannot be verified,
so the sentence is shown as unchecked. A sentence of nothing but facts and plain words is checked.
"""

from __future__ import annotations

import re
from typing import Final

from models.explainer._inventory import SLOT
from models.explainer.text import Language

_PLAIN_EN: Final = frozenset(
    re.findall(
        r"\w+",
        "a an the it its this that these those of at to in on for from by with and or but as so"
        " is are was were be been being has have had also too about around roughly some each both"
        " since until before after earlier later first then while when during within over ago now"
        " rose risen rises rising fell fallen falls falling climbed climbing dropped dropping"
        " increased increasing decreased decreasing declined went gone moved moving changed"
        " changing change changes jumped drifted drifting drift swings swinging froze frozen noisy"
        " reached reaches reads read stands shows showed stayed reach up down upward upwards"
        " downward downwards above below over under high low higher lower than more less limit"
        " limits threshold usual usually normal normally value values level baseline average"
        " scatter times yesterday hour same time alarm alarms signal signals tag tags other others"
        " similar case cases sample samples data quality bad gap missing together there current"
        " currently every period which began started beginning follows followed led lead leads"
        " exceeded exceeds exceeding exceed per minute rate course setpoint allowed raised"
        " departure away off likely cause possible check please start here steadily slowly"
        " quickly further next will near",
    )
)
_WORD_EN: Final = re.compile(r"[A-Za-z']+")
# In Japanese the words that carry the claim are written in kanji and katakana.
_PLAIN_JA: Final = re.compile(
    r"現在|普段|通常|平均|限界値?|上限値?|下限値?|許容[差値]?|設定値|値|警報|信号|変化量?|変動|上昇|低下|増加|減少"
    r"|上回|下回|超|達|到達|始|続|前|後|先|最初|次|同時|同|時刻|時|昨日|周期|倍|差|緩|急|徐々|段階的|経過|以降"
    r"|以前|約|高|低|離|品質|不良|欠測|欠|類似|事例|原因|考|確認|関連|件|個|間|割合|速|進|残|発生|示|動|見|大|小"
    r"|年|月|日|分|秒|アラーム|データ|サンプル|まで|ばらつき|測定|範囲"
)
_WORD_JA: Final = re.compile(r"[\u3400-\u9fff\u30a0-\u30ff々]")


def is_plain(text: str, language: Language) -> bool:
    """Whether a sentence has a fact in it and no word that facts cannot back."""
    if not SLOT.search(text):
        return False
    bare = SLOT.sub(" ", text)
    if language == "en":
        return all(word.lower() in _PLAIN_EN for word in _WORD_EN.findall(bare))
    return not _WORD_JA.search(_PLAIN_JA.sub("", bare)) and not _WORD_EN.search(bare)


def is_in(text: str, language: Language) -> bool:
    """Whether a text is written in this language at all."""
    bare = SLOT.sub("", text)
    kana = len(re.findall(r"[\u3040-\u30ff]", bare))
    latin = len(re.findall(r"[A-Za-z]", bare))
    others = len(re.findall(r"[^\W\d_A-Za-z\u3040-\u30ff\u3400-\u9fff々]", bare))
    if language == "ja":
        return kana > 0 and latin <= kana and others == 0
    return kana == 0 and latin > 0 and others == 0 and not re.search(r"[\u3400-\u9fff]", bare)
