#include "io/media/scene_map.h"

#include "io/media/hdr.h"

namespace weft {
namespace {

constexpr double peak_nits = 1000;

/// True where the model's space shows very bright light within its range.
bool maps_tones(const ColorTransform& to_model) {
    constexpr float bright = 100;
    constexpr double most = 1.05;
    return to_model(torch::full({3, 1, 1}, bright)).max().item<double>() <= most;
}

}  // namespace

SceneMap::SceneMap(const ColorConfig& config, const SceneSpaces& spaces)
    : converts_(spaces.in != spaces.out),
      tag_(config.tag_of(spaces.out)),
      to_light_(config.transform(spaces.in, config.linear_space())),
      to_model_(config.transform(config.linear_space(), spaces.model)),
      from_model_(config.transform(spaces.model, config.linear_space())),
      to_out_(config.transform(config.linear_space(), spaces.out)),
      through_(config.transform(spaces.in, spaces.out)),
      model_maps_tones_(maps_tones(to_model_)),
      key_(config.transform_key(spaces.in, config.linear_space()) + "\n" +
           config.transform_key(config.linear_space(), spaces.model) + "\n" +
           config.transform_key(config.linear_space(), spaces.out) + "\n" +
           config.transform_key(spaces.in, spaces.out)) {}

torch::Tensor SceneMap::shown(const torch::Tensor& source) const {
    const torch::Tensor light = to_light_(source);
    return to_model_(model_maps_tones_ ? light : rolled_off(light, peak_nits)).clamp_(0, 1);
}

torch::Tensor SceneMap::returned(const torch::Tensor& source, const torch::Tensor& shown,
                                 const torch::Tensor& edited) const {
    torch::Tensor same = converts_ ? through_(source) : source;
    const torch::Tensor unedited = edited.eq(shown).all(0, /*keepdim=*/true);  // [1, h, w]
    if (unedited.all().item<bool>())
        return same;
    const torch::Tensor gained =
        with_gain(to_light_(source), from_model_(shown), from_model_(edited));
    return torch::where(unedited, same, to_out_(gained));
}

StreamInfo SceneMap::written(StreamInfo source) const {
    if (!converts_)
        return source;
    const ColorTag known = tag_.value_or(ColorTag{.matrix = source.color.matrix});
    source.color.matrix = known.matrix;
    source.color.primaries = known.primaries;
    source.color.transfer = known.transfer;
    return source;
}

}  // namespace weft
