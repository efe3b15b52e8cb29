"""The moving average is timm's, to the last bit."""

from collections.abc import Callable

import timm
import timm.utils
import torch
from torch import nn

from vitbench.training.average import MovingAverage


def moved(make: Callable[..., timm.utils.ModelEmaV3]) -> tuple[timm.utils.ModelEmaV3, nn.Module]:
    """After three updates, loaded weights (as a resumed run has them), and three more."""
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=3)
    average = make(model, decay=0.9, use_warmup=True)
    for step in range(6):
        if step == 3:
            model.load_state_dict({name: one / 2 for name, one in model.state_dict().items()})
            average.module.load_state_dict({n: one * 2 for n, one in average.module.state_dict().items()})
        model(torch.rand(4, 3, 32, 32))
        with torch.no_grad():
            for one in model.parameters():
                one.add_(torch.randn_like(one))
        average.update(model, step=step)
    return average, model


def test_it_is_timms_average() -> None:
    """Parameters, batch statistics and the number of batches, with timm's warm-up of the decay."""
    (ours, _), (theirs, _) = moved(MovingAverage), moved(timm.utils.ModelEmaV3)
    wanted = theirs.module.state_dict()
    assert {n for n, one in ours.module.state_dict().items() if not torch.equal(one, wanted[n])} == set()
    assert ours.state_dict().keys() == theirs.state_dict().keys()
