"""The head of local evidence against a plain network at every position, and what its grids promise."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import logsumexp
from torch import Tensor

from heads import build_head
from heads.inputs import flat
from heads.local_evidence import LocalEvidence
from semfid.errors import UserError
from semfid.scoring.local_evidence import difference_grids, soft_maximum

BACKBONE = SimpleNamespace(channels=(3, 5, 4, 6, 8), strides=(2, 4, 8, 16, 32), block_channels=(), embed_dim=7)


def head_of(seed: int = 0, **keywords: object) -> LocalEvidence:
    torch.manual_seed(seed)
    head = build_head("local_evidence", BACKBONE, keywords)
    assert isinstance(head, LocalEvidence)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return head.eval()


def differences(count: int, height: int = 64, width: int = 64, seed: int = 0) -> list[Tensor]:
    """Squared differences of all stages; sides are rounded up, as a backbone's are."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(count, c, -(-height // s), -(-width // s), generator=generator).square()
        for c, s in zip(BACKBONE.channels, BACKBONE.strides, strict=True)
    ]


def grids_of(head: LocalEvidence, taps: list[Tensor]) -> list[Tensor]:
    return difference_grids(taps, head.tap_strides, head.stride)


class TestGrids:
    def test_means_and_maxima_of_cells(self) -> None:
        taps = differences(2, 40, 72)
        grids = difference_grids(taps, BACKBONE.strides, 8)
        assert [tuple(g.shape[1:]) for g in grids] == [(6, 5, 9), (10, 5, 9), (4, 5, 9), (6, 3, 5), (8, 2, 3)]
        for tap, grid, factor in zip(taps, grids, (4, 2), strict=False):
            for row in range(5):
                for column in range(9):
                    cell = tap[:, :, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
                    expected = torch.cat([cell.mean((2, 3)), cell.amax((2, 3))], dim=1)
                    torch.testing.assert_close(grid[:, :, row, column], expected)
        assert all(torch.equal(tap, grid) for tap, grid in zip(taps[2:], grids[2:], strict=True))

    @pytest.mark.parametrize("size", [(33, 70), (100, 50), (32, 32)])
    def test_any_size(self, size: tuple[int, int]) -> None:
        grids = difference_grids(differences(1, *size), BACKBONE.strides, 8)
        wide = (-(-size[0] // 8), -(-size[1] // 8))
        assert all(tuple(grid.shape[2:]) == wide for grid in grids[:3])
        assert all(grid.isfinite().all() for grid in grids)
        head = head_of()
        assert head.difference_map(grids).shape == (1, 1, *wide) and head(grids).shape == (1,)

    @pytest.mark.parametrize("side", [32, 64, 100, 224])
    @pytest.mark.parametrize("stride", [4, 8, 16])
    def test_the_flat_form_says_the_same(self, side: int, stride: int) -> None:
        head = head_of(stride=stride)
        grids = grids_of(head, differences(3, side, side))
        kept = flat(grids)
        assert kept.dtype == torch.float16
        torch.testing.assert_close(head(kept), head([grid.half().float() for grid in grids]))

    def test_the_flat_form_of_other_images(self) -> None:
        head = head_of()
        with pytest.raises(UserError, match=r"square images.*data\.image_size to a multiple of 32"):
            head(flat(grids_of(head, differences(1, 64, 96))))

    def test_values_beyond_half_precision(self) -> None:
        assert flat([torch.full((1, 1, 1, 1), 1e6)]).item() == torch.finfo(torch.float16).max


class TestEvidence:
    @pytest.mark.parametrize("compress", ["sqrt", "log", "none"])
    def test_against_a_plain_network_less_its_value_at_zero(self, compress: str) -> None:
        """All grids enlarged first, then one 1x1 convolution over all: the order that the head does not take."""
        head = head_of(compress=compress)
        grids = grids_of(head, differences(3))
        head.calibrate(grids)
        # the head's second layer sees the first less its value at zero: a plain network has that in its bias
        layers = [
            (head.first / head.scale, head.first_bias),
            (head.second, head.second_bias - head.second @ F.leaky_relu(head.first_bias, 0.1)),
            (head.last[None], torch.zeros(1)),
        ]

        def network(values: Tensor) -> Tensor:
            for number, (weight, bias) in enumerate(layers):
                values = F.conv2d(values if number == 0 else F.leaky_relu(values, 0.1), weight[..., None, None], bias)
            return values

        with torch.no_grad():
            size = {
                "sqrt": lambda v: (v + 1e-10).sqrt() - 1e-5,
                "log": lambda v: torch.log1p(v / 1e-4) / np.log1p(1e4),
                "none": lambda v: v,
            }[compress]
            seen = torch.cat(
                [F.interpolate(size(g), size=(8, 8), mode="bilinear", align_corners=False) for g in grids], dim=1
            )
            expected = network(seen) - network(torch.zeros_like(seen))
            torch.testing.assert_close(head.evidence(grids), expected, rtol=1e-4, atol=1e-5)

    def test_exactly_zero_where_nothing_differs(self) -> None:
        """Not only for identical images: cells far from a change keep no rounding of the network's constants."""
        head = head_of()
        taps = differences(4)
        head.calibrate(grids_of(head, taps))
        for tap in taps:
            tap[..., tap.shape[-1] // 2 :] = 0
        found = head.difference_map(grids_of(head, taps))
        assert (found[..., 6:] == 0).all() and (found[..., :4] != 0).any(dim=3).all()
        for count in (1, 2, 7, 33):
            assert (head(grids_of(head, [torch.zeros(count, *tap.shape[1:]) for tap in taps])) == 0).all()

    def test_the_scale_is_that_of_positions(self) -> None:
        head = head_of()
        grids = grids_of(head, differences(5))
        head.calibrate(grids)
        expected = []
        for grid in grids:
            roots = ((grid.double() + 1e-10).sqrt() - 1e-5).numpy()
            rms = np.sqrt((roots**2).mean((0, 2, 3)))
            expected.append(rms + rms.mean() / 10)
        np.testing.assert_allclose(head.scale.numpy(), np.concatenate(expected), rtol=1e-5)
        head.calibrate([torch.zeros_like(grid) for grid in grids])
        assert (head.scale == 1).all()


class TestScore:
    @pytest.mark.parametrize("temperature", [0.01, 0.5, 10.0])
    def test_soft_maximum_against_scipy(self, temperature: float) -> None:
        maps = 3 * torch.randn(4, 1, 9, 7, generator=torch.Generator().manual_seed(0))
        flat_maps = maps.double().flatten(1).numpy()
        expected = temperature * (logsumexp(flat_maps / temperature, axis=1) - np.log(63))
        np.testing.assert_allclose(soft_maximum(maps, temperature).numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_between_the_mean_and_the_maximum(self) -> None:
        maps = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(soft_maximum(maps, 1e-4), maps.amax((1, 2, 3)), rtol=1e-2, atol=1e-3)
        torch.testing.assert_close(soft_maximum(maps, 1e4), maps.mean((1, 2, 3)), rtol=1e-2, atol=1e-2)

    def test_its_gradient_is_the_softmax(self) -> None:
        maps = torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(2)).requires_grad_()
        (gradient,) = torch.autograd.grad(soft_maximum(maps, 0.3).sum(), maps)
        torch.testing.assert_close(gradient.flatten(1), torch.softmax(maps.flatten(1) / 0.3, dim=1))

    def test_large_evidence_does_not_overflow(self) -> None:
        maps = torch.tensor([1e4, -1e4]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
        assert soft_maximum(maps, 0.01).tolist() == [1e4, -1e4]


def test_it_learns_where_from_one_label_a_pair() -> None:
    """In half of the pairs one cell has both of two channels, which all other cells have one at a time. No map is shown."""
    generator = torch.Generator().manual_seed(0)
    backbone = SimpleNamespace(channels=(4,), strides=(8,), block_channels=(), embed_dim=1)
    pairs = 0.2 * torch.rand(160, 4, 8, 8, generator=generator)
    kind = torch.randint(0, 2, (160, 8, 8), generator=generator)
    pairs[:, 0] += (kind == 0).float()
    pairs[:, 1] += (kind == 1).float()
    label = (torch.arange(160) % 2).float()
    place = torch.randint(0, 64, (160,), generator=generator)
    changed = F.one_hot(place, 64).view(160, 8, 8).bool() & (label == 1).view(-1, 1, 1)
    pairs[:, :2] = torch.where(changed[:, None], torch.ones(()), pairs[:, :2])
    torch.manual_seed(0)
    head = build_head("local_evidence", backbone, {"width": 16, "temperature": 0.2})
    assert isinstance(head, LocalEvidence)
    head.calibrate([pairs[:80]])
    optimizer = torch.optim.Adam(head.parameters(), lr=0.03)
    for _ in range(220):
        optimizer.zero_grad()
        (head([pairs[:80]]) - label[:80]).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        scores, maps = head([pairs[80:]]), head.difference_map([pairs[80:]])
    assert scores[label[80:] == 1].min() > scores[label[80:] == 0].max()
    found = maps.flatten(1).argmax(dim=1)[label[80:] == 1]
    assert (found == place[80:][label[80:] == 1]).all()


class TestMistakes:
    @pytest.mark.parametrize(
        ("keywords", "message"),
        [
            ({"width": 1}, "width=1 must be at least 2"),
            ({"stride": 0}, "stride=0 must be at least 1"),
            ({"temperature": 0.0}, "temperature=0 must be above 0"),
        ],
    )
    def test_wrong_values_are_named(self, keywords: dict[str, object], message: str) -> None:
        with pytest.raises(UserError, match=message):
            build_head("local_evidence", BACKBONE, keywords)  # type: ignore[arg-type]

    def test_a_backbone_without_stages(self) -> None:
        with pytest.raises(UserError, match="does not say the channels and strides"):
            build_head("local_evidence", SimpleNamespace(channels=(), strides=(), block_channels=(), embed_dim=4), {})
