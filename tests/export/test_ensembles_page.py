"""docs/ensembles.md: complete, and nothing in it that the contracts contradict."""

from __future__ import annotations

import re

import pytest

from places import CHECKOUT
from reelscope_export import ensembles_page
from reelscope_export.contract import Contract, Tensor
from reelscope_export.ensembles import ENSEMBLES, Ensemble, Step
from reelscope_export.errors import UsageError

CONTRACT = Contract(
    name="light",
    comment=(),
    inputs=(Tensor("frames", "TYPE_UINT8", (-1, -1, 3)),),
    outputs=(Tensor("scores", "TYPE_FP32", (2,)),),
)
DOCSTRING = """Light.

Input   frames  uint8 [N,H,W,3] RGB.
Output  scores  float32 [N,2], dark
                and bright | each.

More of it.
"""


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=lambda each: each.name)
def test_every_tensor_of_every_ensemble_is_there(ensemble):
    page = (CHECKOUT / "docs" / "ensembles.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {ensemble.name}\n")[1].split("\n## ")[0]
    config = (CHECKOUT / "ensembles" / ensemble.name / "config.pbtxt").read_text(encoding="utf-8")
    names = re.findall(r'^  \{ name: "(\w+)"', config, re.MULTILINE)
    assert re.findall(r"^\| (?:in|out) \| `(\w+)`", section, re.MULTILINE) == names
    assert f"(../examples/{ensemble.name}.py)" in section


def test_meanings_come_from_the_docstring():
    ensemble = Ensemble(name="light", comment=("Light: how much.",), steps=(Step("light"),))
    page = ensembles_page.page((ensemble,), {"light": CONTRACT}, {"light": DOCSTRING})
    assert "| in | `frames` | uint8 | [N,H,W,3] | RGB. |" in page
    assert r"| out | `scores` | float32 | [N,2] | dark and bright \| each. |" in page
    assert "| out | `light_provenance` | STRING | [N,1] |" in page


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("scores  float32 [N,2]", "scores  float32 [N,3]", r"scores is float32 \[N,3\]; the contract"),
        ("scores  float32 [N,2]", "scores  float32 [2]", r"scores is float32 \[2\]"),
        ("uint8", "float32", "frames is float32"),
        ("Output  scores", "Output  others", "does not describe scores"),
    ],
)
def test_a_docstring_that_contradicts_its_contract_is_refused(written, instead, said):
    with pytest.raises(UsageError, match=said):
        ensembles_page.described(CONTRACT, DOCSTRING.replace(written, instead))
