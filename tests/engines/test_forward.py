"""Linear layers are computed by oneDNN only where that gives the same and torch has it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from qwen_bench.engines.hf import forward as products
from qwen_bench.engines.hf.forward import ROWS, LinearLayers, agrees, onednn_agrees

CPU = torch.device("cpu")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 96), nn.Tanh(), nn.Linear(96, 32, bias=False)).eval()


def test_this_torch_has_it():
    assert onednn_agrees()


@pytest.mark.parametrize("tokens", [1, ROWS - 1, ROWS, 200])
def test_the_results_are_those_of_torch(model, tokens):
    given = torch.randn(1, tokens, 64)
    with torch.inference_mode():
        plain = model(given)
        with LinearLayers(model, CPU, torch.float32).quick():
            quick = model(given)

    assert torch.allclose(quick, plain, rtol=0, atol=1e-5)


def test_it_is_used_from_some_tokens_on(model, monkeypatch):
    asked = []

    def recording(tokens, weight, bias):
        asked.append(tokens.shape[1])
        return functional.linear(tokens, weight, bias)

    layers = LinearLayers(model, CPU, torch.float32)
    monkeypatch.setattr(products, "_onednn", recording)
    with layers.quick():
        for tokens in (1, ROWS - 1, ROWS, 40):
            model(torch.randn(1, tokens, 64))

    assert asked == [ROWS, ROWS, 40, 40]


def test_the_model_is_afterwards_as_it_came_even_after_an_error(model):
    layers = LinearLayers(model, CPU, torch.float32)

    with pytest.raises(RuntimeError), layers.quick():
        model(torch.randn(1, 40, 63))

    assert all("forward" not in vars(layer) for layer in model)


@pytest.mark.parametrize(
    ("device", "dtype"), [(CPU, torch.bfloat16), (torch.device("meta"), torch.float32)]
)
def test_other_formats_and_devices_are_left_to_torch(model, device, dtype):
    assert LinearLayers(model, device, dtype).library == "torch"


def test_layers_that_are_more_than_linear_or_changed_already_are_left_alone():
    class Scaled(nn.Linear):
        def forward(self, given):
            return 2 * super().forward(given)

    changed = nn.Linear(8, 8)
    changed.forward = lambda given: given + 1
    given = torch.ones(1, 40, 8)
    for layer in (Scaled(8, 8), changed):
        plain = layer(given)
        with LinearLayers(layer, CPU, torch.float32).quick():
            assert torch.equal(layer(given), plain)


def test_a_product_that_differs_or_is_missing_is_found_out():
    def missing(*_):
        return torch.ops.mkldnn.no_such_product()

    assert agrees(functional.linear)
    assert not agrees(lambda tokens, weight, _: functional.linear(tokens, weight, None))
    assert not agrees(lambda *given: functional.linear(*given) * 1.01)
    assert not agrees(missing)


def test_the_identity_of_an_engine_names_the_library(open_tiny):
    engine, _ = open_tiny("qwen2")

    assert engine.identity().engine.linear_layers == "oneDNN"
