"""What must hold of attention and maps, for all seven families, at sizes that windows divide and that not."""

from typing import Any

import pytest
import timm
import torch
from small import CLEAN, FAMILIES, PADDED, noise, small, subject, wake
from torch import Tensor, nn
from torch.nn import functional as F

from vitbench.analysis.distance import DISTANCE
from vitbench.analysis.gradcam import gradcam
from vitbench.analysis.layout import Layout, layouts
from vitbench.analysis.looking import blocks_of, looking, seeing
from vitbench.analysis.rollout import rollout
from vitbench.analysis.saliency import KINDS
from vitbench.models.families import FAMILIES as FAMILIES_OF_TIMM

WINDOWED = [family for family in FAMILIES if family.startswith("swin")]
CASES = [(family, CLEAN.get(family, 112)) for family in FAMILIES] + [(family, PADDED) for family in WINDOWED]
every_family = pytest.mark.parametrize(("family", "size"), CASES)


def heard(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    """Every block's attention, kept."""
    found: dict[str, Tensor] = {}
    with seeing(model, lambda name, probabilities: found.__setitem__(name, probabilities.clone())):
        model(batch)
    return found


def dense(attention: Tensor, layout: Layout) -> Tensor:
    """(B, heads, tokens, tokens) of a windowed block; what goes to padding is lost."""
    tokens = layout.grid[0] * layout.grid[1]
    windows, area = layout.places.shape
    split = attention.view(-1, windows, attention.shape[1], area, area).permute(0, 2, 1, 3, 4)
    whole = attention.new_zeros(len(split), attention.shape[1], tokens + 1, tokens + 1)
    queries = layout.places[:, :, None].expand(windows, area, area)
    keys = layout.places[:, None, :].expand(windows, area, area)
    whole[:, :, queries, keys] = split  # -1, padding: the last row and column
    return whole[..., :-1, :-1]


@every_family
def test_rows_of_attention_sum_to_1_and_unfusing_is_felt_nowhere_and_undone(family: str, size: int) -> None:
    """With `fused_attn` as it was: logits within 1e-6, the switch and the mode restored, no hook left."""
    model = small(family, size).train()
    fused = [getattr(block.attn, "fused_attn", None) for _, block in blocks_of(model)]
    batch = noise(size).load([0, 1])
    found = heard(model, batch)
    assert len(found) == len(blocks_of(model)) > 0
    assert all(float((one.sum(-1) - 1).abs().max()) < 2e-6 for one in found.values())
    assert [getattr(block.attn, "fused_attn", None) for _, block in blocks_of(model)] == fused
    assert model.training
    assert hooks(model) == 0
    model.eval()
    with torch.no_grad():
        plain = model(batch)
        with looking(model):
            unfused = model(batch)
    assert float((plain - unfused).abs().max()) <= 1e-6


@every_family
def test_a_block_is_recomputed_from_its_attention(family: str, size: int) -> None:
    """proj(A·V), norms and MLP on the map, unwindowed, give what the block gave, to 1e-6."""
    model = small(family, size)
    batch = noise(size).load([0, 1])
    found, places = heard(model, batch), layouts(model)
    for name, block in blocks_of(model):
        io: dict[str, Tensor] = {}
        hook = block.register_forward_hook(lambda _, taken, given, io=io: io.update(i=taken[0], o=given))
        with torch.no_grad():
            model(batch)
            hook.remove()
            if places[name].padded:  # zeros of the padding have values of their own: their bias
                again = padded_block(block, io["i"], found[name], places[name])
            else:
                again = recomputed(block, io["i"], found[name], places[name])
        error = float((again - io["o"]).abs().max() / io["o"].abs().max())
        assert error <= 1e-6, name


def recomputed(block: Any, taken: Tensor, attention: Tensor, layout: Layout) -> Tensor:
    """A block's output from its input and its attention on the whole map."""
    pre = taken.ndim == 3 or hasattr(block.attn, "relative_position_bias_table")
    tokens = (block.norm1(taken) if pre else taken).flatten(1, -2)
    whole = attention if layout.prefix else dense(attention, layout)
    values = values_of(block.attn, tokens)
    mixed = block.attn.proj((whole @ values).transpose(1, 2).flatten(2)).view(taken.shape)
    return joined(block, taken, mixed, pre)


def padded_block(block: Any, taken: Tensor, attention: Tensor, layout: Layout) -> Tensor:
    """The same with the padding's own values, window by window."""
    pre = hasattr(block.attn, "relative_position_bias_table")
    tokens = (block.norm1(taken) if pre else taken).flatten(1, -2)
    tokens = torch.cat([tokens, tokens.new_zeros(len(tokens), 1, tokens.shape[-1])], 1)
    windows = tokens[:, layout.places]  # -1 takes the last: zeros
    values = values_of(block.attn, windows.flatten(0, 1))
    mixed = block.attn.proj((attention @ values).transpose(1, 2).flatten(2)).unflatten(0, windows.shape[:2])
    back = mixed.new_zeros(*tokens.shape)
    back[:, layout.places] = mixed
    return joined(block, taken, back[:, :-1].reshape(taken.shape), pre)


def values_of(attention: Any, tokens: Tensor) -> Tensor:
    """(B, heads, tokens, d) of an attention with one qkv."""
    width = attention.qkv.weight.shape[1]
    bias = attention.qkv.bias if attention.qkv.bias is not None else attention.v_bias
    found = F.linear(tokens, attention.qkv.weight[2 * width :], bias[-width:])
    return found.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)


