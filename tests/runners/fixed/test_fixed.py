# SPDX-License-Identifier: Apache-2.0
import importlib.machinery
import importlib.util
import pathlib

import pytest

loader = importlib.machinery.SourceFileLoader("fixed", str(pathlib.Path(__file__).with_name("fixed")))
fixed = importlib.util.module_from_spec(importlib.util.spec_from_loader("fixed", loader))
loader.exec_module(fixed)


@pytest.mark.parametrize("name", ["one", "two", "three", "four", "five", "six", "seven", "eight"])
def test_is_alone(name):
    fixed.check(name)
