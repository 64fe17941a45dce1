"""
Whether the engine's CPU kernel of GroupQueryAttention (com.microsoft) reads keys and values in 8 and 4
bits: one token after three, against numpy. `python cache.py`, with onnx and onnxruntime.
"""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HEADS, GROUPS, SIZE, PAST = 4, 2, 16, 3


def model(bits, kind, scale):
    """q, k, v and a quantized past -> y and a quantized present. Scales are inputs 12 and 13."""
    stored, width = (TensorProto.INT8, SIZE) if bits == 8 else (TensorProto.UINT8, SIZE // 2)
    value = helper.make_tensor_value_info
    inputs = [value(n, TensorProto.FLOAT, [1, 1, c * SIZE]) for n, c in [("q", HEADS), ("k", GROUPS), ("v", GROUPS)]]
    inputs += [value(n, stored, [1, GROUPS, "past", width]) for n in ("past_key", "past_value")]
    inputs += [value("seqlens_k", TensorProto.INT32, [1]), value("total", TensorProto.INT32, [])]
    outputs = [value("y", TensorProto.FLOAT, [1, 1, HEADS * SIZE])]
    outputs += [value(n, stored, [1, GROUPS, "all", width]) for n in ("present_key", "present_value")]
    node = helper.make_node(
        "GroupQueryAttention",
        [one.name for one in inputs] + [""] * 5 + ["k_scale", "v_scale"],
        [one.name for one in outputs],
        domain="com.microsoft",
        num_heads=HEADS,
        kv_num_heads=GROUPS,
        k_quant_type=kind,
        v_quant_type=kind,
        kv_cache_bit_width=bits,
    )
    scales = [numpy_helper.from_array(scale, name) for name in ("k_scale", "v_scale")]
    graph = helper.make_graph([node], "g", inputs, outputs, scales)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def attention(feeds, bits, scale):
    """The same with x = s q; two numbers of 4 bits in a byte, the lower first, 8 more than q."""
    least, greatest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def whole(past, new):
        levels = past.astype(int)
        if bits == 4:
            levels = np.stack([past & 15, past >> 4], -1).reshape(1, GROUPS, PAST, SIZE).astype(int) - 8
        rows = new.reshape(1, 1, GROUPS, SIZE).transpose(0, 2, 1, 3)
        return np.concatenate([levels, np.clip(np.rint(rows / scale), least, greatest)], 2) * scale

    keys, values = whole(feeds["past_key"], feeds["k"]), whole(feeds["past_value"], feeds["v"])
    result = []
    for head, q in enumerate(feeds["q"].reshape(HEADS, SIZE)):
        scores = np.exp(keys[0, head // (HEADS // GROUPS)] @ q / SIZE**0.5)
        result.append(scores / scores.sum() @ values[0, head // (HEADS // GROUPS)])
    return np.concatenate(result)


random = np.random.default_rng(1)
for kind, shape in [("PER_TENSOR", [1]), ("PER_CHANNEL", [1, GROUPS, 1, SIZE])]:
    for bits, stored, width, factor in [(8, np.int8, SIZE, 1), (4, np.uint8, SIZE // 2, 12)]:
        scale = (random.uniform(0.01, 0.03, shape) * factor).astype(np.float32)
        feeds = {n: random.normal(size=(1, 1, c * SIZE)).astype(np.float32) for n, c in [("q", HEADS), ("k", GROUPS), ("v", GROUPS)]}
        for name in ("past_key", "past_value"):
            feeds[name] = random.integers(0, 100, (1, GROUPS, PAST, width)).astype(stored)
        feeds |= {"seqlens_k": np.array([PAST], np.int32), "total": np.array(PAST + 1, np.int32)}
        session = onnxruntime.InferenceSession(model(bits, kind, scale), providers=["CPUExecutionProvider"])
        got, expected = session.run(["y"], feeds)[0].ravel(), attention(feeds, bits, scale)
        print(kind, bits, "bits: largest difference", np.abs(got - expected).max() / np.abs(expected).max())
