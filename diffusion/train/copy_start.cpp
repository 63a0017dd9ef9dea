#include "diffusion/train/copy_start.h"

#include <map>

namespace weft {

void start_as_copy(const NamedTensors& unet, const UnetConfig& config) {
    const torch::NoGradGuard no_grad;
    const int64_t inputs = config.in_channels, latent = config.out_channels;
    const int64_t channels = config.block_out_channels.front();
    const int64_t group = channels / config.norm_num_groups;
    if (inputs != 2 * latent || inputs > config.norm_num_groups || group < 2) {
        return;
    }
    std::map<std::string, torch::Tensor> tensors(unet.begin(), unet.end());
    const size_t last = config.block_out_channels.size() - 1;
    const std::string shortcut_name = c10::str(
        "up_blocks.", last, ".resnets.", config.layers_per_block.front(), ".conv_shortcut.weight");
    torch::Tensor in = tensors.at("conv_in.weight");     // [channels, inputs, 3, 3]
    torch::Tensor shortcut = tensors.at(shortcut_name);  // [channels, before + channels, 1, 1]
    torch::Tensor out = tensors.at("conv_out.weight");   // [latent, channels, 3, 3]
    const int64_t before = shortcut.size(1) - channels;  // the skip is joined last

    // One pair in each norm group, so that the group's mean is near zero and only its scale is
    // lost.
    for (int64_t i = 0; i < inputs; ++i) {
        for (const int64_t sign : {1, -1}) {
            const int64_t place = i * group + (sign > 0 ? 0 : 1);
            in.select(0, place).zero_();
            in[place][i][1][1] = static_cast<double>(sign);
            shortcut.select(0, place).zero_();
            shortcut[place][before + place][0][0] = 1.0;
            const double share = i < latent ? 0.35 : -1.0;
            out[i % latent][place][1][1] = share * static_cast<double>(sign);
        }
    }
}

}  // namespace weft
