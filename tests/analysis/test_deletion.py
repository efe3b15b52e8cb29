"""The deletion check: a network that looks at known cells, so that what goes with them is known."""

import numpy as np
import pytest
import torch
from small import subject
from torch import Tensor, nn

from vitbench.analysis.deletion import DELETION, blurred
from vitbench.analysis.nouns import Pictures
from vitbench.comparison.statistics import mean_interval


class Corner(nn.Module):
    """Two classes: something in the upper left quarter of the picture, or nothing, told by its contrast."""

    num_features = 1

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(6.0))

    def forward_features(self, pictures: Tensor) -> Tensor:
        """(B, 1, 7, 7): contrast in each 16 px cell, in the upper left corner alone."""
        seen = nn.functional.max_pool2d(pictures[:, :1], 16) - pictures[:, :1].mean((2, 3), keepdim=True)
        corner = torch.zeros_like(seen)
        corner[..., :3, :3] = 1
        return seen.relu() * corner

    def forward_head(self, features: Tensor) -> Tensor:
        found = self.slope * features.sum((1, 2, 3)) - 3
        return torch.stack([found, -found], 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(pictures))


def corner_pictures(count: int = 8) -> Pictures:
    """A bright dot in the upper left corner of 112 px."""
    pixels = torch.zeros(count, 3, 112, 112)
    for place in range(count):
        pixels[place, :, 20 + place : 22 + place, 20] = 1.0
    names = tuple(f"{place}.png" for place in range(count))
    return Pictures(names, np.zeros(count, dtype=np.int64), lambda places: pixels[list(places)])


def test_a_true_map_loses_what_the_network_looks_at_and_beats_the_centre() -> None:
    """The dot lies in the corner: the answer goes with it, not with the centre nor with the lowest cells."""
    found = DELETION.look(subject(Corner().eval(), 112), corner_pictures())
    (row,) = found.frames["deletion"].to_dict("records")
    assert row["map"] == "gradcam"
    assert row["lost"] > 0.3
    assert row["lost_lowest"] == pytest.approx(0, abs=1e-3)
    assert row["lost_centre"] == pytest.approx(0, abs=1e-3)
    assert row["beats_centre"]
    assert row["beats_lowest"]


def test_a_map_of_the_centre_does_not_beat_the_centre() -> None:
    """What goes with the first quarter is what goes with the centre: a difference of 0, not above it."""

    class Middle(Corner):
        def forward_features(self, pictures: Tensor) -> Tensor:
            cells = torch.zeros(7, 7)
            cells[2:5, 2:5] = 1
            return nn.functional.avg_pool2d(pictures[:, :1], 16) * cells

    pixels = torch.ones(4, 3, 112, 112)
    pictures = Pictures(tuple("abcd"), np.zeros(4, dtype=np.int64), lambda places: pixels[list(places)])
    (row,) = DELETION.look(subject(Middle().eval(), 112), pictures).frames["deletion"].to_dict("records")
    assert not row["beats_centre"]


def test_every_number_follows_from_what_the_pictures_lost() -> None:
    """`deletion` is means and t intervals of the columns of `deletion_pictures`."""
    found = DELETION.look(subject(Corner().eval(), 112), corner_pictures()).frames
    (row,), each = found["deletion"].to_dict("records"), found["deletion_pictures"]
    over = each.gradcam_top - each.centre
    assert (row["over_centre"], row["over_centre_low"], row["over_centre_high"]) == mean_interval(
        over.to_numpy()
    )
    assert row["lost"] == pytest.approx(each.gradcam_top.mean())


def test_the_interval_of_a_mean_is_students_over_pictures_or_groups() -> None:
    """1, 2, 3: mean 2, standard error 1/√3, t(2) = 4.303; copies in groups count once; one picture: none."""
    mean, low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert low is not None
    assert high is not None
    assert (mean, low, high) == pytest.approx((2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    twice = mean_interval(np.array([1.0, 1, 2, 2, 3, 3]), np.array([0, 0, 1, 1, 2, 2]))
    assert twice == pytest.approx((mean, low, high))
    assert mean_interval(np.array([0.5])) == (0.5, None, None)


def test_a_blur_keeps_the_mean_of_an_even_picture_and_smears_a_dot() -> None:
    """112 px: standard deviation 8 px."""
    dot = torch.zeros(1, 3, 112, 112)
    dot[..., 56, 56] = 1.0
    assert torch.allclose(blurred(torch.ones(1, 3, 112, 112)), torch.ones(1, 3, 112, 112), atol=1e-5)
    assert float(blurred(dot).max()) == pytest.approx(1 / (2 * np.pi * 8**2), rel=0.02)
