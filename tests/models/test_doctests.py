"""The examples in the docstrings of `models` are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import models

MODULES = [found.name for found in pkgutil.iter_modules(models.__path__, "models.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
