"""Names: the closed vocabulary of `vocabulary` in English and Japanese.

Source of the Japanese terms: JIS Z 8103 (measurement), JIS B 0153 (vibration), JIS C 1803
(process measurement), JIS Z 8115 (dependability) and the usual words of plant operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from models.explainer.text import Language
from models.explainer.vocabulary import Asset, ChangeKind, Direction, Quantity, Shape

Both = tuple[str, str]
"""English, Japanese."""

QUANTITY: Final[Mapping[Quantity, Both]] = {
    "temperature": ("temperature", "温度"),
    "pressure": ("pressure", "圧力"),
    "flow": ("flow", "流量"),
    "level": ("level", "液面"),
    "vibration": ("vibration", "振動"),
    "current": ("current", "電流"),
    "voltage": ("voltage", "電圧"),
    "power": ("power", "電力"),
    "speed": ("speed", "速度"),
    "torque": ("torque", "トルク"),
    "force": ("force", "荷重"),
    "position": ("position", "位置"),
    "weight": ("weight", "重量"),
    "humidity": ("humidity", "湿度"),
    "concentration": ("concentration", "濃度"),
    "count": ("count", "計数値"),
    "state": ("state", "状態"),
    "price": ("price", "価格"),
    "rate": ("rate", "頻度"),
    "other": ("value", "値"),
}
ASSET: Final[Mapping[Asset, Both]] = {
    "bearing": ("bearing", "軸受"),
    "motor": ("motor", "モーター"),
    "gearbox": ("gearbox", "減速機"),
    "drive": ("drive", "駆動装置"),
    "pump": ("pump", "ポンプ"),
    "fan": ("fan", "ファン"),
    "compressor": ("compressor", "圧縮機"),
    "hydraulics": ("hydraulics", "油圧装置"),
    "lubrication": ("lubrication", "潤滑装置"),
    "cooling": ("cooling", "冷却系統"),
    "pneumatics": ("compressed air", "空圧系統"),
    "vacuum": ("vacuum", "真空系統"),
    "valve": ("valve", "弁"),
    "tank": ("tank", "タンク"),
    "heater": ("heater", "ヒーター"),
    "conveyor": ("conveyor", "コンベヤ"),
    "press": ("press", "プレス"),
    "tool": ("tool", "金型・工具"),
    "scale": ("scale", "はかり"),
    "robot": ("robot", "ロボット"),
    "electrical": ("power supply", "電源設備"),
    "ambient": ("surroundings", "周囲環境"),
    "sensor": ("sensor", "センサー"),
    "network": ("network", "ネットワーク"),
    "feed": ("feed", "データ配信"),
    "other": ("machine", "設備"),
}
SHAPE: Final[Mapping[Shape, Both]] = {
    "spike": ("a short peak", "瞬間的な変化"),
    "step": ("a jump", "段階的な変化"),
    "drift": ("a slow drift", "緩やかな変化"),
    "oscillation": ("an oscillation", "周期的な変動"),
    "stuck": ("a frozen value", "値の固着"),
    "noise": ("a wider scatter", "ばらつきの増加"),
    "dropout": ("missing samples", "データの途絶"),
    "saturation": ("the end of the range", "測定範囲の上下限への張り付き"),
    "unclear": ("an unclear course", "はっきりしない変化"),
}
# What another signal did: a verb in the past, and a noun that goes with しました.
_DID: Final[Mapping[Shape, Both]] = {
    "spike": ("peaked", "急変動"),
    "step": ("jumped", "急変"),
    "drift": ("drifted", "変化"),
    "oscillation": ("began to swing", "変動"),
    "stuck": ("froze", "固着"),
    "noise": ("became noisy", "不安定化"),
    "dropout": ("dropped out", "途絶"),
    "saturation": ("ran to the end of its range", "飽和"),
    "unclear": ("changed", "変化"),
}
_WAYS: Final[Mapping[Direction, Both]] = {
    "up": ("rose", "上昇"),
    "down": ("fell", "低下"),
    "none": ("changed", "変化"),
}
_MOVING: Final = frozenset(("step", "drift", "spike", "saturation", "unclear"))
CHANGE: Final[Mapping[ChangeKind, Both]] = {
    "deploy": ("a new version of the flow", "フローの更新"),
    "setpoint": ("a change of setpoint", "設定値の変更"),
    "maintenance": ("maintenance work", "保全作業"),
    "restart": ("a restart of the gateway", "ゲートウェイの再起動"),
    "settings": ("a change of settings", "設定の変更"),
}
# Words of a direction, by their slot: for up and for down. The Japanese ones are stems that the
# sentences complete: 高 + く, 上回 + っています, 上昇 + しました.
WAY: Final[Mapping[str, Mapping[Direction, Both]]] = {
    "up": {"up": ("up", "上"), "down": ("down", "下")},
    "upward": {"up": ("upwards", "上昇方向"), "down": ("downwards", "低下方向")},
    "rose": {"up": ("rose", "上昇"), "down": ("fell", "低下")},
    "risen": {"up": ("risen", "上昇"), "down": ("fallen", "低下")},
    "rising": {"up": ("rising", "上昇"), "down": ("falling", "低下")},
    "high": {"up": ("high", "高"), "down": ("low", "低")},
    "higher": {"up": ("higher", "高"), "down": ("lower", "低")},
    "above": {"up": ("above", "上回"), "down": ("below", "下回")},
    "upper": {"up": ("upper", "上"), "down": ("lower", "下")},
}


def word(pair: Both, language: Language) -> str:
    """The one of the two in this language."""
    return pair[1] if language == "ja" else pair[0]


def did(shape: Shape, direction: Direction, language: Language) -> str:
    """What a signal did: for English a verb, for Japanese a noun before しました.

    >>> did("drift", "up", "en"), did("stuck", "none", "ja")
    ('rose', '固着')
    """
    if shape in _MOVING and direction != "none":
        return word(_WAYS[direction], language)
    return word(_DID[shape], language)
