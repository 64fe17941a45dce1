"""The same jobs by onnxruntime.quantization: python peer.py int4|dynamic|static model.onnx product.onnx"""

import sys

import numpy as np
import onnx

job, model, product = sys.argv[1:]

if job == "int4":
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        onnx.load(model), bits=4, block_size=32, is_symmetric=True, quant_format=QuantFormat.QDQ
    )
    quantizer.process()
    quantizer.model.save_model_to_file(product, True)
elif job == "dynamic":
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(model, product, per_channel=True)
elif job == "static":
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    inputs = onnx.load(model, load_external_data=False).graph.input
    shape = [dim.dim_value or 1 for dim in inputs[0].type.tensor_type.shape.dim]
    random = np.random.default_rng(1)

    class Reader(CalibrationDataReader):
        left = 8

        def get_next(self):
            self.left -= 1
            if self.left < 0:
                return None
            return {inputs[0].name: random.normal(size=shape).astype(np.float32)}

    quantize_static(model, product, Reader(), per_channel=True)
