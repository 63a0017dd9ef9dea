#pragma once

#include <torch/types.h>

#include <string>

#include "io/files/weights.h"

namespace weft {

class Attention;

/// The full weight name of the layer that is made from this scope, without a dot at the end.
std::string site_of(const Weights& weights);

/// What steps into a network's inner layers: how the frames of a batch see each other, what is
/// taken from one frame into another, which tokens are merged. Every self-attention is handed to
/// it, and every residual block it asks for; a network that is given none runs as it is, to the
/// bit. Sites are named by full weight names, so that an implementation picks its own:
/// "up_blocks.1.attentions.2.transformer_blocks.0.attn1", "up_blocks.1.resnets.1".
///
/// The functions here do nothing, each is overridden alone. Implementations may wrap another
/// Coupling and hand on to it what they have changed (merged tokens, say). They may keep what they
/// saw from one site or call to the next; they are then for one network call at a time.
class Coupling {
  public:
    Coupling() = default;
    Coupling(const Coupling&) = delete;
    Coupling& operator=(const Coupling&) = delete;
    virtual ~Coupling() = default;

    /// One self-attention. `attention` gives its site(), its parts (queries, keys, values of any
    /// states, and what they come to) and runs as a whole; none of it must be called.
    /// @param states [n, t, d] the site's normalised input
    /// @return [n, t, d] what is added to the residual stream
    virtual torch::Tensor attend(const Attention& attention, const torch::Tensor& states);

    /// Whether features() is asked at this residual block.
    virtual bool takes_features(const std::string& site) const;

    /// A residual block's map after the second convolution, before the shortcut is added.
    /// @param map [n, c, h, w]
    /// @return the same shape
    virtual torch::Tensor features(const std::string& site, const torch::Tensor& map);
};

}  // namespace weft
