"""What follows a convolution in Conv4, and Adam, as fused loops for one CPU core.

Batch norm is monotone in each channel, so a window's maximum (its minimum where gamma is negative) can be found
before normalising, and only the pooled quarter is normalised, rectified and kept for the gradient. Arrays are
float32 and contiguous, (n, height, width, filters); loops over the filters come last and vectorise.
"""

import math

import numba
import numpy as np

EPSILON = 1e-5  # added to the variance in batch normalisation
CLOSED = 4  # in `chosen`: no pixel of the window gets a gradient, since ReLU gave 0


def jit(function):
    """Compile for one thread, and keep the machine code in a file if some cache folder is writable."""
    options = {"fastmath": {"contract"}, "error_model": "numpy"}  # no more: a NaN must stay one, to be noticed
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither __pycache__ nor the user's cache folder is writable
        return numba.njit(**options)(function)


@jit
def norm_pool_relu_forward(x, gamma, beta, out, extreme, chosen, mean, variance):
    """Batch norm over the current batch, 2x2 max-pooling, ReLU.

    Writes `out` and, for the backward pass, each window's winning value before the normalisation (`extreme`) and its
    place in the window (`chosen`: 0 to 3 row by row, the first of equals, or CLOSED), all (n, height // 2,
    width // 2, filters), and the batch's `mean` and biased `variance`, (filters,).
    """
    n, height, width, filters = x.shape
    origin = x[0, height // 2, width // 2].copy()  # a value near the mean keeps the sum of squares accurate
    sign = np.sign(gamma)
    total, squares = np.zeros(filters), np.zeros(filters)
    row_total, row_squares = np.empty(filters, np.float32), np.empty(filters, np.float32)
    for b in range(n):
        for i in range(height):
            row_total[:] = 0
            row_squares[:] = 0
            for j in range(width):
                for k in range(filters):
                    centred = x[b, i, j, k] - origin[k]
                    row_total[k] += centred
                    row_squares[k] += centred * centred
            for k in range(filters):
                total[k] += row_total[k]
                squares[k] += row_squares[k]
            if i % 2 == 1:
                _pool(x[b, i - 1], x[b, i], sign, extreme[b, i // 2], chosen[b, i // 2])
    count = n * height * width
    scale, shift = np.empty(filters, np.float32), np.empty(filters, np.float32)
    for k in range(filters):
        offset = total[k] / count
        mean[k] = origin[k] + offset
        variance[k] = max(squares[k] / count - offset * offset, 0.0)
        scale[k] = gamma[k] / math.sqrt(variance[k] + EPSILON)
        shift[k] = beta[k] - mean[k] * scale[k]
    for b in range(n):
        for i in range(height // 2):
            for j in range(width // 2):
                for k in range(filters):
                    y = extreme[b, i, j, k] * scale[k] + shift[k]
                    chosen[b, i, j, k] = chosen[b, i, j, k] if y > 0 else np.int32(CLOSED)
                    out[b, i, j, k] = np.float32(0) if y < 0 else y


@jit
def _pool(upper, lower, sign, extreme, chosen):
    """Find the extremes of a row of windows: rows (width, filters) to (width // 2, filters)."""
    for j in range(extreme.shape[0]):
        for k in range(extreme.shape[1]):
            best, place = upper[2 * j, k], np.int32(0)
            other = upper[2 * j + 1, k]
            if other * sign[k] > best * sign[k]:
                best, place = other, np.int32(1)
            other = lower[2 * j, k]
            if other * sign[k] > best * sign[k]:
                best, place = other, np.int32(2)
            other = lower[2 * j + 1, k]
            if other * sign[k] > best * sign[k]:
                best, place = other, np.int32(3)
            extreme[j, k] = best
            chosen[j, k] = place


@jit
def norm_pool_relu_backward(x, out_gradient, gamma, extreme, chosen, mean, variance, gamma_gradient, beta_gradient):
    """Replace `x` by the loss's gradient with respect to it; write those of gamma and beta, (filters,)."""
    n, height, width, filters = x.shape
    zero = np.float32(0)
    open_total, centred_total = np.zeros(filters), np.zeros(filters)
    row_open, row_centred = np.empty(filters, np.float32), np.empty(filters, np.float32)
    for b in range(n):
        for i in range(height // 2):
            row_open[:] = 0
            row_centred[:] = 0
            for j in range(width // 2):
                for k in range(filters):
                    gradient = out_gradient[b, i, j, k] if chosen[b, i, j, k] != CLOSED else zero
                    row_open[k] += gradient
                    row_centred[k] += gradient * (extreme[b, i, j, k] - mean[k])
            for k in range(filters):
                open_total[k] += row_open[k]
                centred_total[k] += row_centred[k]
    count = n * height * width
    scale, slope, shift = (np.empty(filters, np.float32), np.empty(filters, np.float32), np.empty(filters, np.float32))
    for k in range(filters):
        inverse = 1 / math.sqrt(variance[k] + EPSILON)
        beta_gradient[k] = open_total[k]
        gamma_gradient[k] = centred_total[k] * inverse
        scale[k] = gamma[k] * inverse
        slope[k] = -gamma[k] * inverse**3 * centred_total[k] / count
        shift[k] = -gamma[k] * inverse * open_total[k] / count - slope[k] * mean[k]
    for b in range(n):
        for i in range(height // 2):
            for j in range(width // 2):
                for place in range(4):
                    row, column = 2 * i + place // 2, 2 * j + place % 2
                    for k in range(filters):
                        own = out_gradient[b, i, j, k] * scale[k]
                        own = own if chosen[b, i, j, k] == place else zero
                        x[b, row, column, k] = x[b, row, column, k] * slope[k] + shift[k] + own
        for i in range(height):
            for j in range(0 if i >= height // 2 * 2 else width // 2 * 2, width):
                for k in range(filters):
                    x[b, i, j, k] = x[b, i, j, k] * slope[k] + shift[k]


@jit
def adam(parameters, second_moment, gradient, learning_rate, beta2, epsilon, count):
    """Adam with beta1 = 0, in place on flat arrays; `count` (from 1) corrects the second moment's bias."""
    rate, keep, rest = np.float32(learning_rate), np.float32(beta2), np.float32(1 - beta2)
    correction, epsilon = np.float32(1 / math.sqrt(1 - beta2**count)), np.float32(epsilon)
    for i in range(parameters.size):
        second_moment[i] = second_moment[i] * keep + gradient[i] * gradient[i] * rest
        parameters[i] -= rate * gradient[i] / (np.sqrt(second_moment[i]) * correction + epsilon)
