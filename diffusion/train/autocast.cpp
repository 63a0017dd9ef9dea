#include "diffusion/train/autocast.h"

#include <ATen/autocast_mode.h>

namespace weft {

Autocast::Autocast(torch::Device device, torch::ScalarType dtype)
    : device_(device.type()), active_(dtype != torch::kFloat32) {
    if (active_) {
        at::autocast::set_autocast_dtype(device_, dtype);
        at::autocast::set_autocast_enabled(device_, true);
        at::autocast::increment_nesting();
    }
}

Autocast::~Autocast() {
    if (active_) {
        if (at::autocast::decrement_nesting() == 0) {
            at::autocast::clear_cache();
        }
        at::autocast::set_autocast_enabled(device_, false);
    }
}

}  // namespace weft
