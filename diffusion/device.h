#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

namespace weft {

/// The user's wish, as on the command line.
struct DeviceChoice {
    std::string device = "auto";  // auto | cpu | cuda | cuda:N
    std::string dtype = "auto";   // auto | f32 | bf16 | f16
};

/// Where networks run and in which precision; samplers stay in f32.
struct Placement {
    torch::Device device = torch::kCPU;
    torch::ScalarType dtype = torch::kFloat32;
};

/// Resolves a wish. auto takes the GPU where a driver and LibTorch's CUDA library are there (the
/// library is loaded on this call), else the CPU. dtype auto: on the GPU bf16, or f16 before
/// Ampere; on the CPU bf16 only where the hardware has AVX512-BF16 or AMX, else f32. UsageError for
/// an unknown word, Error for a GPU that is not there. Thread-safe: yes.
Placement choose_placement(const DeviceChoice& choice);

/// True where an NVIDIA driver, a device and LibTorch's CUDA library are usable; loads the library.
bool cuda_usable();
/// Why not, in one line; empty where it is usable.
std::string cuda_problem();

/// True where bf16 matrix products run in hardware on this CPU.
bool cpu_has_bf16();
/// True where this CPU multiplies bf16 matrices in a unit of their own (AMX).
bool cpu_has_amx();
/// One line: model name, vector extensions that matter, threads in use.
std::string describe_cpu();
/// One line for each GPU that can be used, e.g. "cuda:0 NVIDIA H100 (78 GiB, compute 9.0)".
std::vector<std::string> describe_gpus();

/// Threads inside LibTorch's operators; 0 leaves the default (the cores this process may use).
void set_threads(int64_t threads);

/// Keeps large blocks inside the process instead of returning them to the kernel after every layer
/// (Note [Allocator] for tensors, glibc's settings for the scratch memory of libraries). Call first
/// in main. Memory stays bounded by the peak of live tensors and what the allocator may keep;
/// release_memory() gives it back.
void tune_allocator();
void release_memory();

}  // namespace weft
