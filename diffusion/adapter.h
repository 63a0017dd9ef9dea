#pragma once

#include <map>
#include <string>
#include <vector>

#include "diffusion/adapter_choice.h"
#include "diffusion/lora_file.h"
#include "io/files/weights.h"

namespace weft {

/// The LoRAs of a model, merged into its weights while it is loaded:
///
///     Adapters adapters(choices);
///     adapters.merge_into("unet", unet_weights);   // before the network is made of them
///     notes = adapters.finish();
///
/// Each weight is brought to f32, changed by the files in the order given and then cast to what the
/// network runs in, so one file or several round once. Layers that no file names come as they are
/// stored. Thread-safe: no.
class Adapters {
  public:
    /// Error where a file does not open or holds no adapter.
    explicit Adapters(const std::vector<LoraChoice>& choices);

    bool empty() const { return loaded_.empty(); }

    /// Patches the weights of a whole component. Does nothing where no file has layers for it.
    void merge_into(const std::string& component, Weights& weights);

    /// What was not merged, a line a file and component, with the layers' names: unknown keys,
    /// layers the model does not have, parts given a weight that hold no layer. Error where a file
    /// fits nothing at all.
    std::vector<std::string> finish() const;

  private:
    struct Loaded {
        LoraChoice choice;
        AdapterFile file;
        int64_t merged = 0;  // layers that found their place
        std::map<std::string, std::vector<std::string>> unmatched = {};  // layers, by component
        std::map<std::string, bool> part_used = {};
    };

    std::vector<Loaded> loaded_;
};

}  // namespace weft
