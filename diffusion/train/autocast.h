#pragma once

#include <torch/types.h>

namespace weft {

/// Lower precision inside networks while it lives, on one thread; float32 switches nothing on.
class Autocast {
  public:
    Autocast(torch::Device device, torch::ScalarType dtype);
    ~Autocast();
    Autocast(const Autocast&) = delete;
    Autocast& operator=(const Autocast&) = delete;

  private:
    torch::DeviceType device_;
    bool active_;
};

}  // namespace weft
