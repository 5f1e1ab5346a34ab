"""The networks of a training and what teaches them: an update, the learning rate, what a resumed run needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, pi
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_pix2pix.core.encodings.domains import NO_DOMAINS, Domains
from napari_pix2pix.core.engine.compiling import compiled
from napari_pix2pix.core.engine.tensor_files import under
from napari_pix2pix.core.settings.config import Config

if TYPE_CHECKING:  # who only predicts does not wait for it
    from lightning_fabric import Fabric

C = TypeVar("C", bound=Config)


class Average(AveragedModel):
    """A copy whose weights follow those of a network, each step keeping `decay` of what they were."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        super().__init__(network, multi_avg_fn=self._follow)

    def _follow(self, averages: Any, current: Any, n: Any) -> None:
        get_ema_multi_avg_fn(self.decay)(averages, current, n)  # type: ignore[no-untyped-call]


@dataclass
class Learner(Generic[C]):
    """What a step of a method works with.

    Parameters
    ----------
    config
        Of the training.
    fabric
        That runs on one device or many.
    networks, optimizers
        As Fabric set them up, by the network's name.
    averages
        Of the weights of those that make images, if the model is to have these.
    class_weights
        What an error on a pixel of each class of the target weighs, on the device; None: all the same.
    domains
        The labels that images bear.
    memory
        What a method keeps from step to step, by name, beside weights: it is part of the checkpoint.
    done
        Steps.
    """

    config: C
    fabric: "Fabric"
    networks: dict[str, Any]
    optimizers: dict[str, Optimizer]
    averages: dict[str, Average] = field(default_factory=dict)
    class_weights: Tensor | None = None
    domains: Domains = NO_DOMAINS
    memory: dict[str, Tensor] = field(default_factory=dict)
    done: int = 0

    @classmethod
    def of(
        cls,
        config: C,
        fabric: "Fabric",
        networks: Mapping[str, nn.Module],
        averages: dict[str, Average] | None = None,
        class_weights: tuple[float, ...] = (),
        domains: Domains = NO_DOMAINS,
    ) -> "Learner[C]":
        """With Adam for each network."""
        wrapped, optimizers = {}, {}
        # Gradients of float16 are scaled; a fused step takes that back itself, too late to clip them.
        scaled = bool(getattr(fabric.strategy.precision, "scaler", None))
        how: dict[str, Any] = {"betas": (config.beta1, config.beta2), "fused": not (scaled and config.clip_gradients)}
        for name, network in networks.items():
            adam = Adam(network.parameters(), lr=config.learning_rate, **how)
            steps = compiled(network) if config.compile else network
            wrapped[name], optimizers[name] = fabric.setup(steps, adam)
        weights = torch.tensor(class_weights, device=fabric.device) if class_weights else None
        return cls(config, fabric, wrapped, optimizers, averages or {}, weights, domains)

    def __getitem__(self, name: str) -> Any:
        """The network of this name."""
        return self.networks[name]

    def update(self, names: str | Sequence[str], loss: Tensor) -> None:
        """One step of the weights of one network, or of several together, down the gradient of `loss`."""
        names = [names] if isinstance(names, str) else names
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        for name in names:
            network, optimizer = self.networks[name], self.optimizers[name]
            if self.config.clip_gradients:
                self.fabric.clip_gradients(
                    network, optimizer, max_norm=self.config.clip_gradients, error_if_nonfinite=False
                )
            optimizer.step()

    def train(self) -> None:
        """Ready every network for a step."""
        for network in self.networks.values():
            network.train()

    def forget(self) -> None:
        """Let Adam begin anew, as where networks grow."""
        for optimizer in self.optimizers.values():
            optimizer.state.clear()

    def average_over(self, n: int) -> None:
        """Let averages keep no more than suits the `n` steps that they are of: at first they follow closely."""
        for average in self.averages.values():
            average.decay = min(self.config.ema_decay, (1 + n) / (10 + n))

    def follow(self) -> None:
        """Let the averages follow the weights of this step."""
        for name, average in self.averages.items():
            average.update_parameters(self.networks[name])

    def set_learning_rate(self, step: int) -> None:
        """Set the rate of the step that follows `step` steps, by the schedule."""
        self.done, done = step, step / self.config.steps
        factor = {
            "constant": 1.0,
            "linear-decay": min(1.0, 2 * (1 - done)),  # the authors' PyTorch code: half the epochs constant
            "cosine": (1 + cos(pi * done)) / 2,
        }[self.config.schedule]
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * factor

    # What a resumed training needs beside the weights of the model

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The optimizers' moments, the weights that are averaged, what the method remembers; and the loss scale."""
        tensors = {f"memory.{name}": tensor for name, tensor in self.memory.items()}
        for name, optimizer in self.optimizers.items():
            for i, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{i}.{key}": moment for key, moment in moments.items()}
        for name in self.averages:
            tensors |= {f"trained.{name}.{key}": tensor for key, tensor in self.networks[name].state_dict().items()}
        return tensors, self.fabric.strategy.precision.state_dict()

    def restore(self, tensors: dict[str, Tensor], scaler: dict[str, Any], step: int) -> None:
        """Go on from such a state; that of pix2pix before there were other methods is read, too."""
        device = self.fabric.device
        self.memory = {name: tensor.to(device, copy=True) for name, tensor in under("memory.", tensors).items()}
        for name, optimizer in self.optimizers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            saved = under(f"optimizer.{name}.", tensors) or under(f"optimizer.{name[0]}.", tensors)
            for place, value in saved.items():
                index, key = place.split(".")
                if value.ndim and value.shape != parameters[int(index)].shape:
                    raise ValueError(f"optimizer.{name}.{place} is of shape {tuple(value.shape)}")
                moments.setdefault(int(index), {})[key] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        for name, average in self.averages.items():
            self.networks[name].load_state_dict(under(f"trained.{name}.", tensors) or under("trained.", tensors))
            average.n_averaged.fill_(step)
        self.fabric.strategy.precision.load_state_dict(scaler)
