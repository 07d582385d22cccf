"""The LSTM with attention against its equations written out step by step."""

from __future__ import annotations

import torch

from luban.models.lstm_attention import LstmAttention


def test_one_answer_by_the_equations() -> None:
    """Bahdanau et al. 2015, appendix A, one row, one step after the other, in float64."""
    torch.manual_seed(1)
    net = LstmAttention(LstmAttention.Config(embedding=5, hidden=7, look=3, dropout=0.0), 11).double().eval()
    source, tokens = torch.tensor([[4, 9, 2, 6]]), torch.tensor([[1, 8, 3]])
    found = net.logits(net.hidden(tokens, net.encode(source, torch.ones_like(source, dtype=torch.bool))))[0]
    ahead, back = net.layers[0]  # type: ignore[misc]
    x = net.embed(source)
    states = torch.cat([ahead(x)[0][0], back(x.flip(1))[0][0].flip(0)], 1)  # (S, C)
    state, inner = torch.tanh(net.first(states[0, 7:])), torch.zeros(7, dtype=torch.float64)
    for step, token in enumerate(tokens[0]):
        energy = torch.stack([net.score(torch.tanh(net.ask(state) + net.answer(one)))[0] for one in states])
        context = (energy.exp() / energy.exp().sum()) @ states
        gates = (
            net.cell.weight_ih @ torch.cat([net.embed(token), context]) + net.cell.weight_hh @ state + net.cell.bias_ih + net.cell.bias_hh
        )
        into, forget, new, out = gates.chunk(4)
        inner = torch.sigmoid(forget) * inner + torch.sigmoid(into) * torch.tanh(new)
        state = torch.sigmoid(out) * torch.tanh(inner)
        said = torch.tanh(net.out(torch.cat([state, context, net.embed(token)])))
        torch.testing.assert_close(found[step], net.embed.weight @ said + net.head_bias)


def test_states_move_with_their_answers() -> None:
    net = LstmAttention(LstmAttention.Config(embedding=5, hidden=7), 11)
    cache = net.cache(3, 9)
    cache.state[:] = torch.arange(3.0)[:, None]
    cache.lengths[:] = torch.tensor([4, 5, 6])
    cache.move(2, 0)
    assert cache.state[0, 0] == 2
    assert cache.lengths.tolist() == [6, 5, 6]
    cache.clear(1)
    assert cache.lengths.tolist() == [6, 0, 6]


def test_the_head_may_be_its_own() -> None:
    tied = LstmAttention(LstmAttention.Config(embedding=5, hidden=7), 11)
    own = LstmAttention(LstmAttention.Config(embedding=5, hidden=7, tied=False), 11)
    count = [sum(parameter.numel() for parameter in net.parameters()) for net in (tied, own)]
    assert count[1] - count[0] == 55
    assert own.logits(torch.zeros(2, 5)).shape == (2, 11)
