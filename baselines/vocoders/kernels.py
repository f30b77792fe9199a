"""Sample-by-sample generation on a CPU, compiled by Numba.

One sample depends on the one before, so a network is called 16,000 times a second of speech with vectors
instead of batches. Called through a tensor library each call costs more than the arithmetic; here the whole
loop is one compiled function. Weights are stored (inputs, outputs), so that the inner loops run over
consecutive outputs and become vector instructions.

Every function takes ``uniforms``, numbers in (0, 1) drawn by the caller, instead of a generator: the samples
are a function of the arguments. With ``forced`` not empty its values are taken instead of drawn ones and
``scores`` (not empty) receives what the network says before each, which is how tests compare with the
parallel forward pass.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

ZERO = np.float32(0)
HALF = np.float32(0.5)
ONE = np.float32(1)
TWO = np.float32(2)
SQRT_HALF = np.float32(np.sqrt(0.5))
# Beyond this the hyperbolic tangent is 1 in single precision.
TANH_LIMIT = np.float32(9)
# Lambert's continued fraction of tanh up to the seventh power, numerator and denominator.
TANH_A, TANH_B, TANH_C = np.float32(135135), np.float32(17325), np.float32(378)
TANH_D, TANH_E, TANH_F = np.float32(62370), np.float32(3150), np.float32(28)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile; the machine code is kept beside the module where that can be written."""
    try:
        return numba.njit(cache=True, fastmath=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        return numba.njit(fastmath=True)(function)  # type: ignore[no-any-return]


@compiled
def tanh(value):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent by the continued fraction at half the argument: arithmetic alone, so a loop of them
    is vectorised."""
    half = HALF * min(max(value, -TANH_LIMIT), TANH_LIMIT)
    square = half * half
    tangent = (
        half
        * (TANH_A + square * (TANH_B + square * (TANH_C + square)))
        / (TANH_A + square * (TANH_D + square * (TANH_E + square * TANH_F)))
    )
    return TWO * tangent / (ONE + tangent * tangent)


@compiled
def sigmoid(value):  # type: ignore[no-untyped-def]
    """Logistic function."""
    return HALF + HALF * tanh(HALF * value)


@compiled
def add_product(weights, inputs, outputs):  # type: ignore[no-untyped-def]
    """Add ``inputs @ weights`` to ``outputs``; four rows at a time, so that outputs are loaded less often."""
    rows, columns = weights.shape
    whole = rows - rows % 4
    for row in range(0, whole, 4):
        a, b, c, d = inputs[row], inputs[row + 1], inputs[row + 2], inputs[row + 3]
        for column in range(columns):
            outputs[column] += (
                a * weights[row, column]
                + b * weights[row + 1, column]
                + c * weights[row + 2, column]
                + d * weights[row + 3, column]
            )
    for row in range(whole, rows):
        a = inputs[row]
        for column in range(columns):
            outputs[column] += a * weights[row, column]


@compiled
def rectify(values):  # type: ignore[no-untyped-def]
    """Replace negative values by zero."""
    for index in range(values.size):
        values[index] = max(values[index], ZERO)


@compiled
def draw_class(scores, temperature, uniform):  # type: ignore[no-untyped-def]
    """Draw from the softmax of scores by inverting its cumulative distribution."""
    highest = scores[0]
    for index in range(scores.size):
        highest = max(highest, scores[index])
    shares = np.empty(scores.size, np.float32)
    total = 0.0
    for index in range(scores.size):
        shares[index] = np.exp((scores[index] - highest) / temperature)
        total += shares[index]
    wanted, reached = uniform * total, 0.0
    for index in range(scores.size):
        reached += shares[index]
        if reached >= wanted:
            return index
    return scores.size - 1


@compiled
def draw_logistic(scores, temperature, first, second):  # type: ignore[no-untyped-def]
    """Draw from a mixture of logistics, given as weights, means and logarithms of scales; range -1 to 1."""
    components = scores.size // 3
    chosen = draw_class(scores[:components], ONE, first)
    scale = np.exp(max(scores[2 * components + chosen], np.float32(-16))) * temperature
    value = scores[components + chosen] + scale * (np.log(second) - np.log(1 - second))
    return min(max(value, -1.0), 1.0)


@compiled
def update_gru(given, recurrent, state):  # type: ignore[no-untyped-def]
    """One step of a gated recurrent unit in torch's arrangement; both inputs hold reset, update, new."""
    cells = state.size
    for cell in range(cells):
        reset = sigmoid(given[cell] + recurrent[cell])
        update = sigmoid(given[cells + cell] + recurrent[cells + cell])
        new = tanh(given[2 * cells + cell] + reset * recurrent[2 * cells + cell])
        state[cell] = new + update * (state[cell] - new)


@compiled
def run_wavenet(  # type: ignore[no-untyped-def]
    entry,
    is_scalar,
    dilations,
    dilated,
    outputs,
    outputs_bias,
    last,
    last_bias,
    final,
    final_bias,
    condition,
    temperature,
    uniforms,
    forced,
    rings,
    offsets,
    start,
    previous,
    samples,
    scores,
):
    """Generate one chunk of a WaveNet; ``rings`` and the return value carry the state to the next.

    Args:
        entry: rows by class (classes, residual), or the weight and the bias of a scalar input (2, residual).
        is_scalar: which of the two, and whether a mixture of logistics is drawn from instead of classes.
        dilations: of the layers, shape (layers,).
        dilated: weights of the dilated convolutions (layers, kernel, residual, gates).
        outputs: of the 1x1 convolutions to skip and residual (layers, gates / 2, skip + residual).
        outputs_bias: (layers, skip + residual).
        last: (skip, skip).
        last_bias: (skip,).
        final: (skip, scores).
        final_bias: (scores,).
        condition: what the features add to the gates, with the bias (time, layers, gates).
        temperature: sharpens the distribution below 1.
        uniforms: shape (time, 2).
        forced: samples to take (time,), or empty.
        rings: past inputs of all layers, one ring buffer after another (rows, residual).
        offsets: where each ring begins, and the end (layers + 1,).
        start: number of the first sample.
        previous: sample before it.
        samples: receives (time,).
        scores: receives (time, scores), or empty.

    Returns:
        The last sample.
    """
    layers, kernel, residual, gates = dilated.shape
    skips, half = last.shape[0], gates // 2
    hidden, gate, gated = (
        np.empty(residual, np.float32),
        np.empty(gates, np.float32),
        np.empty(half, np.float32),
    )
    both, skip = np.empty(skips + residual, np.float32), np.empty(skips, np.float32)
    top, score = np.empty(skips, np.float32), np.empty(final.shape[1], np.float32)
    for time in range(samples.size):
        if is_scalar:
            for index in range(residual):
                hidden[index] = previous * entry[0, index] + entry[1, index]
        else:
            hidden[:] = entry[int(previous)]
        skip[:] = ZERO
        for layer in range(layers):
            length, base = offsets[layer + 1] - offsets[layer], offsets[layer]
            rings[base + (start + time) % length] = hidden
            gate[:] = condition[time, layer]
            for tap in range(kernel):
                ago = (kernel - 1 - tap) * dilations[layer]
                if ago <= start + time:
                    add_product(dilated[layer, tap], rings[base + (start + time - ago) % length], gate)
            for index in range(half):
                gated[index] = tanh(gate[index]) * sigmoid(gate[half + index])
            both[:] = outputs_bias[layer]
            add_product(outputs[layer], gated, both)
            for index in range(skips):
                skip[index] += both[index]
            for index in range(residual):
                hidden[index] = (hidden[index] + both[skips + index]) * SQRT_HALF
        rectify(skip)
        top[:] = last_bias
        add_product(last, skip, top)
        rectify(top)
        score[:] = final_bias
        add_product(final, top, score)
        if scores.size:
            scores[time] = score
        if forced.size:
            previous = forced[time]
        elif is_scalar:
            previous = np.float32(draw_logistic(score, temperature, uniforms[time, 0], uniforms[time, 1]))
        else:
            previous = np.float32(draw_class(score, temperature, uniforms[time, 0]))
        samples[time] = previous
    return previous


@compiled
def run_wavernn(  # type: ignore[no-untyped-def]
    by_sample,
    first_recurrent,
    first_bias,
    second_given,
    second_recurrent,
    second_bias,
    first_dense,
    second_dense,
    final,
    final_bias,
    condition,
    temperature,
    uniforms,
    forced,
    states,
    previous,
    labels,
    scores,
):
    """Generate one chunk of a WaveRNN; ``states`` and the return value carry the state to the next.

    Args:
        by_sample: what a previous sample of 1 adds to the inputs of both GRUs and to the first dense layer.
        first_recurrent: (cells, 3 * cells), as all of the GRUs' weights.
        first_bias: (3 * cells,).
        second_given: what the first GRU's state adds to the input of the second.
        second_recurrent: as the first's.
        second_bias: as the first's.
        first_dense: (cells, dense).
        second_dense: (dense, dense).
        final: (dense, classes).
        final_bias: (classes,).
        condition: what features and biases add to the inputs of both GRUs and both dense layers (time, 6 *
            cells + 2 * dense).
        temperature: sharpens the distribution below 1.
        uniforms: shape (time, 2).
        forced: labels to take (time,), or empty.
        states: of the GRUs (2, cells).
        previous: companded value of the sample before, -1 to 1.
        labels: receives (time,).
        scores: receives (time, classes), or empty.

    Returns:
        The companded value of the last sample.
    """
    cells, dense, classes = states.shape[1], first_dense.shape[1], final.shape[1]
    given, recurrent = np.empty(3 * cells, np.float32), np.empty(3 * cells, np.float32)
    total, low = np.empty(cells, np.float32), np.empty(dense, np.float32)
    top, score = np.empty(dense, np.float32), np.empty(classes, np.float32)
    for time in range(labels.size):
        for index in range(3 * cells):
            given[index] = condition[time, index] + previous * by_sample[index]
        recurrent[:] = first_bias
        add_product(first_recurrent, states[0], recurrent)
        update_gru(given, recurrent, states[0])
        for index in range(3 * cells):
            given[index] = condition[time, 3 * cells + index] + previous * by_sample[3 * cells + index]
        add_product(second_given, states[0], given)
        recurrent[:] = second_bias
        add_product(second_recurrent, states[1], recurrent)
        update_gru(given, recurrent, states[1])
        for index in range(cells):
            total[index] = states[0, index] + states[1, index]
        for index in range(dense):
            low[index] = condition[time, 6 * cells + index] + previous * by_sample[6 * cells + index]
            top[index] = condition[time, 6 * cells + dense + index]
        add_product(first_dense, total, low)
        rectify(low)
        add_product(second_dense, low, top)
        rectify(top)
        score[:] = final_bias
        add_product(final, top, score)
        if scores.size:
            scores[time] = score
        label = np.float32(draw_class(score, temperature, uniforms[time, 0]))
        if forced.size:
            label = forced[time]
        labels[time] = label
        previous = TWO * label / np.float32(classes - 1) - ONE
    return previous


@compiled
def run_gru(  # type: ignore[no-untyped-def]
    entry,
    recurrent,
    recurrent_bias,
    dense,
    dense_bias,
    final,
    final_bias,
    condition,
    temperature,
    uniforms,
    forced,
    state,
    previous,
    labels,
    scores,
):
    """Generate one chunk of a single GRU over embedded classes; ``state`` and the return value carry on.

    Args:
        entry: what each class of the sample before adds to the input (classes, 3 * cells).
        recurrent: (cells, 3 * cells).
        recurrent_bias: (3 * cells,).
        dense: (cells, dense).
        dense_bias: (dense,).
        final: (dense, classes).
        final_bias: (classes,).
        condition: what the conditioning and the bias add to the input (time, 3 * cells).
        temperature: sharpens the distribution below 1.
        uniforms: shape (time, 2).
        forced: labels to take (time,), or empty.
        state: of the GRU (cells,).
        previous: label of the sample before.
        labels: receives (time,).
        scores: receives (time, classes), or empty.

    Returns:
        The last label.
    """
    cells = state.size
    given, inside = np.empty(3 * cells, np.float32), np.empty(3 * cells, np.float32)
    top, score = np.empty(dense.shape[1], np.float32), np.empty(final.shape[1], np.float32)
    for time in range(labels.size):
        last = int(previous)
        for index in range(3 * cells):
            given[index] = condition[time, index] + entry[last, index]
        inside[:] = recurrent_bias
        add_product(recurrent, state, inside)
        update_gru(given, inside, state)
        top[:] = dense_bias
        add_product(dense, state, top)
        rectify(top)
        score[:] = final_bias
        add_product(final, top, score)
        if scores.size:
            scores[time] = score
        previous = np.float32(draw_class(score, temperature, uniforms[time, 0]))
        if forced.size:
            previous = forced[time]
        labels[time] = previous
    return previous