def joined(block: Any, taken: Tensor, mixed: Tensor, pre: bool) -> Tensor:
    """The two branches on the stream; norms before them, or behind."""
    if pre:
        middle = taken + mixed
        return middle + block.mlp(block.norm2(middle))
    middle = taken + block.norm1(mixed)
    whole = middle + block.norm2(block.mlp(middle))
    return block.norm3(whole) if hasattr(block, "norm3") else whole


def hooks(model: nn.Module) -> int:
    """Hooks on any module of a network."""
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.modules())


def test_an_exception_amid_a_look_leaves_nothing_behind() -> None:
    """Fused attention, train mode and gradients are as they were; no hook is left."""
    model = small("vit").train()

    def stop(name: str, probabilities: Tensor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), seeing(model, stop):
        model(noise(112).load([0]))
    assert hooks(model) == 0
    assert model.training
    assert all(block.attn.fused_attn for _, block in blocks_of(model))
    assert all(parameter.requires_grad for parameter in model.parameters())


@every_family
def test_every_map_leaves_the_network_as_it_was(family: str, size: int) -> None:
    """After all kinds of maps: no hooks, the same logits."""
    model = small(family, size)
    batch = noise(size).load([0])
    with torch.no_grad():
        before = model(batch)
    for kind in KINDS:
        kind.make(subject(model, size), batch, torch.tensor([1]))
    with torch.no_grad():
        assert torch.equal(model(batch), before)
    assert hooks(model) == 0


