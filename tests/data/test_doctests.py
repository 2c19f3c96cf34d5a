"""What the docstrings of the core and of the nodes show is true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import gateway.data
import gateway.engine
import gateway.flow
import nodes

MODULES = sorted(
    module.name
    for package in (gateway.data, gateway.engine, gateway.flow, nodes)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
