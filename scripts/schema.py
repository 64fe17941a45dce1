"""Writes src/ops/schema-table.ts from the operator schemas of the onnx package.

    pip install onnx==1.23.1
    python scripts/schema.py

Operators are described as of opset 21, to which every model is brought when it is loaded; those
introduced later, up to opset 25, as of opset 25 with the opset that introduced them as `since`.
"""

import json
import re
from pathlib import Path

import numpy as np
import onnx
from onnx import defs

OPSET, LATEST = 21, 25
MOST_TYPES = 12  # constraints that allow more types are left out: they hardly exclude anything
OUT = Path(__file__).resolve().parent.parent / "src/ops/schema-table.ts"

HEADER = f"""/** @file Operator schemas, opset {OPSET} (newer operators: opset {LATEST}). Generated, do not edit. */
// By `python scripts/schema.py` with onnx {onnx.__version__}; deprecated operators are left out.
import type {{ DType }} from "../ir/dtype.ts";

export interface PortSchema {{
  readonly name: string;
  /** A dtype, or a type constraint: ports of the same one agree (not so inside a variadic "V"). */
  readonly type: string;
  /** May be absent: an empty name, left off the end, or a variadic port without values. */
  readonly optional?: true;
  /** The last port, repeated. */
  readonly variadic?: true;
}}

export interface AttributeSchema {{
  readonly type:
    | "float"
    | "int"
    | "string"
    | "tensor"
    | "graph"
    | "floats"
    | "ints"
    | "strings"
    | "sparse_tensor"
    | "type_proto";
  readonly required?: true;
  readonly default?: number | string | readonly number[] | readonly string[];
}}

export interface OpSchema {{
  /** The opset that gave the operator this signature (newer operators: that introduced it). */
  readonly since: number;
  readonly inputs: readonly PortSchema[];
  readonly outputs: readonly PortSchema[];
  readonly attributes: Readonly<Record<string, AttributeSchema>>;
  /** Dtypes each constraint allows; constraints with more than {MOST_TYPES} dtypes are left out. */
  readonly types?: Readonly<Record<string, readonly DType[]>>;
}}

"""

DTYPES = {"float": "float32", "double": "float64"}


def dtype(text):
    """"tensor(float)" -> "float32"; constraint names, seq(...) and optional(...) unchanged."""
    inner = re.fullmatch(r"tensor\((\w+)\)", text)
    return DTYPES.get(inner[1], inner[1]) if inner else text


def port(parameter):
    schema = {"name": parameter.name, "type": dtype(parameter.type_str)}
    kind = parameter.option.name
    if kind == "Optional" or (kind == "Variadic" and parameter.min_arity == 0):
        schema["optional"] = True
    if kind == "Variadic":
        schema["variadic"] = True
    return schema


def plain(value):
    """Bytes as text; a float32 as its shortest decimal (1e-05, not 9.999999747378752e-06)."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.decode()
    return float(str(np.float32(value))) if isinstance(value, float) else value


def attribute(declared):
    schema = {"type": declared.type.name.lower()}
    if declared.required:
        schema["required"] = True
    if declared.default_value.type:
        value = onnx.helper.get_attribute_value(declared.default_value)
        schema["default"] = plain(value)
    return schema


def operator(schema, since):
    entry = {
        "since": since,
        "inputs": [port(p) for p in schema.inputs],
        "outputs": [port(p) for p in schema.outputs],
        "attributes": {name: attribute(a) for name, a in sorted(schema.attributes.items())},
    }
    types = {
        c.type_param_str: sorted(dtype(t) for t in c.allowed_type_strs)
        for c in schema.type_constraints
        if len(c.allowed_type_strs) <= MOST_TYPES
        and all(t.startswith("tensor(") for t in c.allowed_type_strs)
    }
    if types:
        entry["types"] = types
    return entry


def literal(value):
    """A TypeScript literal: JSON with bare keys and JavaScript's spelling of small numbers."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{key}: {literal(v)}" for key, v in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, float):
        return re.sub(r"\.0$|(?<=e[+-])0+", "", repr(value))
    return json.dumps(value)


first = {}
for schema in defs.get_all_schemas_with_history():
    if schema.domain == "":
        first[schema.name] = min(first.get(schema.name, 99), schema.since_version)

lines = []
for name in sorted(n for n, introduced in first.items() if introduced <= LATEST):
    newer = first[name] > OPSET
    schema = defs.get_schema(name, LATEST if newer else OPSET, "")
    if not schema.deprecated:
        since = first[name] if newer else schema.since_version
        lines.append(f"  {name}: {literal(operator(schema, since))},")

OUT.write_text(
    HEADER
    + "// biome-ignore format: a table, one operator per line\n"
    + "export const schemaTable = {\n"
    + "\n".join(lines)
    + "\n} as const satisfies Record<string, OpSchema>;\n"
    + "\n/** Every operator of the standard domain that tersor knows by its schema. */\n"
    + "export type OpName = keyof typeof schemaTable;\n"
)
print(f"{OUT.name}: {len(lines)} operators")