@every_family
def test_rollout_is_a_product_whose_rows_sum_to_1(family: str, size: int) -> None:
    """Followed back from any token of the last map. Where something is padded, it keeps what goes to it."""
    model = small(family, size)
    one, batch = subject(model, size), noise(size).load([0, 1])
    last = list(layouts(model).values())[-1]
    tokens = last.prefix + last.grid[0] * last.grid[1]
    padded = size == PADDED
    for token in (last.prefix, tokens // 2, tokens - 1):
        found = rollout(one, batch, torch.eye(tokens)[token]).sum((1, 2))
        prefix = 0 if not last.prefix else 1 - whole_rollout(model, batch, last.prefix)[token]
        total = torch.ones(2) - prefix
        assert bool((found <= total + 1e-6).all())
        if not padded:
            assert float((found - total).abs().max()) < 2e-6


def whole_rollout(model: nn.Module, batch: Tensor, prefix: int) -> Tensor:
    """(tokens, B): the share of patches in each row of Abnar & Zuidema's product, whose rows sum to 1."""
    product: Any = None
    for attention in heard(model, batch).values():
        mean = 0.5 * attention.mean(1) + 0.5 * torch.eye(attention.shape[-1])
        product = mean if product is None else mean @ product
    assert float((product.sum(-1) - 1).abs().max()) < 2e-6
    return torch.as_tensor(product[:, :, prefix:].sum(-1)).T


@pytest.mark.parametrize("family", ["vit", "deit-distilled"])
def test_a_vits_rollout_is_the_row_of_the_product_of_all_layers(family: str) -> None:
    """Of the class token, for a distilled network the mean of both tokens."""
    model = small(family)
    batch = noise(112).load([0, 1])
    product: Any = None
    for attention in heard(model, batch).values():
        mean = 0.5 * attention.mean(1) + 0.5 * torch.eye(attention.shape[-1])
        product = mean if product is None else mean @ product
    rows = [0, 1] if family == "deit-distilled" else [0]
    expected = product[:, rows, len(rows) :].mean(1).view(2, 7, 7)
    assert torch.allclose(rollout(subject(model, 112), batch), expected, atol=1e-7)


@pytest.mark.parametrize("family", WINDOWED)
def test_gradcam_is_cam_behind_average_pooling_and_a_linear_head(family: str) -> None:
    """Zhou et al. 2016: the head's weights on the map, divided by its cells; + bias its mean is the logit."""
    size = CLEAN.get(family, 112)
    model: Any = small(family)
    batch = noise(size).load([0, 1])
    found = gradcam(subject(model, size), batch, torch.tensor([3, 1]))
    with torch.no_grad():
        features = model.forward_features(batch)
        features = features.permute(0, 2, 3, 1) if family == "swinv2-cr" else features
        weights = model.head.fc.weight[[3, 1]][:, None, None]
        cam = (features * weights).sum(-1)
        logits = model(batch)[[0, 1], [3, 1]] - model.head.fc.bias[[3, 1]]
    cells = features.shape[1] * features.shape[2]
    assert torch.allclose(found, cam.relu() / cells, atol=1e-6)
    assert torch.allclose(cam.mean((1, 2)), logits, atol=1e-5)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_gradcam_of_a_cnn_is_cam(name: str) -> None:
    """Channels first, average pooling, a linear head: the same closed form."""
    model: Any = timm.create_model(name, num_classes=5).eval()
    batch = noise(160).load([0, 1])
    found = gradcam(subject(model, 160), batch, torch.tensor([3, 1]))
    with torch.no_grad():
        features = model.forward_features(batch)
        weights = model.get_classifier().weight[[3, 1]][:, :, None, None]
    cells = features.shape[2] * features.shape[3]
    assert torch.allclose(found, (features * weights).sum(1).relu() / cells, atol=1e-6)


@pytest.mark.parametrize("family", ["vit", "deit-distilled"])
def test_gradcam_of_a_vit_is_not_black(family: str) -> None:
    """Behind the last block patches have no gradient: the map is taken before it."""
    found = gradcam(subject(small(family), 112), noise(112).load([0, 1]), torch.tensor([0, 1]))
    assert found.shape == (2, 7, 7)
    assert bool((found.flatten(1).max(1).values > 0).all())


@pytest.mark.parametrize(("family", "size"), [case for case in CASES if case[0] in WINDOWED])
def test_windowed_distance_is_that_of_the_dense_map(family: str, size: int) -> None:
    """Over keys in the picture alone, renormalised; px, to 1e-4."""
    model = small(family, size)
    pictures = noise(size)
    table = DISTANCE.look(subject(model, size), pictures).frames["distance"]
    found, places = heard(model, pictures.load([0, 1])), layouts(model)
    for name, layout in places.items():
        whole = dense(found[name], layout)
        rows, columns = torch.meshgrid(*(torch.arange(side) for side in layout.grid), indexing="ij")
        at = torch.stack([rows.flatten(), columns.flatten()], -1) * (size / layout.grid[0])
        apart = (at[:, None] - at).square().sum(-1).sqrt()
        px = (whole / whole.sum(-1, keepdim=True) * apart).sum(-1).mean((0, 2))
        assert table[table.block == name].distance_px.tolist() == pytest.approx(px.tolist(), abs=1e-4)


def test_gradcam_is_that_of_pytorch_grad_cam() -> None:
    """An independent implementation, where it is installed (its wheels are large: not in the dev extra)."""
    library = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    model: Any = small("swin")
    batch = noise(112).load([0])
    mine = gradcam(subject(model, 112), batch, torch.tensor([2]))[0]
    cam = library.GradCAM(model, [model.norm], reshape_transform=lambda z: z.permute(0, 3, 1, 2))
    theirs = torch.as_tensor(cam(batch, [targets.ClassifierOutputTarget(2)])[0])
    wide = F.interpolate(mine[None, None], theirs.shape, mode="bilinear")[0, 0]
    wide = (wide - wide.min()) / (wide.max() - wide.min())  # as it does after resizing
    assert torch.allclose(wide, theirs, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [(f.timm_name, f.native_size) for f in FAMILIES_OF_TIMM])
def test_whole_networks_at_their_native_sizes_keep_the_identities(name: str, side: int) -> None:
    """Rows sum to 1, blocks are recomputed, unfusing is not felt, rollout sums to 1."""
    model = wake(timm.create_model(name.partition(".")[0], num_classes=5))
    batch = noise(side, 1).load([0])
    found, places = heard(model, batch), layouts(model)
    assert all(float((one.sum(-1) - 1).abs().max()) < 2e-6 for one in found.values())
    with torch.no_grad():
        plain = model(batch)
        with looking(model):
            assert float((plain - model(batch)).abs().max()) <= 1e-6
    for block_name, block in blocks_of(model):
        io: dict[str, Tensor] = {}
        hook = block.register_forward_hook(lambda _, taken, given, io=io: io.update(i=taken[0], o=given))
        with torch.no_grad():
            model(batch)
            hook.remove()
            again = recomputed(block, io["i"], found[block_name], places[block_name])
        assert float((again - io["o"]).abs().max() / io["o"].abs().max()) <= 1e-6
    total = float(rollout(subject(model, side), batch).sum())
    last = list(places.values())[-1]
    assert total <= 1 + 1e-5
    if not last.prefix:
        assert total == pytest.approx(1, abs=1e-5)
