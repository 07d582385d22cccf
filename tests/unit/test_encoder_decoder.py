"""The encoder–decoder: its parts against figures by hand, its size, and what a bad setting says."""

from __future__ import annotations

import math

import pytest
import torch

from luban.errors import RecipeError
from luban.layers.crossing import alike
from luban.layers.positions import RelativeBias, sinusoids
from luban.models.encoder_decoder import EncoderDecoder

ECHO = EncoderDecoder.Config(
    width=64, layers=2, heads=4, hidden=128, context=12, positions="learned", norm="layer", activation="relu", bias=True, qk_norm=False,
    tied=False, head_bias=True, zero_init=False,
)  # fmt: skip


def test_the_articles_echo_has_as_many_parameters_as_they_print() -> None:
    assert sum(parameter.numel() for parameter in EncoderDecoder(ECHO, 40).parameters()) == 173_608


def test_sinusoids_are_those_of_the_paper() -> None:
    found = sinusoids(53, 6, torch.device("cpu"))
    for pair in range(3):
        angle = 17 / 10_000 ** (2 * pair / 6)
        assert found[17, pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert found[17, 3 + pair].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_buckets_of_distance_by_hand() -> None:
    """Eight buckets up to a distance of 16, figures of T5's own formula by hand: 4 + ⌊log(d/4)/log(16/4) · 4⌋."""
    behind = RelativeBias(1, 8, 16, both_ways=False)
    assert behind.bucket(-torch.tensor([0, 1, 2, 3, 4, 6, 8, 12, 15, 16, 99])).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7]
    assert behind.bucket(torch.tensor([1, 5])).tolist() == [0, 0]
    both = RelativeBias(1, 8, 16, both_ways=True)
    assert both.bucket(torch.tensor([0, -1, -2, -99, 1, 2, 99])).tolist() == [0, 1, 2, 3, 5, 6, 7]


def test_what_comes_later_is_never_seen_with_relative_places() -> None:
    found = RelativeBias(3, 8, 16, both_ways=False)(torch.arange(5)[None], 5)
    assert torch.equal(found[0, 0].isfinite(), torch.ones(5, 5, dtype=torch.bool).tril())


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "learned", "relative"])
@pytest.mark.parametrize("pre_norm", [True, False])
def test_every_kind_of_place_and_norm_says_the_same_token_by_token(positions: str, pre_norm: bool) -> None:
    torch.manual_seed(1)
    config = EncoderDecoder.Config(
        width=24, layers=3, decoder_layers=2, heads=3, context=19, positions=positions, pre_norm=pre_norm, bias=True, norm="layer",
        activation="geglu", scaled_vectors=True, buckets=8, distance=11, zero_init=False,
    )  # fmt: skip
    net = EncoderDecoder(config, 29).eval()
    source, tokens = torch.randint(0, 29, (3, 17)), torch.randint(0, 29, (3, 13))
    known = torch.arange(17) < torch.tensor([17, 5, 11])[:, None]
    with torch.inference_mode():
        whole, memory, cache = net(source, known, tokens), net.encode(source, known), net.cache(3, 13)
        for place in range(13):
            found = net.logits(net.hidden(tokens[:, place : place + 1], memory, cache=cache))
            cache.lengths += 1
            torch.testing.assert_close(found[:, 0], whole[:, place], rtol=1e-4, atol=1e-5)


def test_order_matters_to_every_kind_of_place() -> None:
    for positions in ("rotary", "sinusoidal", "learned", "relative"):
        torch.manual_seed(1)
        config = EncoderDecoder.Config(width=24, layers=1, heads=3, context=19, positions=positions, zero_init=False, scaled_vectors=True)  # type: ignore[arg-type]
        net = EncoderDecoder(config, 29).eval()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        source, known = torch.arange(1, 8)[None], torch.ones(1, 7, dtype=torch.bool)
        found = net(source, known, torch.tensor([[3]])) - net(source.flip(1), known, torch.tensor([[3]]))
        assert found.abs().max() > 1e-4


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RecipeError, match="L118"):
        EncoderDecoder(EncoderDecoder.Config(width=64, heads=5), 40)
    with pytest.raises(ValueError, match="even width"):
        EncoderDecoder.Config(width=9, heads=3)
    with pytest.raises(ValueError, match="distance"):
        EncoderDecoder.Config(positions="relative", buckets=32, distance=16)


@pytest.mark.parametrize("positions", ["rotary", "relative"])
def test_sources_of_unlike_lengths_are_read_apart_to_the_same(positions: str) -> None:
    torch.manual_seed(1)
    config = EncoderDecoder.Config(width=24, layers=2, heads=3, context=101, positions=positions, zero_init=False)  # type: ignore[arg-type]
    net = EncoderDecoder(config, 29).eval()
    lengths = torch.tensor([97, 3, 60, 1, 45, 95, 0, 61, 20, 44, 58, 90])
    source, known = torch.randint(1, 29, (12, 97)), torch.arange(97) < lengths[:, None]
    with torch.no_grad():
        apart = net.encode(source, known)
    whole = net.encode(source, known)  # with gradients, all at once
    assert len(alike(known)) > 1
    there = apart.known[:, None, :, None]
    for one, other in zip(apart.asked, whole.asked, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a * there, b * there, rtol=1e-4, atol=1e-5)


def test_groups_hold_every_row_once_and_little_padding() -> None:
    lengths = torch.randint(1, 60, (128,), generator=torch.Generator().manual_seed(1))
    groups = alike(torch.arange(60) < lengths[:, None])
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(128))
    assert all(int(lengths[rows].max()) == longest for rows, longest in groups)
    cells = sum(len(rows) * longest for rows, longest in groups)
    assert cells < 1.2 * int(lengths.sum()) < 0.7 * 128 * 60
