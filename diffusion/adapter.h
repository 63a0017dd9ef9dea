#pragma once

#include <map>
#include <string>
#include <vector>

#include "diffusion/adapter_choice.h"
#include "diffusion/lora_file.h"
#include "io/files/weights.h"

namespace weft {

/// The first eight names, quoted, and how many more there are, for notes.
std::string listed_names(const std::vector<std::string>& names);

/// The LoRAs of a model, brought into its weights while it is loaded:
///
///     Adapters adapters(choices);
///     adapters.apply_to("unet", unet_weights);   // before the network is made of them
///     notes = adapters.finish();                 // after
///
/// Merged ones: each weight is brought to f32, changed by the files in the order given and then
/// cast to what the network runs in, so one file or several round once. Layers that no file names
/// come as they are stored. Unmerged ones: their factors are put beside the layer's weights, for
/// LowRank; files count in the order given, merged ones too, as columns of the strengths.
/// Thread-safe: no.
class Adapters {
  public:
    /// Error where a file does not open or holds no adapter.
    explicit Adapters(const std::vector<LoraChoice>& choices);

    bool empty() const { return loaded_.empty(); }

    /// Changes the weights of a whole component. Does nothing where no file has layers for it.
    /// Error where the change of an unmerged layer does not fit it (merged ones are checked when
    /// their weight is asked for), or a `varying` one cannot run beside its layer.
    void apply_to(const std::string& component, Weights& weights);

    /// What was not applied, or otherwise than asked, a line a file and component, with the layers'
    /// names: unknown keys, layers the model does not have, parts given a weight that hold no
    /// layer, layers merged though they were to run beside. Error where a file fits nothing at all.
    std::vector<std::string> finish() const;

  private:
    struct Loaded {
        LoraChoice choice;
        AdapterFile file;
        int64_t placed = 0;    // layers that found their place
        int64_t diverted = 0;  // layers merged though they were to run beside
        std::map<std::string, std::vector<std::string>> unmatched = {};  // layers, by component
        std::map<std::string, bool> part_used = {};
    };

    bool can_run(Loaded& loaded, const AdapterLayer& layer, const std::string& name,
                 const Weights& weights) const;
    static std::vector<std::string> notes_of(const Loaded& loaded);

    std::vector<Loaded> loaded_;
};

}  // namespace weft
