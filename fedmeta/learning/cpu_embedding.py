"""Conv4's embedding and its gradient, written out by hand for one CPU core.

No graph is recorded and every buffer is reused, so a step is about thirty calls. It computes what
`Conv4.features` computes with the statistics of the current batch, up to rounding. Arrays are (n, height, width,
channels).
"""

import torch
from torch import Tensor

from fedmeta.learning.cpu_kernels import norm_pool_relu_backward, norm_pool_relu_forward
from fedmeta.learning.winograd import CHANNELS, Winograd


class Direct:
    """PyTorch's own 3x3 convolution with zero padding, with the interface of `Winograd`, for any number of channels."""

    def __init__(self, first: bool):
        self.first = first  # images need no gradient

    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:
        self.x, self.kernel = x.permute(0, 3, 1, 2), kernel.permute(0, 3, 1, 2)
        y = torch.ops.aten.convolution(self.x, self.kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
        return y.permute(0, 2, 3, 1).contiguous()

    def backward(self, y_gradient: Tensor, kernel_gradient: Tensor) -> Tensor | None:
        y_gradient, wanted = y_gradient.permute(0, 3, 1, 2), [not self.first, True, False]
        x_gradient, gradient, _ = torch.ops.aten.convolution_backward(
            y_gradient, self.x, self.kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        )
        kernel_gradient.copy_(gradient.permute(0, 2, 3, 1))
        return None if self.first else x_gradient.permute(0, 2, 3, 1).contiguous()


class Module:
    """One of the four modules: convolution, batch norm over the current batch, 2x2 max-pooling, ReLU.

    Parameters and their gradients come as (kernel, gamma, beta), the kernel as (out, height, width, in).
    """

    def __init__(self, convolution: Direct | Winograd, n: int, size: int, filters: int):
        pooled = (n, size // 2, size // 2, filters)
        self.convolution = convolution
        self.out, self.extreme = torch.empty(pooled), torch.empty(pooled)
        self.chosen = torch.empty(pooled, dtype=torch.int32)
        self.mean, self.variance = torch.empty(filters), torch.empty(filters)

    def forward(self, x: Tensor, parameters: list[Tensor]) -> Tensor:
        kernel, gamma, beta = parameters
        self.y = self.convolution.forward(x, kernel)
        results = (self.out, self.extreme, self.chosen, self.mean, self.variance)
        norm_pool_relu_forward(self.y.numpy(), gamma.numpy(), beta.numpy(), *(result.numpy() for result in results))
        return self.out

    def backward(self, out_gradient: Tensor, parameters: list[Tensor], gradients: list[Tensor]) -> Tensor | None:
        results = (parameters[1], self.extreme, self.chosen, self.mean, self.variance, *gradients[1:])
        norm_pool_relu_backward(self.y.numpy(), out_gradient.numpy(), *(result.numpy() for result in results))
        return self.convolution.backward(self.y, gradients[0])


class CpuEmbedding:
    """The four modules, with buffers for batches of `n` images of size x size and `channels`."""

    def __init__(self, n: int, channels: int, size: int, filters: int, modules: int):
        self.modules = []
        for i in range(modules):
            winograd = i > 0 and filters == CHANNELS
            convolution = Winograd(n, size) if winograd else Direct(first=i == 0)
            self.modules.append(Module(convolution, n, size, filters))
            size //= 2

    def forward(self, images: Tensor, parameters: list[list[Tensor]]) -> Tensor:
        """Return the features, (n, height * width * filters), overwritten by the next call."""
        x = images.permute(0, 2, 3, 1).contiguous()
        for module, own in zip(self.modules, parameters, strict=True):
            x = module.forward(x, own)
        return x.flatten(1)

    def backward(self, gradient: Tensor, parameters: list[list[Tensor]], gradients: list[list[Tensor]]) -> None:
        """Write the parameters' gradients, given that of the last `forward`'s features. Call it once per `forward`."""
        gradient = gradient.reshape(self.modules[-1].out.shape)
        for module, own, target in zip(self.modules[::-1], parameters[::-1], gradients[::-1], strict=True):
            gradient = module.backward(gradient, own, target)

    def statistics(self) -> list[tuple[Tensor, Tensor]]:
        """Return the (mean, biased variance) of each module in the last `forward`."""
        return [(module.mean, module.variance) for module in self.modules]
