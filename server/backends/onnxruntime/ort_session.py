"""A model's settings, under the native backend's names, turned into an onnxruntime session.

Read from `parameters`: intra_op_thread_count, inter_op_thread_count, execution_mode, enable_mem_arena,
enable_mem_pattern, memory.enable_memory_arena_shrinkage, session.use_device_allocator_for_initializers, and for the GPU
cudnn_conv_algo_search (0 exhaustive, 1 heuristic, 2 default), gpu_mem_limit (bytes), arena_extend_strategy and
do_copy_in_default_stream. Values and defaults are the native backend's.
"""

import ctypes

import onnxruntime


def model_path(config, name, version_folder):
    """Path of the graph in `version_folder`; raises FileNotFoundError naming the command that builds it."""
    path = version_folder / (config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}: {version_folder.name}/{path.name} is missing; build it: reelscope-export {name} --profile NAME"
        )
    return path


def open_session(config, name, path, device_id):
    """Open the graph on GPU `device_id`, or on the CPU for None; raises when the file or a provider is no good."""
    if cpu_accelerators := _accelerators(config, "cpu_execution_accelerator"):
        raise ValueError(f"{name}: execution accelerator {', '.join(cpu_accelerators)} is not served")
    gpu_providers = [] if device_id is None else _gpu_providers(config, name, device_id)
    providers = [*gpu_providers, "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(path, _session_options(config), providers=providers)
    except Exception as error:  # its types for damaged files are many, and share no base
        raise ValueError(
            f"{name}: {path.parent.name}/{path.name} cannot be opened ({error}); if it is damaged, build it again: "
            f"reelscope-export {name} --profile NAME --force"
        ) from error
    # Weights are copied on their way in. What that leaves behind, for a large network its size again, goes back.
    ctypes.CDLL(None).malloc_trim(0)
    # onnxruntime only warns when a provider cannot start, and would then run on the CPU unnoticed.
    if absent := [provider for provider, _ in gpu_providers if provider not in session.get_providers()]:
        raise RuntimeError(f"{name}: {', '.join(absent)} did not start; see the log (driver, CUDA or cuDNN missing?)")
    return session


def run_options(config):
    """Options of every run: whether, and on which devices, the arena shrinks after it."""
    options = onnxruntime.RunOptions()
    shrinkage = "memory.enable_memory_arena_shrinkage"
    if _parameter(config, shrinkage):
        options.add_run_config_entry(shrinkage, _parameter(config, shrinkage))
    return options


def _session_options(config):
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    chosen = {-1: levels.ORT_ENABLE_BASIC, 1: levels.ORT_ENABLE_EXTENDED, 2: levels.ORT_DISABLE_ALL}
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = chosen.get(level, levels.ORT_ENABLE_ALL)
    options.intra_op_num_threads = int(_parameter(config, "intra_op_thread_count", "0"))
    options.inter_op_num_threads = int(_parameter(config, "inter_op_thread_count", "0"))
    modes = (onnxruntime.ExecutionMode.ORT_SEQUENTIAL, onnxruntime.ExecutionMode.ORT_PARALLEL)
    options.execution_mode = _choice(config, "execution_mode", modes)
    options.enable_cpu_mem_arena = _choice(config, "enable_mem_arena", (False, True), default="1")
    options.enable_mem_pattern = _choice(config, "enable_mem_pattern", (False, True), default="1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    initializers = "session.use_device_allocator_for_initializers"
    if _parameter(config, initializers):
        options.add_session_config_entry(initializers, _parameter(config, initializers))
    return options


def _gpu_providers(config, name, device_id):
    available = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in available:
        raise RuntimeError(
            f"{name}: the config asks for KIND_GPU, but this onnxruntime has no CUDA provider (it has "
            f"{', '.join(available)}): install reelscope[server-gpu], or serve a CPU profile"
        )
    # The CUDA and cuDNN wheels are not on the loader's path; this finds them beside onnxruntime.
    onnxruntime.preload_dlls()
    accelerators = _accelerators(config, "gpu_execution_accelerator")
    providers = [("CUDAExecutionProvider", _cuda_options(config, device_id) | accelerators.pop("cuda", {}))]
    if (parameters := accelerators.pop("tensorrt", None)) is not None:
        if "TensorrtExecutionProvider" not in available:
            raise RuntimeError(f"{name}: the config asks for TensorRT, but this onnxruntime has no TensorRT provider")
        providers.insert(0, ("TensorrtExecutionProvider", _tensorrt_options(parameters, device_id)))
    if accelerators:
        raise ValueError(f"{name}: execution accelerator {', '.join(accelerators)} is not served")
    return providers


def _cuda_options(config, device_id):
    options = {
        "device_id": device_id,
        "cudnn_conv_algo_search": _choice(config, "cudnn_conv_algo_search", ("EXHAUSTIVE", "HEURISTIC", "DEFAULT")),
        "arena_extend_strategy": _choice(config, "arena_extend_strategy", ("kNextPowerOfTwo", "kSameAsRequested")),
        "do_copy_in_default_stream": _choice(config, "do_copy_in_default_stream", ("0", "1"), default="1"),
    }
    if _parameter(config, "gpu_mem_limit"):
        options["gpu_mem_limit"] = _parameter(config, "gpu_mem_limit")
    return options


def _tensorrt_options(parameters, device_id):
    options = {"device_id": device_id}
    for key, value in parameters.items():
        if key == "precision_mode":
            if value not in ("FP32", "FP16", "BF16", "INT8"):
                raise ValueError(f"unsupported precision_mode {value!r}")
            if value != "FP32":
                options[f"trt_{value.lower()}_enable"] = "1"
        elif key == "max_workspace_size_bytes":
            options["trt_max_workspace_size"] = value
        else:
            options[key if key.startswith("trt_") else f"trt_{key}"] = value
    return options


def _accelerators(config, kind):
    listed = config.get("optimization", {}).get("execution_accelerators", {}).get(kind, [])
    return {accelerator["name"]: accelerator.get("parameters", {}) for accelerator in listed}


def _parameter(config, key, default=""):
    return config.get("parameters", {}).get(key, {}).get("string_value", "") or default


def _choice(config, key, meanings, default="0"):
    value = _parameter(config, key, default)
    if value not in [str(number) for number in range(len(meanings))]:
        raise ValueError(f"parameter {key} must be a number from 0 to {len(meanings) - 1}, not {value!r}")
    return meanings[int(value)]
