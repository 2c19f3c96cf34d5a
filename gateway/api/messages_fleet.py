"""What is said about other gateways over the API."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.engine.fleet_parcel import Sealed
from gateway.engine.fleet_push import Rules


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PeerBody(_Body):
    """Another gateway that is to be seen."""

    url: str = Field(max_length=300, description="Where it answers: https://10.0.0.5:8789.")
    pin: str = Field("", max_length=100, description="SHA-256 of its certificate.")
    authority: str = Field("", max_length=60_000, description="Or who signed it, PEM.")
    ring: str = Field("ring1", max_length=20, description="canary, ring1, ring2 or ring3.")
    groups: list[str] = Field([], max_length=20, description="Names under which it is pushed to.")
    screens: str = Field("", max_length=300, description="Where its screens are, if elsewhere.")
    token: SecretStr | None = Field(
        None, max_length=1_000, description="The token it made for us; none leaves it as it is."
    )


class TrustBody(_Body):
    """Whom this gateway trusts."""

    pem: str = Field(max_length=60_000, description="A certificate, or a public key, PEM.")


class PushBody(_Body):
    """A flow that is to go to other gateways."""

    flow: str = Field("", max_length=200, description="A flow of this gateway.")
    revision: int | None = Field(None, ge=1, description="Which; by default the one that runs.")
    sealed: Sealed | None = Field(None, description="Or one that was signed elsewhere.")
    group: str = Field(min_length=1, max_length=64, description="To whom; * is everybody.")
    note: str = Field("", max_length=500, description="Why, in words.")
    actor: str = Field("user:local", max_length=128, description="Who acts.")
    rules: Rules = Field(Rules(), description="When a ring goes back.")


class Identity(BaseModel):
    """What an administrator of another gateway needs to trust this one."""

    certificate: str = Field(description="What it shows others, PEM.")
    key: str = Field(description="The public key of the flows it signs, PEM; empty without one.")


class KeyShown(BaseModel):
    """A new key to sign with."""

    key: str = Field(description="Its public part, PEM.")


__all__ = ["Identity", "KeyShown", "PeerBody", "PushBody", "TrustBody"]
