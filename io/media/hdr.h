#pragma once

#include <torch/types.h>

#include "io/media/frame.h"
#include "io/media/picture_map.h"

namespace weft {

/// True for clips whose pictures hold light above white: PQ, HLG, and floating point (OpenEXR),
/// which counts as linear light.
bool needs_hdr_map(const StreamInfo& info);

/// Light above white rolled off by the curve of ITU-R BT.2390, section 5.4.1, on the largest
/// component: below a knee nothing changes, `peak_nits` becomes white, hues stay.
/// @param light     [3, h, w] in units of reference white, 203 cd/m2
/// @param peak_nits brightest light the pictures are expected to hold, cd/m2
torch::Tensor rolled_off(const torch::Tensor& light, double peak_nits);

/// The light times the ratio of edited to unedited light, all [3, h, w] in one set of primaries and
/// offset by 1/64 of white as gain maps are (ISO 21496-1), so that black can be lit.
torch::Tensor with_gain(const torch::Tensor& light, const torch::Tensor& unedited,
                        const torch::Tensor& edited);

/// Shows pictures of high dynamic range to a model that knows 0..1, and takes its edit back as a
/// gain over the source, so that highlights stay as bright as they were. Light is counted in units
/// of reference white, 203 cd/m2 (ITU-R BT.2408). Thread-safe: yes (immutable).
class HdrMap final : public PictureMap {
  public:
    /// @param tag of the pictures: PQ, HLG, and with any other transfer linear light, 1 being
    /// white;
    ///        unspecified primaries are BT.2020's for the former, BT.709's for the latter
    /// @param peak_nits brightest light the pictures are expected to hold, cd/m2; brighter is shown
    ///        as white
    explicit HdrMap(const ColorTag& tag, double peak_nits = 1000);

    /// @param hdr [3, h, w] code values of the tag's transfer and primaries
    /// @return [3, h, w] BT.709 code values 0..1 for a display gamma of 2.4 (BT.1886), tone-mapped
    ///         by the curve of ITU-R BT.2390, section 5.4.1, on the largest component
    torch::Tensor shown(const torch::Tensor& hdr) const override;

    /// The source with what the edit changed: each component's light times the ratio of edited to
    /// shown light, both offset by 1/64 as gain maps are (ISO 21496-1). Where `edited` equals
    /// `shown` the source's own values stay.
    /// @param shown, edited [3, h, w] as shown() gives
    torch::Tensor returned(const torch::Tensor& hdr, const torch::Tensor& shown,
                           const torch::Tensor& edited) const override;

  private:
    torch::Tensor light(const torch::Tensor& codes) const;
    torch::Tensor codes(const torch::Tensor& light) const;

    enum class Transfer { pq, hlg, linear };

    Transfer transfer_;
    double peak_nits_;
    torch::Tensor to_bt709_;    // [3, 3], light
    torch::Tensor from_bt709_;  // its inverse
};

}  // namespace weft
