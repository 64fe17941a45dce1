"""Rewrites a model without loss by one Python tool: python simplify.py onnxscript|onnxruntime in out.

`onnxruntime` writes the model after the optimizations of level "basic", which are those that leave
a portable file: higher levels write operators that only the runtime on this kind of CPU knows.
"""

import sys

tool, source, target = sys.argv[1:]
if tool == "onnxscript":
    import onnx
    import onnxscript.optimizer

    onnx.save(onnxscript.optimizer.optimize(onnx.load(source)), target)
else:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    options.log_severity_level = 3
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
