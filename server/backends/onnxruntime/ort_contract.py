"""Does the config describe the graph, and does it ask only for what this backend serves?"""

TRITON_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
"""Element types that this backend serves, as onnxruntime and as Triton name them."""


def unserved(config):
    """Name the sections of the config that this backend does not implement."""
    sections = ("sequence_batching", "batch_input", "batch_output", "model_operations")
    found = [section for section in sections if config.get(section)]
    return found + [f"allow_ragged_batch of {item['name']}" for item in config["input"] if item["allow_ragged_batch"]]


def disagreements(config, session, file_name):
    """Say in words how the config's tensors differ from the graph's; an empty list when they agree."""
    batching = config["max_batch_size"] > 0
    required = {node.name: node for node in session.get_inputs()}
    inputs = required | {node.name: node for node in session.get_overridable_initializers()}
    outputs = {node.name: node for node in session.get_outputs()}
    missing = set(required) - {item["name"] for item in config["input"]}
    problems = [f"input {name} of {file_name} is not in the config" for name in sorted(missing)]
    for item in config["input"]:
        if item["optional"] and batching:
            problems.append(f"input {item['name']} cannot be optional in a model with max_batch_size > 0")
        elif item["optional"] and item["name"] in required:
            problems.append(f"input {item['name']} cannot be optional: {file_name} has no default value for it")
        problems += _tensor_problems("input", item, inputs, file_name, batching)
    for item in config["output"]:
        problems += _tensor_problems("output", item, outputs, file_name, batching)
    return problems


def _tensor_problems(kind, item, nodes, file_name, batching):
    label = f"{kind} {item['name']}"
    node = nodes.get(item["name"])
    if node is None:
        return [f"{label} is not in {file_name}, which has {', '.join(sorted(nodes))}"]
    graph_type = TRITON_TYPES.get(node.type, node.type)
    if item["data_type"] != graph_type:
        return [f"{label} is {item['data_type']} in the config and {graph_type} in {file_name}"]
    dims = [int(dim) for dim in (item["reshape"]["shape"] if "reshape" in item else item["dims"])]
    shape = [dim if isinstance(dim, int) else -1 for dim in node.shape or []]
    if batching and shape[:1] != [-1]:
        return [f"{label} cannot be batched: its shape in {file_name} is {shape}, the first must be variable"]
    expected = [-1, *dims] if batching else dims
    fits = len(shape) == len(expected) and all(own in (-1, dim) for own, dim in zip(shape, expected, strict=True))
    is_scalar = not shape and all(dim == 1 for dim in dims)
    return [] if fits or is_scalar else [f"{label} has shape {expected} in the config and {shape} in {file_name}"]
