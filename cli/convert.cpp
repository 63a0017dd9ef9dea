// weft convert IN OUT
#include "diffusion/convert_model.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/models.h"
#include "io/files/error.h"

namespace weft {
namespace {

struct ConvertOptions {
    std::string from;
    std::string to;
    std::string dtype;
    bool overwrite = false;
};

void convert(const ConvertOptions& options, const Context& context) {
    ConvertRequest request{.from = locate_model(options.from, context), .to = options.to};
    if (!options.dtype.empty())
        request.dtype = stored_dtype_named(options.dtype);
    std::error_code ignored;
    if (!options.overwrite && std::filesystem::exists(request.to, ignored))
        throw Error(options.to, "exists already", "give -y to replace it, or another name");
    const ConvertReport report = convert_model(request);
    if (context.verbosity == Verbosity::quiet)
        return;
    std::fprintf(stderr, "weft: wrote '%s': %lld tensors, %.1f MB\n", options.to.c_str(),
                 static_cast<long long>(report.tensors), static_cast<double>(report.bytes) / 1e6);
    for (const std::string& name : report.left_out)
        std::fprintf(stderr, "weft: left out: %s\n", name.c_str());
}

}  // namespace

void add_convert(CLI::App& command, Context& context) {
    auto options = std::make_shared<ConvertOptions>();
    command.add_option("IN", options->from, "model name, folder or .safetensors file")
        ->required()
        ->type_name("");
    command
        .add_option("OUT", options->to, "NAME.safetensors for a single file, else a folder to make")
        ->required()
        ->type_name("");
    command.add_option("--dtype", options->dtype,
                       "f32, f16, bf16, f8_e4m3 or f8_e5m2 (default: as stored)");
    command.add_flag("-y,--overwrite", options->overwrite, "replace an existing file OUT");
    command.footer(
        "Between diffusers folders and single files as AUTOMATIC1111's web UI and its kin use\n"
        "them (Stable Diffusion 1, 2, XL and their inpainting, depth and instruct forms).");
    command.callback([options, &context] { convert(*options, context); });
}

}  // namespace weft
